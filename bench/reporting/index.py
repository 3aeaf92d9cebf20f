"""What the results folder holds, grouped for comparing.

A setting is one task, model and variant, and one part of it where its runs cannot all be compared; a method result is
one method in it, with all its seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from bench.metrics.bootstrap import Estimate, estimate
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
    problems: str = field(default="", compare=False)  # "50 of MATH500's 500 problems"; empty: all of them
    is_recording: bool = field(default=False, compare=False)  # of attempts that some other system made

    @property
    def is_miniature(self) -> bool:
        return self.task.startswith("mini_")

    @property
    def paper_task(self) -> str:
        """The task whose numbers in the paper stand beside it: of the miniature, the one that it imitates."""
        return self.task.removeprefix("mini_")

    @property
    def label(self) -> str:
        task = f"{self.task} ({self.problems})" if self.problems else self.task
        variant = "" if self.variant == "main" else self.variant
        return f"{' · '.join(filter(None, (task, self.model, variant)))} {self.part}".rstrip()

    @property
    def place(self) -> tuple[str, str, bool, str, str]:
        """Sort key: the variant `main` comes before the others."""
        return (self.task, self.model, self.variant != "main", self.variant, self.part)


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method in one setting: the episodes of all its finished seeds, and the runs that they come from.

    Without runs it stands for a method that has none there.
    """

    method: str
    setting: Setting
    evaluation: str = ""
    runs: tuple[RunFolder, ...] = ()
    manifests: tuple[Manifest, ...] = ()  # of the evaluation of each run
    episodes: pd.DataFrame = field(default_factory=pd.DataFrame)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)  # of bench.metrics: fractions, over all seeds

    @property
    def label(self) -> str:
        """The method's, but a recording is not this project's base model."""
        label = method_style(self.method).label
        if not self.setting.is_recording:
            return label
        return "Recording" if self.method == "base" else f"{label}, recorded"

    @property
    def token_units(self) -> set[str]:
        """Of its token counts: "tokens", or "characters" where no tokenizer was at work."""
        return {manifest.token_unit for manifest in self.manifests}

    @property
    def seeds(self) -> list[int]:
        return [run.key.seed for run in self.runs]

    def episodes_of(self, seed: int) -> pd.DataFrame:
        return self.episodes[self.episodes["seed"] == seed]


@dataclass(frozen=True, slots=True)
class ResultsIndex:
    """The methods with at least one finished run of an evaluation, by setting and then in the methods' order."""

    results: list[MethodResult]
    unreadable: Mapping[RunKey, str]  # finished runs that are left out, and why each cannot be read


def read_index(folder: Path, *, evaluation: str, only: Collection[RunKey] | None = None) -> ResultsIndex:
    """Raises ValueError where runs of one row cannot be evaluated together."""
    runs, unreadable = [], {}
    for run in find_runs(folder):
        if evaluation in run.evaluations() and (only is None or run.key in only):
            try:
                runs.append(_result_of_one_run(run, evaluation))
            except ValueError as error:
                unreadable[run.key] = str(error)
    apart = []
    for _, group in by_setting(sorted(runs, key=lambda each: each.setting.place)):
        parts = parts_of([each.runs[0] for each in group], [each.manifests[0] for each in group])
        apart += [
            replace(each, setting=replace(each.setting, part=part.name, why=part.why))
            for each, part in zip(group, parts, strict=True)
        ]
    apart.sort(key=lambda each: (each.setting.place, method_order(each.method), each.seeds))
    rows = groupby(apart, key=lambda each: (each.setting, each.method))
    return ResultsIndex([_joined(list(seeds)) for _, seeds in rows], unreadable)


def _result_of_one_run(run: RunFolder, evaluation: str) -> MethodResult:
    """Without estimates, and its setting without a part. Raises ValueError where a file of the run is damaged."""
    manifest, episodes = run.manifest(evaluation), run.episodes(evaluation)
    run.config  # noqa: B018  raises ValueError where it is damaged
    problems = problems_label(run.key.task, split=manifest.split, num_problems=manifest.num_problems)
    setting = replace(setting_of(run.key), problems=problems, is_recording=manifest.is_recording)
    return MethodResult(run.key.method, setting, evaluation, (run,), (manifest,), episodes)


def _joined(seeds: list[MethodResult]) -> MethodResult:
    """The results of single runs as one, with estimates. Raises ValueError where they are not of the same problems."""
    first = seeds[0]
    episodes = pd.concat([each.episodes for each in seeds], ignore_index=True).dropna(axis="columns", how="all")
    try:
        estimates = estimate(episodes)
    except ValueError as error:
        raise ValueError(f"{first.method} on {first.setting.label}: {error}") from error
    runs, manifests = tuple(each.runs[0] for each in seeds), tuple(each.manifests[0] for each in seeds)
    return replace(first, runs=runs, manifests=manifests, episodes=episodes, estimates=estimates)


def trainings(results: list[MethodResult]) -> list[MethodResult]:
    """The results as what was trained: each run once, under the task that it trained on, whichever tasks test it."""
    once, seen = [], set[Path]()
    for result in sorted(results, key=lambda each: each.runs[0].trained_on != each.setting.task):
        new = [place for place, run in enumerate(result.runs) if run.path not in seen]
        seen.update(run.path for run in result.runs)
        setting, trained_on = result.setting, result.runs[0].trained_on
        if trained_on != setting.task:
            setting = replace(setting, task=trained_on, problems="")
        runs, manifests = ([values[place] for place in new] for values in (result.runs, result.manifests))
        once += [replace(result, setting=setting, runs=tuple(runs), manifests=tuple(manifests))] if new else []
    once.sort(key=lambda each: (each.setting.place, method_order(each.method)))
    return [_same_training(list(group)) for _, group in groupby(once, key=lambda each: (each.setting, each.method))]


def _same_training(parts: list[MethodResult]) -> MethodResult:
    runs = tuple(run for part in parts for run in part.runs)
    return replace(parts[0], runs=runs, manifests=tuple(each for part in parts for each in part.manifests))


def setting_of(key: RunKey) -> Setting:
    return Setting(key.task, key.model, key.variant)


def by_setting(results: list[MethodResult]) -> list[tuple[Setting, list[MethodResult]]]:
    return [(setting, list(group)) for setting, group in groupby(results, key=lambda result: result.setting)]


def base_of(result: MethodResult, results: list[MethodResult]) -> MethodResult | None:
    """The untrained model in the same setting, which every method is to be compared with."""
    return next((other for other in results if other.setting == result.setting and other.method == "base"), None)
