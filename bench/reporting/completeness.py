"""Which runs were to be made, and which are: a missing seed is shown, never averaged over silently."""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from bench.reporting.index import Setting, setting_of
from bench.reporting.style import method_order
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
    folder: Path, *, evaluation: str, unreadable: Collection[RunKey] = (), only: Collection[RunKey] | None = None
) -> list[Completeness]:
    """Expected are, in each setting, all methods seen there with all seeds seen there, and what sweeps have planned.

    With `only`, as the runs of one sweep, those and no others.
    """
    runs, planned = find_runs(folder), planned_runs(folder)
    folders = {run.run_key for run in runs}
    # A run that is in training has not begun to be tested by anyone: its plan says by which tasks it will be.
    started = {run.key for run in runs if run.begun_evaluations() or run.run_key not in planned.values()}
    started |= {row for row, run_key in planned.items() if run_key in folders}
    done = {run.key for run in runs if evaluation in run.evaluations() and run.key not in unreadable}
    expected = set(only or ())
    if only is None:
        seeds_in: dict[Setting, set[int]] = defaultdict(set)
        for key in started:
            seeds_in[setting_of(key)].add(key.seed)
        expected = {replace(key, seed=seed) for key in started for seed in seeds_in[setting_of(key)]}
        expected |= set(planned)
    rows = []
    ordered = sorted(expected, key=lambda key: (setting_of(key).place, method_order(key.method), key.seed))
    for (setting, method), group in groupby(ordered, key=lambda key: (setting_of(key), key.method)):
        keys = list(group)
        rows.append(
            Completeness(
                method,
                setting,
                done=tuple(key.seed for key in keys if key in done),
                unfinished=tuple(key.seed for key in keys if key in started - done),
                missing=tuple(key.seed for key in keys if key not in started),
            )
        )
    return rows


def planned_runs(folder: Path) -> dict[RunKey, RunKey]:
    """The rows of every sweep that bench/run.py has recorded, each with the key of its run, whose task trains it.

    Raises ValueError where a record cannot be read.
    """
    planned: dict[RunKey, RunKey] = {}
    for path in sorted((folder / "sweeps").glob("*.json")):
        try:
            for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
                trained_on = run.pop("trained_on", run["task"])
                row = RunKey(**run)
                planned[row] = replace(row, task=trained_on)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no record of a sweep ({error!r}); delete it") from error
    return planned
