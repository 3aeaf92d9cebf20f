"""MBPP as it is published: ranges of ids, three shots, shown and hidden asserts."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests import tasks_in_conf as conf

RANGES = {"train": range(601, 975), "dev": range(511, 601), "test": range(11, 511)}


def local(path: Path, **values: Any):
    return conf.mbpp(source="local", path=str(path), **values)


def row(task_id: object, **values: Any) -> dict[str, Any]:
    fields = {
        "task_id": task_id,
        "text": f"Write a function to add {task_id}.",
        "code": f"def add(x):\r\n    return x + {task_id}",
        "test_list": ["assert add(0) > 0", "assert add(1) > 1", "assert add(2) > 2"],
        "test_setup_code": "",
        **values,
    }
    return {name: value for name, value in fields.items() if value is not None}


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / "mbpp.jsonl").write_text("\n".join(map(json.dumps, (*map(row, (2, 3, 4)), *rows))))
    return folder


def test_splits_are_ranges_of_ids(shared_data: Path) -> None:
    task = local(shared_data / "mbpp")
    for split, ids in RANGES.items():
        assert {int(problem.id.removeprefix("mbpp/")) for problem in task.problems(split)} <= set(ids)
    assert [len(task.problems(split)) for split in ("dev", "test")] == [90, 500]


def test_training_leaves_out_what_the_test_split_asks_and_says_so(
    shared_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    task = local(shared_data / "mbpp")
    trained_on = {problem.id for problem in task.problems("train")}
    assert trained_on == {f"mbpp/{number}" for number in RANGES["train"]} - {"mbpp/602", "mbpp/704", "mbpp/872"}
    assert "3 left out of training (mbpp/602 asks the same as mbpp/217" in caplog.text


def test_a_prompt_is_three_shots_and_the_problem_with_its_asserts(tmp_path: Path) -> None:
    task = local(written(tmp_path, row(11)))
    (problem,) = task.problems("test")
    *shots, posed = task.prompt(problem).split("[DONE]\n\n")
    assert [shot.split(".")[0].rpartition(" ")[2] for shot in shots] == ["2", "3", "4"]
    assert shots[0] == (
        "You are an expert Python programmer, and here is your task: Write a function to add 2. Your code should pass "
        "these tests:\n\nassert add(0) > 0\nassert add(1) > 1\nassert add(2) > 2\n[BEGIN]\n"
        "def add(x):\n    return x + 2\n"
    )
    assert posed.endswith("assert add(2) > 2\n[BEGIN]")
    assert "x + 11" not in task.prompt(problem)


def test_an_assert_that_is_not_shown_is_graded_and_not_in_the_prompt(tmp_path: Path) -> None:
    asserts = ["assert add(0) == 11", "assert add(5) == 16", "assert add(-1) == 10"]
    for num_shown in (1, 2, 3):
        task = local(written(tmp_path, row(11, test_list=asserts)), num_shown_tests=num_shown)
        (problem,) = task.problems("test")
        assert problem.tests is not None
        assert list(problem.tests.asserts) == asserts
        assert [test in task.prompt(problem) for test in asserts] == [place < num_shown for place in range(3)]


def test_hidden_asserts_are_graded_and_nowhere_in_a_prompt(shared_data: Path) -> None:
    task = local(shared_data / "mbpp", num_shown_tests=1)
    shots = {"mbpp/2", "mbpp/3", "mbpp/4"}
    assert not shots & {problem.id for problem in task.problems("test")}
    for problem in task.problems("test"):
        assert problem.tests is not None
        shown, *hidden = problem.tests.asserts
        assert len(hidden) == 2
        prompt = task.prompt(problem)
        assert shown in prompt
        assert not any(test.strip() in prompt for test in hidden if test.strip() not in shown)


def test_all_asserts_are_shown_unless_told(shared_data: Path) -> None:
    task = local(shared_data / "mbpp")
    for problem in task.problems("dev"):
        assert problem.tests is not None
        assert all(test in task.prompt(problem) for test in problem.tests.asserts)


def test_showing_no_assert_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one assert must be shown"):
        conf.mbpp(num_shown_tests=0)


def test_shots_from_the_graded_splits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.shots=\[11\]: MBPP sets tasks 1 to 10 aside"):
        conf.mbpp(shots=[2, 11])


def test_the_sanitized_file_is_read_alike(shared_data: Path) -> None:
    task = local(shared_data / "mbpp" / "sanitized-mbpp.json")
    assert [len(task.problems(split)) for split in ("train", "dev", "test")] == [120, 43, 257]
    with_imports = [problem for problem in task.problems("test") if problem.tests and problem.tests.imports]
    assert all(problem.tests and problem.tests.imports == ("import math",) for problem in with_imports)
    assert len(with_imports) == 13


def test_setup_code_goes_with_the_tests_and_not_into_the_prompt(shared_data: Path) -> None:
    task = local(shared_data / "mbpp")
    (problem,) = [problem for problem in task.problems("test") if problem.id == "mbpp/367"]
    assert problem.tests is not None
    assert "root.left.left.left = Node(8)" in problem.tests.setup
    assert "Node(8)" not in task.prompt(problem)


def test_rows_with_their_own_prompts_are_all_tested_on_and_posed_without_shots(shared_data: Path) -> None:
    task = local(shared_data / "attempts" / "mbpp_two_attempts_gpt4.jsonl")
    problems = task.problems("test")
    assert len(problems) == 397
    assert problems[0].id == task.canonical_id(234) == "mbpp/234"
    for problem in problems:
        assert problem.tests is not None
        prompt = task.prompt(problem)
        assert problem.question in prompt
        assert "[DONE]" not in prompt
        assert not any(line.strip() in prompt for line in problem.tests.check.splitlines() if "assert" in line)
    with pytest.raises(ValueError, match=r"has no tasks 601 to 974 of MBPP; give mbpp\.jsonl"):
        task.problems("train")


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (row(975), "MBPP's tasks are numbered 1 to 974, and this is mbpp/975"),
        (row("HumanEval/12"), "'HumanEval/12' is no id of an MBPP task"),
        (row(None), "None is no id of an MBPP task"),
        (row(12, text=None), "there is no 'text' or 'prompt'"),
        (row(12, code=""), "'code' is empty"),
        (row(12, test_list=[]), "the column 'test_list' is empty"),
        (row(12, test_list="assert True"), "the column 'test_list' is missing or no list of texts"),
    ],
)
def test_a_broken_record_is_refused_with_file_and_line(tmp_path: Path, broken: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"mbpp\.jsonl, line 5: {complaint}"):
        local(written(tmp_path, row(11), broken)).check()


def test_a_file_without_the_shots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row(11)))
    with pytest.raises(ValueError, match=r"lacks task \[2, 3, 4\], which task\.shots="):
        local(tmp_path).check()


def test_a_folder_without_mbpp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no mbpp\.\* or sanitized-mbpp"):
        local(tmp_path).check()


def test_a_duplicate_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 duplicate ids: mbpp/11"):
        local(written(tmp_path, row(11), row(11))).check()


@pytest.mark.parametrize("raw", [234, "234", "Mbpp/234", "MBPP/234", "mbpp/234"])
def test_recorded_ids_find_their_problems(raw: str | int) -> None:
    assert conf.mbpp().canonical_id(raw) == "mbpp/234"


def test_ids_of_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="no id of an MBPP task"):
        conf.mbpp().canonical_id("HumanEval/3")
