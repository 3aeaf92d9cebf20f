"""The README keeps its word: its commands parse, its files exist, and CI runs what it tells a newcomer to run."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bench import report
from bench.launch.catalogue import compose_plan
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def command_lines(start: str) -> list[str]:
    """The lines of all bash blocks that run `start`, without the interpreter in front; a backslash joins lines."""
    lines = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
    return [line.partition(start)[2].partition("  #")[0].strip() for line in lines if f"python {start}" in line]


def one_by_one(overrides: list[str]) -> Iterator[list[str]]:
    """The command lines of a sweep's jobs."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    yield from map(
        list,
        itertools.product(
            *(
                [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
                if override.is_sweep_override()
                else [override.input_line or ""]
                for override in parsed
            )
        ),
    )


def test_the_first_two_blocks_install_from_nothing_and_then_run_and_test():
    for block, door in zip(BLOCKS[:2], ("bench/run.py", "pytest"), strict=True):
        install, *_, last = block.strip().splitlines()
        assert install == "python3 -m venv .venv"
        assert ".venv/bin/pip install -c constraints.txt -e " in block
        assert last.startswith(".venv/bin/")
        assert door in last


def test_ci_runs_the_readmes_test_command_to_the_letter():
    assert f"\n{BLOCKS[1]}" in (ROOT / ".ci" / "run").read_text()
    assert "run: .ci/run\n" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


@pytest.mark.parametrize("line", command_lines("bench/run.py"))
def test_every_experiment_in_the_readme_composes(line: str):
    # A launcher is an extra that need not be installed here; it changes where jobs run, not what they are.
    methods = ",".join(sorted(file.stem for file in (ROOT / "conf" / "method").glob("*.yaml")))
    overrides = [
        word.replace("glob(*)", methods)
        for word in shlex.split(line)
        if word not in ("-m", "--dry-run") and not word.startswith("hydra/")
    ]
    if "--help" not in overrides:
        assert all(compose_plan(job).experiment.evaluations for job in one_by_one(overrides))


@pytest.mark.parametrize("line", command_lines("bench/report.py"))
def test_every_report_in_the_readme_parses(line: str):
    assert report.parse(shlex.split(line)).evaluation


def test_the_readme_shows_experiments_and_reports():
    assert len(command_lines("bench/run.py")) > 5
    assert command_lines("bench/report.py")


def test_the_commands_that_score_recorded_attempts_stand_in_the_readme():
    recorded = "method=base model=replay model.path=../shared/data/attempts/{}_two_attempts_gpt4.jsonl task={} "
    recorded += "task.source=local task.path=../shared/data/{}"
    lines = command_lines("bench/run.py")
    assert recorded.format("humaneval", "humaneval", "humaneval") in lines
    assert recorded.format("mbpp", "mbpp", "attempts/mbpp_two_attempts_gpt4.jsonl") in lines


def test_every_file_that_the_readme_links_to_or_draws_in_its_tree_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    (tree,) = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    folder, drawn = "", []
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            drawn.append(name)
        else:
            drawn.append(folder + name)
    assert len(drawn) > 10
    assert [path for path in (*links, *drawn) if not (ROOT / path).exists()] == []


def test_the_readmes_example_of_the_metrics_prints_what_it_says(tmp_path: Path):
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    promised = re.findall(r"^# (.*)$", example, re.MULTILINE)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    told = subprocess.run(
        [sys.executable, "-c", example], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == promised


def test_every_measurement_is_explained_where_it_stands():
    folder = ROOT / "tests" / "perf"
    explained = set(re.findall(r"tests[./]perf[./](\w+)", (folder / "README.md").read_text()))
    assert explained == {script.stem for script in folder.glob("*.py")}
