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


def paper_row(*, method: str, task: str, variant: str) -> PaperRow | None:
    """What the paper printed for this method on this task; the fullest row where it stands in several tables.

    Only the variant `main` has one: another variant is another set of hyperparameters than the paper's.
    """
    if variant != "main":
        return None
    rows = [
        PaperRow(table, table.rows[method]) for table in paper_tables() if table.task == task and method in table.rows
    ]
    return max(rows, key=lambda row: len(row.numbers), default=None)
