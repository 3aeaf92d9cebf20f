"""The project's structure: what stands where, what imports what, and that one thing is added in one place."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench.episode import ATTEMPT
from bench.experiment import RunSpec
from bench.launch.catalogue import METHODS, SAME_TRAINING, TASKS, compose_spec
from bench.methods.interface import follow_up_turns
from bench.tasks.interface import Source
from tests.conftest import ROOT

NEEDED = {  # what a model's YAML leaves to the command line
    "transformers": ["model.path=some/model"],
    "replay": ["model.path=some/recording.jsonl"],
    "scripted": ["model.replies=[yes]"],
    "served": ["model.base_url=http://localhost:8000/v1", "model.name=some/model"],
}
# A machine's own paths and package mirrors: what works here and nowhere else.
OF_A_MACHINE = re.compile(
    r"""
    (?<![\w.~/-])/(?: (?: root | work )\b | (?: opt | mnt | Users )/\w | home/(?! user\b)\w | tmp/(?: bash | pytest ) )
    | file:///
    | index[-_]url[=:\s]+(?! https://download\.pytorch\.org/ )\S
    | registry\s=\s"(?! https://pypi\.org/simple" )
    | \burl\s=\s"(?! https://files\.pythonhosted\.org/ )
    """,
    re.VERBOSE | re.IGNORECASE,
)


def names(group: str) -> list[str]:
    return sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml"))


def composed(*overrides: str) -> RunSpec:
    return compose_spec(["model=scripted", *NEEDED["scripted"], "tracking=none", *overrides])


def test_no_name_in_bench_shadows_the_standard_library_or_a_dependency():
    # `python bench/run.py` puts bench/ first on sys.path: bench/statistics.py would be everybody's statistics.
    ours = {path.stem for path in (ROOT / "bench").iterdir() if not path.name.startswith("__")}
    installed = importlib.metadata.packages_distributions().keys() - {"bench"}
    assert {"hydra", "torch", "wandb"} <= installed
    assert not ours & (installed | sys.stdlib_module_names)


def test_no_file_of_bench_is_longer_than_300_lines():
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in (ROOT / "bench").rglob("*.py")}
    assert lengths
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_the_import_contracts_hold():
    lint_imports = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout


def test_every_method_and_task_has_a_yaml_and_every_other_yaml_changes_values_of_one():
    tasks = {kind.name: kind.__name__ for kind in TASKS}
    assert sorted(tasks) == names("task")
    assert {name: first_default(ROOT / "conf" / "task" / f"{name}.yaml") for name in tasks} == tasks
    assert set(METHODS) <= set(names("method"))
    for name in names("method"):
        filled = first_default(ROOT / "conf" / "method" / f"{name}.yaml")
        assert filled.lower() == name.replace("_", "") if name in METHODS else filled in METHODS


def first_default(file: Path) -> str:
    """What a YAML fills: its dataclass, or another YAML."""
    found = re.search(r"^defaults:\n  - (?:/schema/)?(\w+)(?:@_here_)?$", file.read_text(), re.MULTILINE)
    assert found, f"{file} does not start with what it fills"
    return found[1]


@pytest.mark.parametrize("method", names("method"))
def test_every_method_composes_and_ends_its_turns_with_an_attempt(method: str):
    spec = composed(f"method={method}")
    assert spec.key.method == SAME_TRAINING.get(method, method)
    for num_attempts in (1, 2, 3):
        turns = follow_up_turns(spec.method, spec.task, num_attempts=num_attempts)
        assert [turn.asks_for for turn in turns].count(ATTEMPT) == num_attempts - 1
        assert not turns or turns[-1].asks_for == ATTEMPT


@pytest.mark.parametrize("task", names("task"))
def test_every_task_composes_from_every_source(task: str):
    for source in [] if task.startswith("mini_") else Source:
        assert composed(f"task={task}", f"task.source={source.name}").experiment.task.source is source
    assert composed(f"task={task}").key.task == task


@pytest.mark.parametrize("model", names("model"))
def test_every_model_composes(model: str):
    spec = compose_spec([f"model={model}", *NEEDED.get(model, []), "tracking=none"])
    assert spec.key.model
    assert spec.experiment.model.max_tokens == spec.experiment.evaluations["greedy"].sampling.max_tokens


@pytest.mark.parametrize("evaluation", names("evaluation"))
def test_every_evaluation_composes_under_its_own_name(evaluation: str):
    assert list(composed(f"evaluation=[{evaluation}]").experiment.evaluations) == [evaluation]


@pytest.mark.parametrize("training", names("training"))
def test_every_budget_composes(training: str):
    assert composed(f"training={training}").experiment.training.rl.num_steps > 0


@pytest.mark.parametrize("preset", names("preset"))
def test_every_preset_composes_and_a_command_line_changes_it(preset: str):
    spec = compose_spec([f"preset={preset}", "tracking=none"])
    assert (spec.key.model == "mini") == (preset == "none")
    changed = composed(f"preset={preset}", "method=score", "training.rl.num_steps=3", "evaluation=[sampled]")
    assert (changed.key.model, changed.experiment.training.rl.num_steps) == ("scripted", 3)
    assert list(changed.experiment.evaluations) == ["sampled"]


@pytest.mark.parametrize("tuned", sorted((ROOT / "conf" / "tuned").rglob("*.yaml")), ids=lambda file: file.stem)
def test_every_tuned_file_belongs_to_a_budget_and_a_task_or_pair_that_exist(tuned: Path):
    training = tuned.parent.relative_to(ROOT / "conf" / "tuned").as_posix()
    if training in names("preset"):
        changed, plain = (
            composed(f"preset={preset}", f"method={tuned.stem}").config["method"] for preset in (training, "none")
        )
        assert changed != plain
        return
    task = max((name for name in names("task") if tuned.stem.endswith(name)), key=len)
    method = tuned.stem.removesuffix(task).removesuffix("_")
    assert training in names("training")
    assert task in names("task")
    assert not method or method in names("method")
    other = next(name for name in names("training") if name != training)
    if method:
        chosen = [f"task={task}", f"method={method}"]
        plain, tuned_for = (composed(f"training={name}", *chosen).config["method"] for name in (other, training))
    else:  # SCoRe reads the coefficients, and a value of the task's own takes the place of the budget's
        chosen = ["method=score", f"training={training}"]
        plain, tuned_for = (composed(f"task={name}", *chosen).config["training"] for name in ("mini_math", task))
    assert tuned_for != plain


def test_the_readmes_method_is_added_by_its_two_files_and_trained_on_the_miniature(tmp_path: Path):
    for folder in ("bench", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Add a method\n")[2].partition("\n## ")[0]
    code, values, command = re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    paths = re.findall(r"`((?:bench/methods|conf/method)/fix_bonus\.\w+)`", section)
    for path, content in zip(paths, (code, values), strict=True):
        (tmp_path / path).write_text(content)
    ablation = re.findall(r"`(defaults: \[fix_bonus, _self_\])`", section)
    (tmp_path / "conf" / "method" / "fix_bonus_large.yaml").write_text(f"{ablation[0]}\nbonus: 5.0\n")
    assert command.startswith("python bench/run.py -m method=base,fix_bonus seed=0 ")
    # Run where the copy is, and found before the installed project.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    small = [
        "training.rl.num_steps=2",
        "training.rl.problems_per_step=2",
        "training.rl.group_size=2",
        "task.num_test=4",
    ]
    for arguments in (
        ["bench/run.py", "-m", "method=base,fix_bonus,fix_bonus_large", "tracking=none", "results=results", *small],
        ["bench/report.py"],
    ):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        assert "Fix bonus" in done.stdout
    table = pd.read_csv(tmp_path / "results" / "reports" / "greedy" / "tables" / "main.csv")
    assert table["method"].tolist() == ["base", "fix_bonus", "fix_bonus_large"]


def test_no_file_of_the_repository_knows_the_machine_it_was_written_on():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so what belongs to the repository is not known")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    found = []
    for file in filter(None, files):
        path = ROOT / file
        # The hostile programs of tests/cheats try every path they can think of; this file spells the patterns.
        if not path.is_file() or file.startswith("tests/cheats/") or path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # weights and figures
        found += [f"{file}:{number}: {line.strip()[:120]}" for number, line in enumerate(text.splitlines(), start=1)
                  if OF_A_MACHINE.search(line)]  # fmt: skip
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "results: /home/jane/results",
        "path: /root/models",
        'url = "https://mirror.example.org/torch.whl"',
        "--extra-index-url https://mirror.example.org/simple",
        'source = { registry = "file:///srv/simple" }',
    ],
)
def test_the_scan_knows_a_machines_own_path_or_mirror_when_it_sees_one(line: str):
    assert OF_A_MACHINE.search(line)


@pytest.mark.parametrize("line", ["see /proc/self/status", "../shared/data", "https://pypi.org/simple", "a/work/b"])
def test_the_scan_lets_public_names_pass(line: str):
    assert not OF_A_MACHINE.search(line)
