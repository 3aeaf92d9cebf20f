"""How long a sweep will still take: from the pace of each kind of work, in its own runs and in earlier ones."""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.experiment import RunSpec
from bench.runs.folder import RunKey
from bench.status import Status, Work

_OF_ONE_RUN = ("seed", "jobs", "results", "grading", "tracking")  # what runs of one kind may differ in

# Where a kind of work has not been seen: which others stand for it, and by what factor, the best first.
_STAND_INS: Mapping[Work, tuple[tuple[tuple[Work, ...], float], ...]] = {
    Work.step: (((Work.sample, Work.learn), 1), ((Work.sample,), 2), ((Work.evaluate,), 2)),
    Work.sample: (((Work.step,), 0.5), ((Work.evaluate,), 1)),
    Work.learn: (((Work.step,), 0.5), ((Work.sample,), 1), ((Work.evaluate,), 1)),
    Work.evaluate: (((Work.sample,), 1), ((Work.step,), 0.5)),
}


class _Paces:
    """Seconds and pieces of each kind of work, summed."""

    def __init__(self) -> None:
        self._seconds: Counter[Work] = Counter()
        self._pieces: Counter[Work] = Counter()

    def add(self, work: Work, seconds: float, pieces: int) -> None:
        self._seconds[work] += seconds  # pyright: ignore[reportArgumentType]  a Counter adds floats as well
        self._pieces[work] += pieces

    def get(self, work: Work) -> float | None:
        """Seconds per piece."""
        return self._seconds[work] / self._pieces[work] if self._pieces[work] else None


@dataclass
class _Running:
    plan: RunSpec
    began: float
    heard: float  # when it last spoke
    status: Status | None = None
    counts: bool = False  # whether it has begun what can be counted
    done: Counter[Work] = field(default_factory=Counter)
    paces: _Paces = field(default_factory=_Paces)

    @property
    def work(self) -> dict[Work, int]:
        """Of the whole run, as far as it is known."""
        assert self.status is not None
        return {work: self.done[work] + self.status.left.get(work, 0) for work in Work}


@dataclass
class Forecast:
    """Knows what every experiment of a sweep has cost or costs, and says how long the others will take."""

    places: int
    clock: Any = time.monotonic
    _running: dict[RunKey, _Running] = field(default_factory=dict)
    _finished: list[tuple[RunSpec, float]] = field(default_factory=list)
    _paces: dict[tuple[str, ...], _Paces] = field(default_factory=dict)
    _works: dict[tuple[str, ...], dict[Work, int]] = field(default_factory=dict)  # pieces of a whole run, the newest
    _startups: list[float] = field(default_factory=list)  # seconds before anything could be counted
    _endings: list[float] = field(default_factory=list)  # seconds after everything was counted
    _recalled: dict[tuple[str, ...], _Paces] = field(default_factory=dict)  # of earlier runs, by results, task, model

    def start(self, plan: RunSpec) -> None:
        self._running[plan.key] = _Running(plan, self.clock(), self.clock())

    def tell(self, plan: RunSpec, status: Status) -> None:
        run, now = self._running[plan.key], self.clock()
        before, seconds = run.status, now - run.heard
        run.status = status
        if not run.counts:
            if status.work is not None:
                run.counts, run.heard = True, now
                self._startups.append(now - run.began)
            return
        run.heard = now
        assert before is not None
        # What passes between two phases (weights are saved, files written) belongs to the one that ends.
        if (work := before.work) is not None:
            same = status.phase == before.phase
            pieces = max(0, before.left.get(work, 0) - status.left.get(work, 0)) if same else 0
            run.done[work] += pieces
            for paces in (run.paces, *(self._paces.setdefault(kind, _Paces()) for kind in _kinds(plan))):
                paces.add(work, seconds, pieces)
        self._works[_kinds(plan)[0]] = run.work

    def finish(self, plan: RunSpec, *, succeeded: bool) -> None:
        run = self._running.pop(plan.key)
        if succeeded:
            self._finished.append((plan, self.clock() - run.began))
            self._endings.append(self.clock() - run.heard)

    def seconds_left(self, waiting: Collection[RunSpec]) -> float | None:
        """Until all are done, `places` at a time; None while there is nothing to judge by."""
        left = [self._left(run) for run in self._running.values()]
        to_come = [self._whole(plan) for plan in waiting]
        known = [seconds for seconds in (*left, *to_come) if seconds is not None]
        if len(known) < len(left) + len(to_come):
            return None
        return makespan([seconds or 0.0 for seconds in left], [seconds or 0.0 for seconds in to_come], self.places)

    def _left(self, run: _Running) -> float | None:
        if run.counts and run.status is not None:
            seconds = self._seconds(run.plan, run.status.left, own=run.paces)
            return None if seconds is None else max(0.0, seconds + _mean(self._endings) - (self.clock() - run.heard))
        whole = self._whole(run.plan)
        return None if whole is None else max(0.0, whole - (self.clock() - run.began))

    def _whole(self, plan: RunSpec) -> float | None:
        same = [seconds for other, seconds in self._finished if alike(plan.config, other.config)]
        if same:
            return fmean(same)
        seconds = seconds_of_earlier(plan)
        if seconds is None:
            seconds = self._seconds(plan, self._work(plan))
        return None if seconds is None else _mean(self._startups) + seconds + _mean(self._endings)

    def _work(self, plan: RunSpec) -> Mapping[Work, int] | None:
        """Pieces of a run that has not begun. All that training is to sample counts as learned from."""
        if (known := self._works.get(_kinds(plan)[0])) is not None:
            return known
        others = [works for kind, works in self._works.items() if kind[:2] == _kinds(plan)[0][:2]]
        measured = [works[Work.evaluate] for works in others] or _rows_of_earlier(plan)
        if not measured:
            return None
        rl = plan.experiment.training.rl
        trained = rl.num_steps * rl.conversations_per_step
        return {Work.evaluate: measured[-1], Work.step: trained if plan.trains else 0}

    def _seconds(self, plan: RunSpec, work: Mapping[Work, int] | None, *, own: _Paces | None = None) -> float | None:
        """What so much work takes; None if no pace is known that could stand for it."""
        if work is None:
            return None
        tables = [own] if own else []
        tables += [self._paces[kind] for kind in _kinds(plan) if kind in self._paces]
        tables.append(self._recall(plan))
        seconds = [
            pieces * pace for kind, pieces in work.items() if pieces and (pace := _pace(kind, tables)) is not None
        ]
        return sum(seconds) if len(seconds) == sum(pieces > 0 for pieces in work.values()) else None

    def _recall(self, plan: RunSpec) -> _Paces:
        where = (plan.experiment.results, plan.key.task, plan.key.model)
        if where not in self._recalled:
            self._recalled[where] = _paces_of_earlier(plan)
        return self._recalled[where]


