"""The miniature's tasks: generated problems, posed and graded as those of MATH, MBPP and HumanEval are."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from bench.data_files import Record
from bench.episode import Problem
from bench.mini import code_world, math_world
from bench.tasks.humaneval import HumanEvalPosed
from bench.tasks.interface import require_split
from bench.tasks.math import MathPosed
from bench.tasks.mbpp import ID_RANGES, Loaded, MbppPosed, task_id


@dataclass(kw_only=True)
class MiniMath(MathPosed):
    """Problems of bench/mini/math_world.py, in MATH's form."""

    name: ClassVar[str] = "mini_math"

    def problems(self, split: str) -> tuple[Problem, ...]:
        require_split(split)
        return self.capped(tuple(math_world.problems(split)), split)


@dataclass(kw_only=True)
class MiniMbpp(MbppPosed):
    """Problems of bench/mini/code_world.py, in MBPP's form."""

    name: ClassVar[str] = "mini_mbpp"

    @cached_property
    def loaded(self) -> Loaded:
        rows = {
            split: [Record(f"{self.name}, {row['task_id']}", row) for row in code_world.mbpp_rows(split)]
            for split in ID_RANGES
        }
        by_id = {split: [(task_id(record), record) for record in records] for split, records in rows.items()}
        return self.posed(by_id, origin=self.name)


@dataclass(kw_only=True)
class MiniHumanEval(HumanEvalPosed):
    """Problems of bench/mini/code_world.py, in HumanEval's form; trains on mini_mbpp."""

    name: ClassVar[str] = "mini_humaneval"

    training: MiniMbpp

    @cached_property
    def loaded(self) -> tuple[Problem, ...]:
        records = [Record(f"{self.name}, {row['task_id']}", row) for row in code_world.humaneval_rows()]
        return self.posed(records, origin=self.name)
