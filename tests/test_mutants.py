"""The list of known defects can be trusted: each is one edit of code that is there, tried on tests that are there."""

from collections import Counter

import pytest

from tests.mutants import MUTANTS, ROOT, TESTS, Mutant
from tests.mutation import equivalents, is_equivalent, one_line


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_stands_exactly_once_in_its_file(mutant: Mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")  # a syntax error would be killed by any test
    assert mutant.new != mutant.old


def test_mutants_have_names_of_their_own():
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []


def test_mutants_are_tried_on_files_that_are_there_and_not_on_this_one_which_fails_on_each_of_them():
    assert [name for name in TESTS if not (ROOT / name).is_file()] == []
    assert "tests/test_mutants.py" not in TESTS


def test_a_mutant_called_equivalent_replaces_what_stands_in_its_file_by_something_else():
    for each in equivalents()["mutant"]:
        assert one_line(each["original"]) in one_line((ROOT / each["file"]).read_text(encoding="utf-8"))
        assert is_equivalent(each["file"], one_line(each["original"]), one_line(each["mutant"]))
        assert each["original"] != each["mutant"]
        assert each["reason"]


def test_what_no_rule_mentions_makes_a_mutant_that_counts():
    assert is_equivalent("bench/x.py", "zip(a, b, strict=True)", "zip(a, b, strict=False)")
    assert not is_equivalent("bench/x.py", "zip(a, b, strict=True)", "zip(a, a, strict=True)")
