"""How long a sweep will still take: from earlier runs of the same kind, and from the pace of those that run."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.experiment import Plan
from bench.results import RunKey
from bench.status import Status

_OF_ONE_RUN = ("seed", "jobs", "results", "grading", "tracking")  # what runs of one kind may differ in


@dataclass
class _Running:
    plan: Plan
    began: float
    status: Status | None = None
    phase_began: float = 0.0  # paces are a phase's own: sampling and learning differ
    phase_work: int = 0  # that was left when it began


@dataclass
class Forecast:
    """Knows what every experiment of a sweep has cost or costs, and says how long the others will take."""

    places: int
    clock: Any = time.monotonic
    _running: dict[RunKey, _Running] = field(default_factory=dict)
    _finished: list[tuple[Plan, float]] = field(default_factory=list)
    _paces: dict[tuple[str, ...], float] = field(default_factory=dict)  # seconds per piece of work, the newest
    _works: dict[tuple[str, ...], int] = field(default_factory=dict)  # pieces of work of a whole run

    def start(self, plan: Plan) -> None:
        self._running[plan.key] = _Running(plan, self.clock())

    def tell(self, plan: Plan, status: Status) -> None:
        run = self._running[plan.key]
        if run.status is None or status.phase != run.status.phase:
            run.phase_began, run.phase_work = self.clock(), status.work_left
        run.status = status
        if done := run.phase_work - status.work_left:
            for kind in _kinds(plan):
                self._paces[kind] = (self.clock() - run.phase_began) / done
                self._works[kind] = status.work_done + status.work_left

    def finish(self, plan: Plan, *, succeeded: bool) -> None:
        run = self._running.pop(plan.key)
        if succeeded:
            self._finished.append((plan, self.clock() - run.began))

    def seconds_left(self, waiting: Collection[Plan]) -> float | None:
        """Until all are done, `places` at a time; None while there is nothing to judge by."""
        left = [self._left(run) for run in self._running.values()]
        to_come = [self._whole(plan) for plan in waiting]
        known = [seconds for seconds in (*left, *to_come) if seconds is not None]
        if len(known) < len(left) + len(to_come):
            return None
        return makespan([seconds or 0.0 for seconds in left], [seconds or 0.0 for seconds in to_come], self.places)

    def _left(self, run: _Running) -> float | None:
        earlier = self._earlier(run.plan)
        if run.status is not None and run.status.work_done and _kinds(run.plan)[0] in self._paces:
            return run.status.work_left * self._paces[_kinds(run.plan)[0]]
        whole = earlier if earlier is not None else self._whole(run.plan)
        return None if whole is None else max(0.0, whole - (self.clock() - run.began))

    def _whole(self, plan: Plan) -> float | None:
        if (earlier := self._earlier(plan)) is not None:
            return earlier
        for kind in _kinds(plan):
            if kind in self._paces:
                return self._works[kind] * self._paces[kind]
        return None

    def _earlier(self, plan: Plan) -> float | None:
        """Seconds of finished runs that differ in their seed alone."""
        same = [seconds for other, seconds in self._finished if alike(plan.config, other.config)]
        return fmean(same) if same else seconds_of_earlier(plan)


def _kinds(plan: Plan) -> list[tuple[str, ...]]:
    """Whom to judge an experiment by, the most alike first."""
    key, trains = plan.key, "trains" if plan.experiment.method.trains else "measures"
    return [(*map(str, (key.task, key.model, trains)), method) for method in (f"{key.method}/{key.variant}", "any")]


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def core(config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in _OF_ONE_RUN}

    return json.loads(json.dumps(core(one))) == json.loads(json.dumps(core(other)))


def seconds_of_earlier(plan: Plan) -> float | None:
    """What finished runs beside this one took: other seeds of the same configuration; None if there are none."""
    told = []
    for folder in plan.key.folder(Path(plan.experiment.results)).parent.glob("seed*"):
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            manifests = [
                json.loads((folder / name / "manifest.json").read_text(encoding="utf-8"))
                for name in plan.experiment.evaluations
            ]
            if alike(plan.config, config):
                told.append(sum(each["seconds"] for each in manifests) + manifests[0]["training_seconds"])
        except (OSError, ValueError, KeyError):
            continue  # unfinished, or not ours to judge: an estimate is no reason to stop
    return fmean(told) if told else None


def makespan(running: Iterable[float], waiting: Iterable[float], places: int) -> float:
    """When the last ends, if each that waits takes the first place that becomes free."""
    ends = sorted(running)
    ends = [0.0] * max(0, places - len(ends)) + ends
    heapq.heapify(ends)
    for seconds in waiting:
        heapq.heappush(ends, heapq.heappop(ends) + seconds)
    return max(ends, default=0.0)


def spoken(seconds: float) -> str:
    """12 s, 3 min, 2 h 10 min: no more digits than an estimate has."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