def _mean(seconds: Collection[float]) -> float:
    return fmean(seconds) if seconds else 0.0


def _pace(work: Work, tables: Iterable[_Paces]) -> float | None:
    tables = list(tables)
    for works, factor in (((work,), 1), *_STAND_INS[work]):
        each = [next((pace for table in tables if (pace := table.get(kind)) is not None), None) for kind in works]
        if None not in each:
            return factor * sum(pace for pace in each if pace is not None)
    return None


def _kinds(plan: RunSpec) -> list[tuple[str, ...]]:
    """Whom to judge an experiment by, the most alike first."""
    key = plan.key
    return [(key.task, key.model, name) for name in (f"{key.method}/{key.variant}", "any")]


def _manifests(plan: RunSpec) -> list[dict[str, Any]]:
    """Of the finished evaluations of this task and model in the results folder, of whatever method."""
    found = []
    pattern = f"*/{plan.key.task}/{plan.key.model}/*/seed*/*/manifest.json"
    for path in (plan.results / "runs").glob(pattern):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")) | {"run": path.parent.parent})
        except (OSError, ValueError):
            continue  # being written, or not ours to judge: an estimate is no reason to stop
    return found


def _paces_of_earlier(plan: RunSpec) -> _Paces:
    paces, trained = _Paces(), set[Path]()
    for manifest in _manifests(plan):
        try:
            paces.add(Work.evaluate, manifest["seconds"], manifest["num_rows"])
            if manifest["run"] not in trained and (sampled := manifest["usage"]["sampled_episodes"]):
                trained.add(manifest["run"])
                paces.add(Work.step, manifest["training_seconds"], sampled)
        except (KeyError, TypeError):
            continue  # another version's manifest
    return paces


def _rows_of_earlier(plan: RunSpec) -> list[int]:
    """Conversations that the plan's evaluations took together, in the runs that have all of them."""
    rows: dict[Path, dict[str, int]] = {}
    for manifest in _manifests(plan):
        if manifest.get("evaluation") in plan.experiment.evaluations and "num_rows" in manifest:
            rows.setdefault(manifest["run"], {})[manifest["evaluation"]] = manifest["num_rows"]
    return [sum(each.values()) for each in rows.values() if len(each) == len(plan.experiment.evaluations)]


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def core(config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in _OF_ONE_RUN}

    return json.loads(json.dumps(core(one))) == json.loads(json.dumps(core(other)))


def seconds_of_earlier(plan: RunSpec) -> float | None:
    """What finished runs beside this one took: other seeds of the same configuration; None if there are none."""
    told = []
    for folder in plan.key.folder(plan.results).parent.glob("seed*"):
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
