"""bench/README.md: its picture is what the imports are, and the files that it names contain what it says."""

import re

import pytest

from tests.architecture import PAGE, page, without_implied
from tests.conftest import ROOT

STEPS = re.findall(r"^\d+\. .*(?:\n   .*)*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_picture_shows_the_layers_and_imports_as_they_are():
    assert PAGE.read_text(encoding="utf-8") == page(), "run .venv/bin/python -m tests.architecture"


def test_an_import_that_others_imply_gets_no_arrow():
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert without_implied(edges) == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.split("\n")[0][:50])
def test_the_files_of_a_step_contain_every_name_that_it_mentions(step: str):
    links = re.findall(r"\[([\w/.]+)\]\(([\w/.]+)\)", step)
    assert links
    assert all((PAGE.parent / target).resolve() == ROOT / shown for shown, target in links)
    text = "".join((ROOT / shown).read_text(encoding="utf-8") for shown, _ in links)
    quoted = [each for each in re.findall(r"`([^`]+)`", step) if "/" not in each]
    names = [each.partition("=")[0].rpartition(".")[2] for each in quoted]  # beta1 of training.beta1=0.1
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_three_values_are_followed():
    assert [step.split(".")[0] for step in STEPS].count("1") == 3
