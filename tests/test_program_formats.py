"""Unit tests out of the published files, and clear errors for broken ones."""

import gzip
import json
from pathlib import Path

import pytest

from bench.episode import UnitTests
from bench.grading.programs.formats import humaneval_tests, load_unit_tests, mbpp_tests, task_id

HUMANEVAL = {
    "task_id": "HumanEval/7",
    "prompt": "def f(x):\r\n",
    "test": "def check(candidate):\n    assert candidate(1) == 2\n\ndef test_check():\n    check(f)\n\ntest_check()\n",
    "entry_point": "f",
}
FULL = {"task_id": 2, "test_list": ["assert g(1) == 2\r\n"], "test_setup_code": "a = 1\r\nb = 2", "text": "?"}
SANITIZED = {"task_id": 2, "test_list": ["assert g(1) == 2"], "test_imports": ["import math"], "prompt": "?"}


def test_calls_of_check_at_the_end_of_a_test_are_dropped() -> None:
    tests = humaneval_tests(HUMANEVAL)
    assert tests.check.rstrip().endswith("check(f)")
    assert "\ntest_check()" not in tests.check
    assert tests.preamble == "def f(x):\n"


def test_full_and_sanitized_mbpp_rows_keep_setup_and_imports() -> None:
    assert mbpp_tests(FULL) == UnitTests(asserts=("assert g(1) == 2\n",), setup="a = 1\nb = 2")
    assert mbpp_tests(SANITIZED) == UnitTests(asserts=("assert g(1) == 2",), imports=("import math",))


def test_an_mbpp_row_in_humanevals_form_is_read_as_such() -> None:
    assert mbpp_tests(HUMANEVAL) == humaneval_tests(HUMANEVAL)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json"])
def test_every_spelling_of_an_id_finds_its_task(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mbpp{suffix}"
    text = json.dumps([FULL]) if suffix == ".json" else json.dumps(FULL) + "\n\n"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    for place in (path, tmp_path):
        tests = load_unit_tests("mbpp", place)
        assert [tests[task_id("mbpp", key)] for key in ("Mbpp/2", "2", 2)] == [mbpp_tests(FULL)] * 3
        assert task_id("mbpp", 3) not in tests
    assert task_id("humaneval", "Python/0") == task_id("humaneval", "HumanEval/0")


def test_of_two_files_in_a_folder_the_first_by_name_gives_the_tests(tmp_path: Path) -> None:
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(FULL))
    (tmp_path / "sanitized.json").write_text(json.dumps([SANITIZED, SANITIZED | {"task_id": 3}]))
    tests = load_unit_tests("mbpp", tmp_path)
    assert tests["Mbpp/2"] == mbpp_tests(FULL)
    assert tests["Mbpp/3"] == mbpp_tests(SANITIZED)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2: a record is a JSON object"),
        (json.dumps(FULL | {"test_list": []}), "line 2: the column 'test_list' is empty"),
        (json.dumps(FULL | {"test_list": "assert"}), "line 2: the column 'test_list' is missing or no list"),
        (json.dumps({"test_list": ["assert g(1)"]}), "line 2: has none of the columns task_id, problem_id"),
        (json.dumps(FULL | {"test_list": ["assert g(2)"]}), "line 2: task Mbpp/2 is a duplicate"),
        (json.dumps(HUMANEVAL | {"entry_point": ""}), "line 2: the column 'entry_point' is missing or empty"),
        (json.dumps(HUMANEVAL | {"test": "def check(:"}), "line 2: the column 'test' is not Python"),
        (json.dumps(HUMANEVAL | {"test": "assert 1"}), "line 2: the column 'test' defines no function 'check'"),
    ],
)
def test_a_broken_row_is_refused_by_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "tests.jsonl"
    path.write_text(json.dumps(FULL) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"tests\.jsonl, " + message):
        load_unit_tests("mbpp", path)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        load_unit_tests("humaneval", tmp_path / "absent.jsonl")
    with pytest.raises(FileNotFoundError, match="holds no"):
        load_unit_tests("humaneval", tmp_path)


def test_all_published_files_load_whole(shared_data: Path) -> None:
    sizes = {
        ("humaneval", "humaneval"): 164,
        ("mbpp", "mbpp/mbpp.jsonl"): 974,
        ("mbpp", "mbpp/sanitized-mbpp.json"): 427,
        ("mbpp", "mbpp"): 974,
        ("humaneval", "repair/humanevalfix_python.jsonl.gz"): 164,
        ("mbpp", "attempts/mbpp_two_attempts_gpt4.jsonl"): 397,
    }
    for (kind, path), size in sizes.items():
        assert len(load_unit_tests(kind, shared_data / path)) == size  # pyright: ignore[reportArgumentType]
