"""README.md and CONTRIBUTING.md are true: commands parse, files and names exist, examples print what they say."""

import importlib
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
from bench.launch.catalogue import compose_spec
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


BLOCKS = blocks("bash")


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
    for block, command in zip(BLOCKS[:2], ("bench/run.py", "pytest"), strict=True):
        install, *_, last = block.strip().splitlines()
        assert install == "python3 -m venv .venv"
        assert ".venv/bin/pip install -c constraints.txt -e " in block
        assert last.startswith(".venv/bin/")
        assert command in last


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
        assert all(compose_spec(job).experiment.evaluations for job in one_by_one(overrides))


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


def files_of_the_tree() -> list[str]:
    (tree,) = [block for block in blocks("text") if block.startswith("bench/\n")]
    folder, listed = "", []
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            listed.append(name)
        else:
            listed.append(folder + name)
    return listed


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "bench/README.md", "tests/perf/README.md"])
def test_every_link_to_a_file_leads_to_one(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_the_readmes_tree_is_all_of_bench_and_conf_and_nothing_else():
    listed = {path.rstrip("/") for path in files_of_the_tree()}
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in ("bench", "conf")
        for path in (ROOT / folder).iterdir()
        if not path.name.startswith(("_", "README"))
    }
    assert {path for path in listed if "/" in path} == there
    assert [path for path in listed if not (ROOT / path).exists()] == []


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the table in a section of CONTRIBUTING.md, without its header."""
    section = CONTRIBUTING.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 3
    return rows[2:]


def test_contributing_explains_every_data_type_and_no_other():
    explained = {name for row in rows_below("Data types") for name in re.findall(r"`(\w+)`", row[0])}
    source = (ROOT / "bench" / "episode.py").read_text(encoding="utf-8")
    assert explained == set(re.findall(r"^(?:class )?([A-Z]\w+[a-z])(?:\(.*\))?(?::$| = )", source, re.MULTILINE))


@pytest.mark.parametrize("row", rows_below("Protocols"), ids=lambda row: row[0].strip())
def test_a_protocol_has_the_members_that_contributing_names(row: list[str]):
    name, members, file = (re.findall(r"`([^`]+)`", cell) for cell in row)
    protocol = getattr(importlib.import_module(file[0].removesuffix(".py").replace("/", ".")), name[0])
    assert members
    assert [member for member in members if member != "run_stages" and not hasattr(protocol, member)] == []


def test_every_file_that_contributing_names_exists():
    quoted = re.findall(r"`((?:bench|conf|tests)/[\w/.]+|\.ci/run)", CONTRIBUTING)
    assert len(quoted) > 10
    assert [path for path in quoted if not (ROOT / path).exists() and Path(path).stem != "x"] == []


def test_the_readmes_example_of_the_metrics_prints_what_it_says(tmp_path: Path):
    (example,) = [block for block in blocks("python") if "import evaluate" in block]
    promised = re.findall(r"^# (.*)$", example, re.MULTILINE)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised


def test_every_measurement_is_explained_where_it_stands():
    folder = ROOT / "tests" / "perf"
    explained = set(re.findall(r"tests[./]perf[./](\w+)", (folder / "README.md").read_text()))
    assert explained == {script.stem for script in folder.glob("*.py")}
