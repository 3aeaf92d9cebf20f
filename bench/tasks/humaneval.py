"""HumanEval (Chen et al. 2021): 164 functions to complete from signature and docstring, tested by asserts nobody shows.

HumanEval has nothing to train on: as in the paper, training (and dev) is MBPP.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from bench.data_files import Record, first_file, read_records
from bench.episode import Problem
from bench.grading.programs.formats import humaneval_tests, unix_lines
from bench.grading.verifier import Grading, Verifier
from bench.tasks.hub import HubData, hub_data, require_hub
from bench.tasks.interface import (
    Source,
    local_path,
    require_split,
)
from bench.tasks.mbpp import Mbpp, MbppPosed
from bench.tasks.prompts import fill
from bench.tasks.shared import Posed, Published
from bench.tasks.splits import check_disjoint, check_unique, report


@dataclass(kw_only=True)
class HumanEvalPosed(Posed):
    """What any task in HumanEval's form shares. Each problem is posed in the manner of its own data set."""

    training: MbppPosed

    @property
    def test(self) -> tuple[Problem, ...]:
        """All problems, read once."""
        raise NotImplementedError

    def problems(self, split: str) -> tuple[Problem, ...]:
        require_split(split)
        if split == "test":
            return self.capped(self.test, split)
        problems = self.training.problems(split)
        check_disjoint(_questions(problems), _questions(self.test), task="humaneval")
        return self.capped(problems, split)

    def prompt(self, problem: Problem) -> str:
        if problem.id.startswith("mbpp/"):
            return self.training.prompt(problem)
        return fill(self.prompt_template, question=problem.question)

    def verifier(self, grading: Grading) -> Verifier:
        return self.training.verifier(grading)

    def canonical_id(self, raw: str | int) -> str:
        if str(raw).startswith("mbpp/"):  # a problem of training
            return self.training.canonical_id(raw)
        if match := re.fullmatch(r"(?:humaneval/)?(\d+|mini/.+)", str(raw), re.IGNORECASE):
            return f"humaneval/{match[1]}"
        raise ValueError(f'{raw!r} is no id of a HumanEval task; those are 0, "HumanEval/0" or "humaneval/0"')

    def posed(self, records: list[Record], *, origin: str) -> tuple[Problem, ...]:
        problems = tuple(map(self._problem, records))
        check_unique(problems, origin=origin)
        report(origin, num_records=len(records), num_problems=len(problems), notes={})
        return problems

    def _problem(self, record: Record) -> Problem:
        task_id = record.required_text("task_id")
        prompt = unix_lines(record.required_text("prompt"))
        return Problem(
            id=record.read(lambda _: self.canonical_id(task_id)),
            question=prompt.strip("\n"),
            gold=prompt + unix_lines(record.required_text("canonical_solution")),
            tests=record.read(humaneval_tests),
        )


@dataclass(kw_only=True)
class HumanEval(Published, HumanEvalPosed):
    """The data set itself: tests on HumanEval, trains on `training`."""

    name: ClassVar[str] = "humaneval"

    training: Mbpp

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_source()

    @property
    def downloads(self) -> bool:
        return super().downloads or self.training.downloads

    def check(self) -> None:
        if self.source is Source.hub:
            require_hub(self.hub_id, revision=self.revision)
        else:
            self.test  # noqa: B018  loads and keeps it
        if not self._lacks_training:  # testing alone may do without
            self.training.check()

    def problems(self, split: str) -> tuple[Problem, ...]:
        if split != "test" and self._lacks_training:
            raise ValueError("task=humaneval trains on MBPP: give task.training.path=<mbpp.jsonl or its folder>")
        return super().problems(split)

    def revisions(self) -> dict[str, str]:
        return (self._hub.revisions if self.source is Source.hub else {}) | self.training.revisions()

    @property
    def _lacks_training(self) -> bool:
        return self.training.source is Source.local and not self.training.path

    @cached_property
    def _hub(self) -> HubData:
        return hub_data(self.hub_id, revision=self.revision)

    @cached_property
    def test(self) -> tuple[Problem, ...]:
        if self.source is Source.hub:
            return self.posed(self._hub.split("test"), origin=self.hub_id)
        file = _file(local_path(self.path, task=self.name))
        return self.posed(read_records(file), origin=str(file))


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    found = first_file(path, "HumanEval")
    if found is None:
        raise ValueError(f"task.path={path} holds no HumanEval.jsonl.gz (nor HumanEval.jsonl)")
    return found


def _questions(problems: tuple[Problem, ...]) -> dict[str, str]:
    return {problem.id: problem.question for problem in problems}
