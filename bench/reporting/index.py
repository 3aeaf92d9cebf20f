"""What the results folder holds, grouped for comparing.

A setting is one task, model and variant, and one part of it where its runs cannot all be compared; a cell is one method
in it, with all its seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from bench.metrics import Estimate, estimate
from bench.reporting.apart import parts_of
from bench.reporting.style import method_order, method_style, problems_label
from bench.runs.finished import RunFolder, find_runs
from bench.runs.folder import RunKey
from bench.runs.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Setting:
    """What must be equal for two methods to be comparable."""

    task: str
    model: str
    variant: str
    part: str = ""  # "(b)", "(c)", ...: see bench.reporting.apart
    why: str = field(default="", compare=False)  # how a part differs from the plain one
    problems: str = field(default="", compare=False)  # "miniature", "50 of MATH500's 500 problems"; empty: all of them
    is_recording: bool = field(default=False, compare=False)  # of attempts that some other system made

    @property
    def label(self) -> str:
        task = f"{self.task} ({self.problems})" if self.problems else self.task
        variant = "" if self.variant == "main" else f" · {self.variant}"
        return f"{task} · {self.model}{variant} {self.part}".rstrip()

    @property
    def place(self) -> tuple[str, str, bool, str, str]:
        """Sort key: the variant `main` comes before the others."""
        return (self.task, self.model, self.variant != "main", self.variant, self.part)


@dataclass(frozen=True, slots=True)
class Cell:
    """One method in one setting: the episodes of all its finished seeds, and the runs that they come from."""

    method: str
    setting: Setting
    evaluation: str
    runs: tuple[RunFolder, ...]
    episodes: pd.DataFrame
    estimates: Mapping[str, Estimate]  # of bench.metrics: fractions, over all seeds

    @property
    def label(self) -> str:
        """The method's, but a recording is not this project's base model."""
        label = method_style(self.method).label
        return (
            label if not self.setting.is_recording else "Recording" if self.method == "base" else f"{label}, recorded"
        )

    @property
    def manifests(self) -> list[Manifest]:
        return [run.manifest(self.evaluation) for run in self.runs]

    @property
    def token_units(self) -> set[str]:
        """Of its token counts: "tokens", or "characters" where no tokenizer was at work."""
        return {manifest.token_unit for manifest in self.manifests}

    @property
    def seeds(self) -> list[int]:
        return [run.key.seed for run in self.runs]

    def episodes_of(self, seed: int) -> pd.DataFrame:
        return self.episodes[self.episodes["seed"] == seed]


def setting_of(key: RunKey) -> Setting:
    return Setting(key.task, key.model, key.variant)


@dataclass(frozen=True, slots=True)
class Study:
    """The cells with at least one finished run of an evaluation, by setting and then in the methods' order."""

    cells: list[Cell]
    unreadable: Mapping[RunKey, str]  # finished runs that are left out, and why each cannot be read


def find_cells(results: Path, *, evaluation: str, only: Collection[RunKey] | None = None) -> list[Cell]:
    return read_study(results, evaluation=evaluation, only=only).cells


def read_study(results: Path, *, evaluation: str, only: Collection[RunKey] | None = None) -> Study:
    """Raises ValueError where runs of one row cannot be evaluated together."""
    frames, unreadable, finished = {}, {}, []
    for run in find_runs(results):
        if evaluation in run.evaluations() and (only is None or run.key in only):
            try:
                frames[run.key] = run.episodes(evaluation)
                _source_of(run)
            except ValueError as error:
                unreadable[run.key] = str(error)
            else:
                finished.append(run)
    settings = _settings(finished, evaluation)
    finished.sort(key=lambda run: (settings[run.key].place, method_order(run.key.method), run.key.seed))
    cells = []
    for (setting, method), group in groupby(finished, key=lambda run: (settings[run.key], run.key.method)):
        runs = tuple(group)
        rows = pd.concat([frames[run.key] for run in runs], ignore_index=True).dropna(axis="columns", how="all")
        try:
            estimates = estimate(rows)
        except ValueError as error:
            raise ValueError(f"{method} on {setting.label}: {error}") from error
        cells.append(Cell(method, setting, evaluation, runs, rows, estimates))
    return Study(cells, unreadable)


def _settings(finished: list[RunFolder], evaluation: str) -> dict[RunKey, Setting]:
    """Each run's setting, with the part of it that it can be compared in, and what its problems are."""
    found = {}
    for setting, group in groupby(
        sorted(finished, key=lambda run: setting_of(run.key).place), key=lambda run: setting_of(run.key)
    ):
        runs = list(group)
        manifests = [run.manifest(evaluation) for run in runs]
        for run, manifest, part in zip(runs, manifests, parts_of(runs, manifests), strict=True):
            problems = problems_label(
                setting.task,
                source=_source_of(run),
                split=manifest.split,
                num_problems=manifest.num_problems,
            )
            weights = manifest.table["weights"]
            found[run.key] = replace(
                setting, part=part.name, why=part.why, problems=problems, is_recording="recording" in weights
            )
    return found


def by_setting(cells: list[Cell]) -> list[tuple[Setting, list[Cell]]]:
    return [(setting, list(group)) for setting, group in groupby(cells, key=lambda cell: cell.setting)]


def _source_of(run: RunFolder) -> str:
    """Where the task's problems come from: `mini` (generated), `local` or `hub`. ValueError: config.json is damaged."""
    task = run.config.get("task")
    if not isinstance(task, dict):
        raise ValueError(f"{run.path / 'config.json'} is damaged (it has no task); delete its folder and run again")
    return str(task.get("source", ""))


def base_of(cell: Cell, cells: list[Cell]) -> Cell | None:
    """The untrained model in the same setting, which every method is to be compared with."""
    return next((other for other in cells if other.setting == cell.setting and other.method == "base"), None)
