"""MATH (Hendrycks et al. 2021) in the split of Lightman et al. 2023: 12,000 to train on, MATH500 to test on."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from bench.data_files import Record, first_file, parse_json, read_records
from bench.episode import Problem
from bench.grading.answers.extraction import extract_answer
from bench.grading.answers.verifier import AnswerVerifier
from bench.grading.verifier import Grading, Verifier
from bench.tasks.interface import Source, require_split
from bench.tasks.prompts import fill
from bench.tasks.shared import Posed, Published
from bench.tasks.splits import Splits, check_disjoint, checked, statements

LAYOUT = (
    "train12k.jsonl.gz with math500.jsonl (12,000 and 500 problems), or train.jsonl.gz with test.jsonl.gz and "
    "split_ids.json (7,500 and 5,000, of which the 500 listed under test500 are tested); .jsonl without .gz will do"
)


@dataclass(kw_only=True)
class MathPosed(Posed):
    """What any task in MATH's form shares: how a problem is posed and graded, wherever it comes from."""

    def prompt(self, problem: Problem) -> str:
        return fill(self.prompt_template, question=problem.question)

    def verifier(self, grading: Grading) -> Verifier:
        return AnswerVerifier(grading)

    def canonical_id(self, raw: str | int) -> str:
        return f"math/{str(raw).removeprefix('math/').removesuffix('.json')}"


@dataclass(kw_only=True)
class Math(Published, MathPosed):
    """Problems with a short final answer. A local file, not a folder, is a test split without training problems."""

    name: ClassVar[str] = "math"

    num_dev: int = 0  # training problems held out as the dev split
    gold_fixes: dict[str, str] = field(default_factory=dict)  # problem id: the gold that replaces a broken one

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_dev < 0:
            raise ValueError(f"task.num_dev must not be negative, and is {self.num_dev}")

    def problems(self, split: str) -> tuple[Problem, ...]:
        require_split(split)
        hint = "set task.num_dev to hold some out of training" if split == "dev" else f"give a folder with {LAYOUT}"
        return self.capped(self.loaded.get(split, hint=hint), split)

    @cached_property
    def loaded(self) -> Splits:
        if self.source is Source.hub:
            splits = self._split(self.hub.splits.get("train", []), self.hub.split("test"))
        else:
            splits = self._split(*_local_records(self.local_path))
        for problems in (splits.train, splits.dev):
            check_disjoint(statements(problems), statements(splits.test), task=self.name)
        return splits

    def _split(self, train: list[Record], test: list[Record]) -> Splits:
        splits = Splits(self._read(train, "train") if train else (), test=self._read(test, "test"))
        return splits.hold_out(self.num_dev) if self.num_dev else splits

    def _read(self, records: list[Record], split: str) -> tuple[Problem, ...]:
        """Each record's problem. A gold in `gold_fixes` is replaced; an empty one that is not there is skipped: both by
        name in the log. Anything else that is wrong with a record is refused. Without an `answer` the gold is what
        grading would find in the solution."""
        problems = []
        fixed, skipped = [], []
        for record in records:
            problem = self._problem(record)
            if problem.id in self.gold_fixes:
                problem = replace(problem, gold=self.gold_fixes[problem.id])
                fixed.append(problem.id)
            (problems if problem.gold.strip() else skipped).append(problem)
        origin = f"{self.name} {split}"
        notes = {"golds replaced by task.gold_fixes": fixed, "skipped, no gold": [problem.id for problem in skipped]}
        return checked(problems, origin=origin, num_records=len(records), notes=notes)

    def _problem(self, record: Record) -> Problem:
        return Problem(
            id=self.canonical_id(record.required_text("unique_id")),
            question=record.required_text("problem").strip(),
            gold=record.text("answer") if "answer" in record.fields else extract_answer(record.text("solution")) or "",
            level=_level(record),
            subject=record.text("subject", "type") if {"subject", "type"} & record.fields.keys() else "",
        )


def _local_records(path: Path) -> tuple[list[Record], list[Record]]:
    """(training records, test records); a file is all test."""
    if path.is_file():
        return [], read_records(path)
    for train, test in (("train12k", "math500"), ("train", "test")):
        train_file, test_file = first_file(path, train), first_file(path, test)
        if train_file and test_file:
            break
    else:
        raise ValueError(f"task.path={path} must hold {LAYOUT}")
    train_records, test_records = read_records(train_file), read_records(test_file)
    split_ids = path / "split_ids.json"
    if train == "train" and split_ids.is_file():
        return _resplit(train_records + test_records, split_ids)
    return train_records, test_records


def _resplit(records: list[Record], split_ids: Path) -> tuple[list[Record], list[Record]]:
    listed = parse_json(split_ids, split_ids.read_text())
    ids = listed.get("test500") if isinstance(listed, dict) else None
    if not ids:
        raise ValueError(f"{split_ids} must be a JSON object with the test problems' ids under 'test500'")
    test_ids = set(ids)
    test = [record for record in records if record.text("unique_id") in test_ids]
    if len(test) != len(test_ids):
        raise ValueError(
            f"{split_ids} lists {len(test_ids)} test problems, of which {len(test)} are in the files beside it"
        )
    return [record for record in records if record.text("unique_id") not in test_ids], test


def _level(record: Record) -> str:
    """ "1" to "5" from "Level 5", "5" or 5; "" where the data set itself does not know ("Level ?", null, no field)."""
    level = record.fields.get("level")
    number = "" if level is None else str(level).removeprefix("Level ").removesuffix("?")
    if number not in {"", "1", "2", "3", "4", "5"}:
        raise ValueError(
            f'{record.place}: \'level\' must be 1 to 5, "Level 1" to "Level 5" or "Level ?", not {level!r}'
        )
    return number
