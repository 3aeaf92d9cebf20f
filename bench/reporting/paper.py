"""The paper's printed numbers, and which of our methods and tasks each stands for (`paper_numbers.json`, percent)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One printed table. `rows` maps our name of the method to its numbers, keyed like our columns."""

    number: int
    title: str
    task: str
    test_set: str
    num_problems: int
    model: str
    note: str
    rows: Mapping[str, Mapping[str, float]]
    our_model: str = ""  # what results of the same model are named; empty: it is not public

    @property
    def setting(self) -> str:
        return f"{self.model}, {self.test_set} ({self.num_problems} problems), one run each"


@dataclass(frozen=True, slots=True)
class PaperRow:
    table: PaperTable
    numbers: Mapping[str, float]


@cache
def paper_tables() -> tuple[PaperTable, ...]:
    document = json.loads((Path(__file__).parent / "paper_numbers.json").read_text(encoding="utf-8"))
    return tuple(PaperTable(**table) for table in document["tables"])


@cache
def tables_of_open_models() -> tuple[PaperTable, ...]:
    document = json.loads((Path(__file__).parent / "paper_numbers.json").read_text(encoding="utf-8"))
    return tuple(PaperTable(**table) for table in document["open_models"])


def tables_beside(*, task: str, model: str) -> tuple[PaperTable, ...]:
    """What is printed of this very model on this task, or else the paper's of its own models."""
    same = tuple(table for table in tables_of_open_models() if (table.task, table.our_model) == (task, model))
    return same or tuple(table for table in paper_tables() if table.task == task)


def paper_row(*, method: str, task: str, variant: str, model: str = "") -> PaperRow | None:
    """What is printed for this method on this task; the fullest row where it stands in several tables.

    Only the variant `main` has one: another variant is another set of hyperparameters than the paper's.
    """
    if variant != "main":
        return None
    beside = tables_beside(task=task, model=model)
    rows = [PaperRow(table, table.rows[method]) for table in beside if method in table.rows]
    return max(rows, key=lambda row: len(row.numbers), default=None)
