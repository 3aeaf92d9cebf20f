"""Reading other people's files, and keeping their splits apart."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data_files import read_records
from bench.episode import Problem
from bench.tasks.splits import Splits, capped, check_counts, check_disjoint, checked, shared_statements

ROWS = [{"id": 1, "text": "one\u2028line"}, {"id": 2, "text": "two"}]


def some_problems(num: int) -> tuple[Problem, ...]:
    return tuple(Problem(f"t/{i}", question=f"{i}?", gold=str(i)) for i in range(num))


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".json.gz"])
def test_the_same_rows_are_read_from_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"rows{ending}"
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    content = (lines if "jsonl" in ending else json.dumps(ROWS)).encode()
    file.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    assert [record.fields for record in read_records(file)] == ROWS


def test_a_line_that_is_not_json_is_refused_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 3 is not JSON"):
        read_records(file)


def test_a_row_that_is_no_object_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n[1, 2]\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 2: a record is a JSON object"):
        read_records(tmp_path / "rows.jsonl")
    (tmp_path / "rows.json").write_text('[{"a": 1}, "b"]')
    with pytest.raises(ValueError, match=r"rows\.json, record 2: a record is a JSON object"):
        read_records(tmp_path / "rows.json")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("empty.jsonl", b"\n", "holds no record"),
        ("one.json", b'{"a": 1}', "must hold one JSON list"),
        ("broken.json", b'[{"a": 1},\n{"a" 2}]', "line 2 is not JSON"),
        ("latin.jsonl", '{"a": "é"}'.encode("latin-1"), "damaged or not UTF-8"),
        ("cut.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-20], "damaged or not UTF-8"),
        ("plain.jsonl.gz", b'{"a": 1}', "damaged or not UTF-8"),
        ("rows.csv", b"a,b\n1,2\n", r"neither \.jsonl nor \.json"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}.*{complaint}"):
        read_records(tmp_path / name)


def test_a_test_problem_in_training_is_found_by_id_and_by_text() -> None:
    train = {"a": "What is 1 + 1?", "b": "what  is\n2+2?", "c": "What is 3 + 3?"}
    test = {"c": "Something else", "z": "What is 2+2?", "y": "What is 2-2?"}
    assert shared_statements(train, test) == [("b", "z"), ("c", "c")]
    with pytest.raises(ValueError, match=r"2 test problems of t .*b \(the same as z\), c;"):
        check_disjoint(train, test, task="t")


def test_a_duplicate_id_is_refused() -> None:
    with pytest.raises(ValueError, match="1 duplicate ids: t/0"):
        checked([*some_problems(3), *some_problems(1)], origin="rows.jsonl", num_records=4)


@given(st.integers(0, 40), st.integers(1, 50), st.integers(1, 50))
def test_a_larger_look_contains_a_smaller_one(num_problems: int, small: int, large: int) -> None:
    problems = some_problems(num_problems)
    small, large = sorted((small, large))
    seen = capped(problems, large)
    assert len(seen) == min(large, num_problems)
    assert capped(problems, small) == seen[:small]
    assert set(seen) <= set(problems)


def test_a_look_at_no_problems_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.num_test must be positive, not 0"):
        check_counts(num_train=None, num_test=0)


@given(st.integers(1, 40), st.data())
def test_held_out_problems_leave_training_and_nothing_else_changes(num_problems: int, data: st.DataObject) -> None:
    whole = Splits(some_problems(num_problems), test=some_problems(2))
    num_dev = data.draw(st.integers(0, num_problems - 1))
    splits = whole.hold_out(num_dev)
    assert len(splits.dev) == num_dev
    assert set(splits.train).isdisjoint(splits.dev)
    assert sorted((*splits.train, *splits.dev), key=whole.train.index) == list(whole.train)
    assert splits.test == whole.test


def test_holding_out_all_of_training_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves none of 3 training problems"):
        Splits(some_problems(3)).hold_out(3)
