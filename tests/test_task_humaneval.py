"""HumanEval: tested on 164 functions whose asserts nobody shows, trained on MBPP."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests import tasks_in_conf as conf


def local(path: Path, **values: Any):
    return conf.humaneval(source="local", path=str(path), **values)


def test_humaneval_has_164_problems_and_shows_none_of_their_tests(shared_data: Path) -> None:
    task = local(shared_data / "humaneval")
    problems = task.problems("test")
    assert [problem.id for problem in problems] == [f"humaneval/{number}" for number in range(164)]
    for problem in problems:
        assert problem.tests is not None
        prompt = task.prompt(problem)
        assert problem.question in prompt
        asserts = [line.strip() for line in problem.tests.check.splitlines() if "assert candidate" in line]
        assert not any(line in prompt for line in asserts)


def test_the_reference_program_is_not_in_the_prompt(shared_data: Path) -> None:
    task = local(shared_data / "humaneval")
    for problem in task.problems("test"):
        body = problem.gold.strip().removeprefix(problem.question.strip())
        assert body != problem.gold.strip()
        assert body.strip() not in task.prompt(problem)


def test_training_and_dev_problems_are_mbpp_posed_as_mbpp(shared_data: Path) -> None:
    task = local(shared_data / "humaneval", training={"path": str(shared_data / "mbpp")})
    mbpp = conf.mbpp(source="local", path=str(shared_data / "mbpp"))
    for split in ("train", "dev"):
        assert task.problems(split) == mbpp.problems(split)
    problem = mbpp.problems("train")[0]
    assert task.prompt(problem) == mbpp.prompt(problem)


def test_testing_alone_needs_no_mbpp_and_training_without_it_names_the_cure(shared_data: Path) -> None:
    task = local(shared_data / "humaneval")
    task.check()
    with pytest.raises(ValueError, match=r"give task\.training\.path="):
        task.problems("train")


def test_a_bad_line_in_the_training_file_is_found_by_the_check(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "mbpp.jsonl").write_text("{}\n{")
    with pytest.raises(ValueError, match=r"mbpp\.jsonl, line 2 is not JSON"):
        local(shared_data / "humaneval", training={"path": str(tmp_path)}).check()


def test_a_quick_look_takes_a_few_of_each(shared_data: Path) -> None:
    task = local(shared_data / "humaneval", num_test=5, num_train=7, training={"path": str(shared_data / "mbpp")})
    assert len(task.problems("test")) == 5
    assert len(task.problems("train")) == 7


@pytest.mark.parametrize("raw", [0, "0", "HumanEval/0", "humaneval/0"])
def test_recorded_ids_find_their_problems(raw: str | int) -> None:
    assert conf.humaneval().canonical_id(raw) == "humaneval/0"


def test_ids_of_training_problems_stay_and_those_of_other_tasks_are_refused() -> None:
    assert conf.humaneval().canonical_id("mbpp/601") == "mbpp/601"
    with pytest.raises(ValueError, match="no id of a HumanEval task"):
        conf.humaneval().canonical_id("test/algebra/2584.json")


@pytest.mark.parametrize("column", ["task_id", "prompt", "canonical_solution", "test", "entry_point"])
def test_a_broken_record_is_refused_with_file_and_line(shared_data: Path, tmp_path: Path, column: str) -> None:
    with gzip.open(shared_data / "humaneval" / "HumanEval.jsonl.gz", "rt") as lines:
        rows = [json.loads(next(lines)) for _ in range(3)]
    del rows[2][column]
    (tmp_path / "HumanEval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=rf"HumanEval\.jsonl, line 3: .*'{column}'"):
        local(tmp_path).check()


def test_a_folder_without_humaneval_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no HumanEval"):
        local(tmp_path).check()
