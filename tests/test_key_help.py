"""`bench/run.py --help`: every choice and every key, each with what it means."""

import subprocess
import sys
from functools import cache

import pytest

from bench.launch.catalogue import register
from bench.launch.command_line import CONF, GROUPS
from bench.launch.key_help import keys_of, meanings, schema_of
from tests.commands import plans_of
from tests.conftest import ROOT


@cache
def help_text(*overrides: str) -> str:
    command = [sys.executable, "bench/run.py", *overrides, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "path", [path for group in ("method", "task", "model") for path in (CONF / group).glob("*.yaml")]
)
def test_every_key_of_every_choice_has_a_meaning(path):
    register()
    assert [key for key, meaning in keys_of(schema_of(path), "") if not meaning] == []


def test_every_key_of_an_experiment_is_shown_with_its_value_and_its_meaning():
    lines = help_text("method=score", "training.alpha=7").splitlines()
    assert any(
        line.split()[0] == "training.alpha=7.0" and "SCoRe's bonus for progress" in line for line in lines if line
    )
    keys = [line for line in lines if line.startswith("  ") and "=" in line.split()[0]]
    assert len(keys) > 80
    for place, line in enumerate(lines):
        if line in keys:
            meaning = line[50:].strip() or lines[place + 1][50:].strip()
            assert meaning, f"{line} has no meaning"


def test_a_key_that_only_another_choice_has_is_shown_with_who_has_it():
    of_other_choices = " ".join(help_text().partition("Keys that other choices have:")[2].split())
    assert "method.loss_on_first imitate both attempts, not only the second (of star, star_plus)" in of_other_choices


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_has_one_line_that_says_what_it_is(group: str):
    section = help_text().partition(f"\n{group}=")[2].partition("=\n")[0].splitlines()[1:]
    for path in (CONF / group).glob("*.yaml"):
        (line,) = [line for line in section if line.split()[:1] == [path.stem]]
        assert len(line.split()) > 2, f"{path} begins without a comment"


def test_no_internal_schema_is_shown():
    assert "schema" not in help_text()
    assert "ScoreStarStage2" not in help_text()


def test_its_examples_compose():
    examples = [line.strip() for line in help_text().splitlines() if line.startswith("  python bench/run.py ")]
    assert len(examples) == 3
    for example in examples:
        assert plans_of(example)


def test_a_meaning_is_the_comment_beside_a_field_or_above_it():
    class Commented:
        beside: int  # at its line
        # in two
        # lines
        above: int
        without: int

    assert meanings(Commented) == {"beside": "at its line", "above": "in two lines", "without": ""}
