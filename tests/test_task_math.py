"""MATH as it is published: its levels, its broken golds, its two layouts."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bench.grading.answers.extraction import extract_answer
from tests import tasks_in_conf as conf

ROW = {
    "problem": "1 + 1?",
    "solution": r"It is \boxed{2}.",
    "answer": "2",
    "level": 1,
    "unique_id": "test/algebra/1.json",
}


def local(path: Path, **values: Any):
    return conf.math(source="local", path=str(path), **values)


def row(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ROW, **values}.items() if value is not None}


def written(folder: Path, *rows: dict[str, Any], name: str = "test.jsonl") -> Path:
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    return folder / name


def shared_rows(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_math_has_twelve_thousand_problems_to_train_on_and_five_hundred_to_test(
    shared_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    task = local(shared_data / "math")
    assert len(task.problems("train")) == 12_000
    assert len(task.problems("test")) == 500
    assert "math train: 12000 records, 12000 problems; 9 golds replaced by task.gold_fixes" in caplog.text
    assert task.problems("test")[0].id == "math/test/precalculus/807"


def test_both_layouts_of_the_files_give_the_same_problems(shared_data: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl.gz", "test.jsonl.gz", "split_ids.json"):
        (tmp_path / name).symlink_to(shared_data / "math" / name)
    ready, resplit = local(shared_data / "math"), local(tmp_path)
    for split in ("train", "test"):
        ready_by_id = {problem.id: problem for problem in ready.problems(split)}
        resplit_by_id = {problem.id: problem for problem in resplit.problems(split)}
        assert ready_by_id == resplit_by_id


def test_empty_golds_without_a_fix_are_skipped_by_name(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rows = shared_rows(shared_data / "math" / "train12k.jsonl.gz")
    empty = {row["unique_id"] for row in rows if not row["answer"]}
    assert empty == {"train/number_theory/7115.json", "train/number_theory/7117.json"}
    task = conf.math(source="local", path=str(shared_data / "math"))
    task.gold_fixes = {}
    assert len(task.problems("train")) == 11_998
    assert "2 skipped, no gold (math/train/number_theory/7115, math/train/number_theory/7117)" in caplog.text


def test_the_gold_fixes_are_the_published_ones(shared_data: Path) -> None:
    published = json.loads((shared_data / "math" / "gold_fixes.json").read_text())["answer_override"]
    task = conf.math()
    assert task.gold_fixes == {task.canonical_id(id): gold for id, gold in published.items()}


def test_without_an_answer_the_gold_is_the_box_of_the_solution(tmp_path: Path, shared_data: Path) -> None:
    rows = [row(answer=None, solution=r"First \boxed{1}. Then $y = \boxed 2$, so it is \boxed{\frac{1}{2}}.")]
    (problem,) = local(written(tmp_path, *rows)).problems("test")
    assert problem.gold == r"\frac{1}{2}"
    published = shared_rows(shared_data / "math" / "train12k.jsonl.gz")
    assert all(extract_answer(row["solution"]) == row["answer"].strip() for row in published if row["answer"])


def test_a_solution_without_any_box_is_skipped_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rows = [row(), row(answer=None, solution="Obvious.", unique_id="test/algebra/2.json")]
    assert len(local(written(tmp_path, *rows)).problems("test")) == 1
    assert "2 records, 1 problems; 1 skipped, no gold (math/test/algebra/2)" in caplog.text


@pytest.mark.parametrize(
    ("level", "known"), [(5, "5"), ("Level 3", "3"), ("2", "2"), ("Level ?", ""), (None, "")], ids=str
)
def test_levels_are_told_whichever_way_they_are_written(tmp_path: Path, level: object, known: str) -> None:
    (problem,) = local(written(tmp_path, row(level=level))).problems("test")
    assert problem.level == known


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ({"problem": None}, "there is no 'problem'"),
        ({"problem": ""}, "'problem' is empty"),
        ({"problem": 7}, "'problem' must be text, not 7"),
        ({"answer": 2}, "'answer' must be text, not 2"),
        ({"answer": None, "solution": None}, "there is no 'solution'"),
        ({"unique_id": None}, "there is no 'unique_id'"),
        ({"level": "hard"}, "'level' must be 1 to 5"),
    ],
)
def test_a_broken_record_is_refused_with_file_and_line(tmp_path: Path, broken: dict[str, Any], complaint: str) -> None:
    file = written(tmp_path, row(unique_id="test/algebra/2.json"), row(**broken))
    with pytest.raises(ValueError, match=rf"test\.jsonl, line 2: {complaint}"):
        local(file).check()


def test_a_test_problem_in_training_stops_the_start(tmp_path: Path) -> None:
    written(tmp_path, row(problem="What is 1+1?"))
    written(tmp_path, row(problem="what is  1 + 1?", unique_id="train/algebra/9.json"), name="train.jsonl")
    with pytest.raises(ValueError, match=r"math/train/algebra/9 \(the same as math/test/algebra/1\)"):
        local(tmp_path).check()


def test_a_single_file_is_tested_on_and_cannot_be_trained_on(tmp_path: Path) -> None:
    task = local(written(tmp_path, row()))
    assert len(task.problems("test")) == 1
    with pytest.raises(ValueError, match="no train problems: give a folder with train12k"):
        task.problems("train")


def test_a_folder_without_the_files_says_which_it_must_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold train12k\.jsonl\.gz with math500\.jsonl"):
        local(tmp_path).check()


def test_a_split_list_that_the_files_do_not_cover_is_refused(tmp_path: Path) -> None:
    written(tmp_path, row())
    written(tmp_path, row(problem="2 + 2?", unique_id="train/algebra/9.json"), name="train.jsonl")
    (tmp_path / "split_ids.json").write_text(json.dumps({"test500": ["test/algebra/1.json", "test/algebra/2.json"]}))
    with pytest.raises(ValueError, match="lists 2 test problems, of which 1 are in the files"):
        local(tmp_path).check()


def test_the_dev_split_is_held_out_of_training_only_when_asked(shared_data: Path) -> None:
    with pytest.raises(ValueError, match=r"no dev problems: set task\.num_dev"):
        local(shared_data / "math").problems("dev")
    task = local(shared_data / "math", num_dev=500)
    dev_ids = {problem.id for problem in task.problems("dev")}
    assert len(dev_ids) == 500
    assert dev_ids.isdisjoint(problem.id for problem in task.problems("test"))
    assert len(task.problems("train")) == 11_500
    assert dev_ids.isdisjoint(problem.id for problem in task.problems("train"))


def test_recorded_ids_find_their_problems() -> None:
    task = conf.math()
    for raw in ("test/algebra/2584.json", "test/algebra/2584", "math/test/algebra/2584"):
        assert task.canonical_id(raw) == "math/test/algebra/2584"


def test_the_miniature_has_three_splits_that_share_no_problem() -> None:
    task = conf.mini_math()
    questions = [{problem.question for problem in task.problems(split)} for split in ("train", "dev", "test")]
    assert all(questions)
    assert len(set.union(*questions)) == sum(map(len, questions))
