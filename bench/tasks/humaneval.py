"""HumanEval (Chen et al. 2021): 164 functions to complete from signature and docstring, tested by asserts nobody shows.

HumanEval has nothing to train on: as in the paper, training (and dev) is MBPP.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from bench.data_files import Record, read_records
from bench.episode import Problem
from bench.grading.programs.formats import humaneval_tests, unix_lines
from bench.grading.verifier import Grading, Verifier
from bench.tasks.interface import Source, require_split
from bench.tasks.mbpp import Mbpp, MbppPosed
from bench.tasks.prompts import fill
from bench.tasks.shared import Posed, Published
from bench.tasks.splits import check_disjoint, checked, statements


@dataclass(kw_only=True)
class HumanEvalPosed(Posed):
    """What any task in HumanEval's form shares. Each problem is posed in the manner of its own data set.

    `num_train` is for `training` to read (conf/task/), which then has the same problems as that task on its own.
    """

    training: MbppPosed

    @property
    def loaded(self) -> tuple[Problem, ...]:
        """The test problems, read once."""
        raise NotImplementedError

    def problems(self, split: str) -> tuple[Problem, ...]:
        require_split(split)
        if split == "test":
            return self.capped(self.loaded, split)
        problems = self.training.problems(split)
        check_disjoint(statements(problems), statements(self.loaded), task="humaneval")
        return problems

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
        return checked(list(map(self._problem, records)), origin=origin, num_records=len(records))

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

    @property
    def downloads(self) -> bool:
        return super().downloads or self.training.downloads

    def check(self) -> None:
        super().check()
        if not self._lacks_training:  # testing alone may do without
            self.training.check()

    def problems(self, split: str) -> tuple[Problem, ...]:
        if split != "test" and self._lacks_training:
            raise ValueError("task=humaneval trains on MBPP: give task.training.path=<mbpp.jsonl or its folder>")
        return super().problems(split)

    def revisions(self) -> dict[str, str]:
        return super().revisions() | self.training.revisions()

    @property
    def _lacks_training(self) -> bool:
        return self.training.source is Source.local and not self.training.path

    @cached_property
    def loaded(self) -> tuple[Problem, ...]:
        if self.source is Source.hub:
            return self.posed(self.hub.split("test"), origin=self.hub_id)
        file = self.local_file("HumanEval")
        return self.posed(read_records(file), origin=str(file))
