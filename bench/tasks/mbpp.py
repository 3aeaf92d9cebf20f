"""MBPP (Austin et al. 2021): short Python programs from a sentence and three asserts, in the paper's three-shot prompt.

Splits are ranges of task ids: 1-10 shots, 11-510 test, 511-600 dev (MBPP's validation), 601-974 train. Three training
problems ask word for word what a test problem asks (602, 704 and 872 of the full file): they are left out of training,
by name in the log. So training has 371 problems, not 374.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from bench.data_files import Record, read_records
from bench.episode import Problem
from bench.grading.programs.formats import humaneval_tests, mbpp_tests, unix_lines
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.verifier import Grading, Verifier
from bench.tasks.interface import Source, require_split
from bench.tasks.prompts import fill, require_slots
from bench.tasks.shared import Posed, Published
from bench.tasks.splits import Splits, check_disjoint, checked, shared_statements

ID_RANGES = {"prompt": range(1, 11), "test": range(11, 511), "dev": range(511, 601), "train": range(601, 975)}


@dataclass(frozen=True, slots=True)
class Loaded:
    splits: Splits
    shots: str | None  # what stands before every prompt; None: rows with their own prompts


@dataclass(kw_only=True)
class MbppPosed(Posed):
    """What any task in MBPP's form shares: how a problem is posed and graded, wherever its rows come from.

    Problems are posed with the asserts that grade them, as in the paper, unless `num_shown_tests` says fewer.
    """

    question_template: str  # of a problem and of a shot, with {text} and {asserts}
    shot_template: str  # with {prompt} and {code}; the shots come before the prompt as they stand
    shots: list[int]  # task ids of MBPP's own prompt problems
    completion_template: str  # the first user message of a row that has a signature, with {question}
    num_shown_tests: int | None = None  # None: all; the others grade unseen

    def __post_init__(self) -> None:
        super().__post_init__()
        require_slots(self.question_template, "text", "asserts", field="task.question_template")
        require_slots(self.shot_template, "prompt", "code", field="task.shot_template")
        require_slots(self.completion_template, "question", field="task.completion_template")
        if self.num_shown_tests is not None and self.num_shown_tests < 1:
            raise ValueError(
                f"task.num_shown_tests={self.num_shown_tests}: at least one assert must be shown, since nothing else "
                "gives the function's name; leave it out to show all"
            )
        if unknown := [number for number in self.shots if number not in ID_RANGES["prompt"]]:
            raise ValueError(f"task.shots={unknown}: MBPP sets tasks 1 to 10 aside as shots; others are train or test")

    @property
    def loaded(self) -> Loaded:
        """The problems and shots, read once."""
        raise NotImplementedError

    def problems(self, split: str) -> tuple[Problem, ...]:
        require_split(split)
        return self.capped(self.loaded.splits.get(split, hint=self._hint(split)), split)

    def prompt(self, problem: Problem) -> str:
        if self.loaded.shots is None:
            return fill(self.completion_template, question=problem.question)
        return self.loaded.shots + fill(self.prompt_template, question=problem.question)

    def verifier(self, grading: Grading) -> Verifier:
        return ProgramVerifier(grading)

    def canonical_id(self, raw: str | int) -> str:
        return canonical_id(raw)

    def _hint(self, split: str) -> str:
        return f"there is no {split} split"

    def posed(self, rows: dict[str, list[tuple[str, Record]]], *, origin: str) -> Loaded:
        problems = {name: tuple(self._problem(id, row) for id, row in rows[name]) for name in rows}
        statements = {name: {id: _statement(row) for id, row in rows[name]} for name in rows}
        left_out = dict(shared_statements(statements["train"], statements["test"]))
        train = tuple(problem for problem in problems["train"] if problem.id not in left_out)
        notes = {"left out of training": [f"{id} asks the same as {other}" for id, other in left_out.items()]}
        everything = [problem for name in problems for problem in problems[name]]
        checked(everything, origin=origin, num_records=len(everything), notes=notes)
        check_disjoint(
            {problem.id: statements["train"][problem.id] for problem in train}, statements["test"], task=origin
        )
        return Loaded(
            Splits(train, problems["dev"], problems["test"]), shots=self._pose_shots(rows["prompt"], origin=origin)
        )

    def _pose_shots(self, rows: list[tuple[str, Record]], *, origin: str) -> str:
        by_number = {_number(id): (id, row) for id, row in rows}
        if absent := [number for number in self.shots if number not in by_number]:
            raise ValueError(f"{origin} lacks task {absent}, which task.shots={self.shots} puts before every problem")
        posed = ""
        for number in self.shots:
            problem = self._problem(*by_number[number])
            prompt = fill(self.prompt_template, question=problem.question)
            posed += fill(self.shot_template, prompt=prompt, code=problem.gold)
        return posed

    def _problem(self, id: str, record: Record) -> Problem:
        tests = record.read(mbpp_tests)
        asserts = "\n".join(tests.asserts[: self.num_shown_tests])
        return Problem(
            id=id,
            question=fill(self.question_template, text=_statement(record), asserts=asserts),
            gold=unix_lines(record.required_text("code")),
            tests=tests,
        )


@dataclass(kw_only=True)
class Mbpp(Published, MbppPosed):
    """The data set itself.

    A local file whose rows carry their own `prompt`, `test` and `entry_point` (HumanEval's format) is a test split
    without training problems; its rows are posed by `completion_template`, without shots and with no test shown.
    """

    name: ClassVar[str] = "mbpp"

    hub_config: str  # full or sanitized

    @cached_property
    def loaded(self) -> Loaded:
        if self.source is Source.hub:
            records = [row for name in ("prompt", "test", "validation", "train") for row in self.hub.split(name)]
            return self.posed(_by_id(records), origin=self.hub_id)
        file = self.local_file("mbpp", "sanitized-mbpp")
        records = read_records(file)
        if "entry_point" in records[0].fields:
            return Loaded(Splits(test=self._own_prompts(records, origin=str(file))), shots=None)
        return self.posed(_by_id(records), origin=str(file))

    def _hint(self, split: str) -> str:
        ids = ID_RANGES[split]
        return f"{self.path} has no tasks {ids.start} to {ids.stop - 1} of MBPP; give mbpp.jsonl or its folder"

    def _own_prompts(self, records: list[Record], *, origin: str) -> tuple[Problem, ...]:
        problems = [
            Problem(
                id=task_id(record),
                question=unix_lines(record.required_text("prompt")).strip("\n"),
                gold="",  # such rows bring no reference program
                tests=record.read(humaneval_tests),
            )
            for record in records
        ]
        return checked(problems, origin=origin, num_records=len(records))


def canonical_id(raw: object) -> str:
    if match := re.fullmatch(r"(?:mbpp/)?(\d+|mini/.+)", str(raw), re.IGNORECASE):
        return f"mbpp/{match[1]}"
    raise ValueError(f'{raw!r} is no id of an MBPP task; those are 234, "Mbpp/234" or "mbpp/234"')


def _by_id(records: list[Record]) -> dict[str, list[tuple[str, Record]]]:
    rows: dict[str, list[tuple[str, Record]]] = {name: [] for name in ID_RANGES}
    for record in records:
        id = task_id(record)
        name = next((name for name, ids in ID_RANGES.items() if _number(id) in ids), None)
        if name is None:
            raise ValueError(f"{record.place}: MBPP's tasks are numbered 1 to 974, and this is {id}")
        rows[name].append((id, record))
    return rows


def task_id(record: Record) -> str:
    return record.read(lambda fields: canonical_id(fields.get("task_id", fields.get("problem_id"))))


def _number(id: str) -> int:
    return int(id.rpartition("/")[2])


def _statement(record: Record) -> str:
    return unix_lines(record.required_text("text", "prompt"))  # the full file says text, the sanitized one prompt
