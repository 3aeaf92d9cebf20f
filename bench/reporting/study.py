"""What the results folder holds, grouped for comparing.

A setting is one task, model and variant, and one part of it where its runs cannot all be compared; a cell is one method
in it, with all its seeds.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from bench.metrics import Estimate, estimate
from bench.reporting.apart import parts_of
from bench.reporting.style import method_order, setting_label
from bench.results import RunFolder, RunKey, find_runs

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """What must be equal for two methods to be comparable."""

    task: str
    model: str
    variant: str
    part: str = ""  # "(b)", "(c)", ...: see bench.reporting.apart
    why: str = field(default="", compare=False)  # how a part differs from the plain one

    @property
    def label(self) -> str:
        return f"{setting_label(self.task, self.model, self.variant)} {self.part}".rstrip()

    @property
    def place(self) -> tuple[str, str, bool, str, str]:
        """Sort key: the variant `main` comes before the others."""
        return (self.task, self.model, self.variant != "main", self.variant, self.part)


@dataclass(frozen=True, slots=True)
class Cell:
    """One method in one setting: the episodes of all its finished seeds, and the runs that they come from."""

    method: str
    setting: Setting
    runs: tuple[RunFolder, ...]
    episodes: pd.DataFrame
    estimates: Mapping[str, Estimate]  # of bench.metrics: fractions, over all seeds

    @property
    def seeds(self) -> list[int]:
        return [run.key.seed for run in self.runs]

    def episodes_of(self, seed: int) -> pd.DataFrame:
        return self.episodes[self.episodes["seed"] == seed]


def setting_of(key: RunKey) -> Setting:
    return Setting(key.task, key.model, key.variant)


def find_cells(results: Path, *, evaluation: str, only: Collection[RunKey] | None = None) -> list[Cell]:
    """The cells with at least one finished run of an evaluation, by setting and then in the methods' order."""
    frames = _readable(results, evaluation=evaluation, only=only)
    finished = [run for run in find_runs(results) if run.key in frames]
    settings = _settings(finished, evaluation)
    finished.sort(key=lambda run: (settings[run.key].place, method_order(run.key.method), run.key.seed))
    cells = []
    for (setting, method), runs in groupby(finished, key=lambda run: (settings[run.key], run.key.method)):
        runs = tuple(runs)
        rows = pd.concat([frames[run.key] for run in runs], ignore_index=True).dropna(axis="columns", how="all")
        try:
            estimates = estimate(rows)
        except ValueError as error:
            raise ValueError(f"{method} on {setting.label}: {error}") from error
        cells.append(Cell(method, setting, runs, rows, estimates))
    return cells


def _readable(results: Path, *, evaluation: str, only: Collection[RunKey] | None) -> dict[RunKey, pd.DataFrame]:
    """The episodes of every finished run; one that is damaged is named in the log and left out."""
    frames = {}
    for run in find_runs(results):
        if evaluation in run.evaluations() and (only is None or run.key in only):
            try:
                frames[run.key] = run.episodes(evaluation)
            except ValueError as error:
                _LOG.warning("left out: %s", error)
    return frames


def _settings(finished: list[RunFolder], evaluation: str) -> dict[RunKey, Setting]:
    """Each run's setting, with the part of it that it can be compared in."""
    found = {}
    for setting, group in groupby(
        sorted(finished, key=lambda run: setting_of(run.key).place), key=lambda run: setting_of(run.key)
    ):
        runs = list(group)
        parts = parts_of(runs, [run.manifest(evaluation) for run in runs])
        for run, part in zip(runs, parts, strict=True):
            found[run.key] = replace(setting, part=part.name, why=part.why)
    return found


def by_setting(cells: list[Cell]) -> list[tuple[Setting, list[Cell]]]:
    return [(setting, list(group)) for setting, group in groupby(cells, key=lambda cell: cell.setting)]


def source_of(cell: Cell) -> str:
    """Where the task's problems come from: `mini` (generated), `local` or `hub`."""
    return str(cell.runs[0].config["task"].get("source", ""))


def base_of(cell: Cell, cells: list[Cell]) -> Cell | None:
    """The untrained model in the same setting, which every method is to be compared with."""
    return next((other for other in cells if other.setting == cell.setting and other.method == "base"), None)
