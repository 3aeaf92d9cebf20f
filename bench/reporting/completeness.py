"""Which runs were to be made, and which are: a missing seed is shown, never averaged over silently."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from bench.reporting.index import Setting, Study, setting_of
from bench.reporting.style import method_order, method_style
from bench.reporting.writing import Table
from bench.runs.finished import find_runs
from bench.runs.folder import RunKey


@dataclass(frozen=True, slots=True)
class Completeness:
    """The seeds of one method in one setting, by what has become of them."""

    method: str
    setting: Setting
    done: tuple[int, ...]
    unfinished: tuple[int, ...]  # the run's folder is there, the evaluation's manifest is not, or cannot be read
    missing: tuple[int, ...]

    @property
    def num_expected(self) -> int:
        return len(self.done) + len(self.unfinished) + len(self.missing)


def completeness(
    results: Path, *, evaluation: str, unreadable: Collection[RunKey] = (), only: Collection[RunKey] | None = None
) -> list[Completeness]:
    """Expected are, in each setting, all methods seen there with all seeds seen there, and what sweeps have planned.

    With `only`, as the runs of one sweep, those and no others.
    """
    started: dict[Setting, dict[str, dict[int, bool]]] = defaultdict(lambda: defaultdict(dict))
    for run in find_runs(results):
        is_done = evaluation in run.evaluations() and run.key not in unreadable
        started[setting_of(run.key)][run.key.method][run.key.seed] = is_done
    expected = {(setting_of(key), key.method, key.seed) for key in (planned_runs(results) if only is None else only)}
    if only is None:
        expected |= {
            (setting, method, seed)
            for setting, methods in started.items()
            for method, seed in product(methods, {seed for seeds in methods.values() for seed in seeds})
        }
    seeds_of: dict[tuple[Setting, str], list[int]] = defaultdict(list)
    for setting, method, seed in sorted(expected, key=lambda run: (run[0].place, method_order(run[1]), run[2])):
        seeds_of[setting, method].append(seed)
    rows = []
    for (setting, method), seeds in seeds_of.items():
        state = {seed: started[setting][method].get(seed) for seed in seeds}
        rows.append(
            Completeness(
                method,
                setting,
                done=tuple(seed for seed in seeds if state[seed]),
                unfinished=tuple(seed for seed in seeds if state[seed] is False),
                missing=tuple(seed for seed in seeds if state[seed] is None),
            )
        )
    return rows


def planned_runs(results: Path) -> set[RunKey]:
    """What `results/sweeps/*.json` say: each holds {"runs": [{method, task, model, variant, seed}, ...]}."""
    planned = set()
    for path in sorted((results / "sweeps").glob("*.json")):
        try:
            planned |= {RunKey(**run) for run in json.loads(path.read_text(encoding="utf-8"))["runs"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no record of a sweep ({error!r}); delete it") from error
    return planned


def completeness_table(rows: list[Completeness], study: Study, *, evaluation: str) -> Table:
    """The seeds of each row, and in the caption why a run that has finished is left out of all tables."""
    labels = {(cell.setting, cell.method): (cell.setting.label, cell.label) for cell in study.cells}
    numbers = pd.DataFrame(
        {
            "method": row.method,
            "task": row.setting.task,
            "model": row.setting.model,
            "variant": row.setting.variant,
            "num_expected": row.num_expected,
            "num_done": len(row.done),
            "done": seeds_text(row.done),
            "unfinished": seeds_text(row.unfinished),
            "missing": seeds_text(row.missing),
        }
        for row in rows
    )
    shown = pd.DataFrame(
        {
            "Setting": setting,
            "Method": method,
            "Runs": f"{len(row.done)} of {row.num_expected}",
            "Seeds done": seeds_text(row.done),
            "Unfinished": seeds_text(row.unfinished),
            "Missing": seeds_text(row.missing),
        }
        for row in rows
        for setting, method in [
            labels.get((row.setting, row.method), (row.setting.label, method_style(row.method).label))
        ]
    )
    num_done, num_expected = (int(numbers[column].sum()) for column in ("num_done", "num_expected"))
    caption = (
        f"{num_done} of {num_expected} expected runs have finished their {evaluation} evaluation; seeds are listed. "
        "Expected are all methods and all seeds seen in a setting, and every run that a sweep has planned."
    )
    if study.unreadable:
        caption += f" Left out, and counted as unfinished: {'; '.join(study.unreadable.values())}."
    return Table("completeness", caption, numbers, shown)


def seeds_text(seeds: tuple[int, ...]) -> str:
    return " ".join(map(str, seeds))
