"""How long a sweep will still take: the work that is planned, at the pace of its own runs and of earlier ones."""

import heapq
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from bench.experiment import RunSpec
from bench.runs.fingerprints import claimed, differences
from bench.runs.folder import RunKey
from bench.runs.manifest import Manifest, read_manifest
from bench.status import Status, Work
from bench.training.values_read import planned_stages
from bench.training.work_left import planned_work

# What stands for a kind of work that has not been seen, the best first.
_STAND_INS: Mapping[Work, Sequence[Work]] = {
    Work.step: (Work.sample, Work.evaluate),
    Work.sample: (Work.step, Work.evaluate),
    Work.learn: (Work.step, Work.sample, Work.evaluate),
    Work.evaluate: (Work.sample, Work.step),
}
# Relative, roughly: a step both samples and learns.
_COST = {Work.step: 2, Work.sample: 1, Work.learn: 1, Work.evaluate: 1}


@dataclass
class _Paces:
    """Seconds and pieces of each kind of work, summed."""

    seconds: Counter[Work] = field(default_factory=Counter)
    pieces: Counter[Work] = field(default_factory=Counter)

    def add(self, work: Work, seconds: float, pieces: int) -> None:
        self.seconds[work] += seconds  # pyright: ignore[reportArgumentType]  a Counter adds floats as well
        self.pieces[work] += pieces


@dataclass
class _Running:
    spec: RunSpec
    began: float
    heard: float  # when it last spoke
    status: Status | None = None  # the latest that counts something
    paces: _Paces = field(default_factory=_Paces)


@dataclass
class Forecast:
    """Knows what every experiment of a sweep has cost or costs, and says how long the others will take."""

    places: int
    clock: Callable[[], float] = time.monotonic
    _running: dict[RunKey, _Running] = field(default_factory=dict)
    _paces: dict[tuple[str, ...], _Paces] = field(default_factory=dict)  # by whom to judge by (`_tables`)
    _to_evaluate: dict[Sequence[str], int] = field(default_factory=dict)  # conversations by `_tests`, as runs have said
    _startups: list[float] = field(default_factory=list)  # seconds before anything could be counted
    _endings: list[float] = field(default_factory=list)  # seconds after everything was counted

    def start(self, spec: RunSpec) -> None:
        self._running[spec.key] = _Running(spec, self.clock(), self.clock())

    def tell(self, spec: RunSpec, status: Status) -> None:
        run, now = self._running[spec.key], self.clock()
        before, seconds = run.status, now - run.heard
        if before is None and status.work is None:
            return
        run.status, run.heard = status, now
        if before is None:
            self._startups.append(now - run.began)
            self._to_evaluate[_tests(spec)] = status.left.get(Work.evaluate, 0)
        # What passes between two phases (weights are saved, files written) belongs to the one that ends.
        elif (work := before.work) is not None:
            same = status.phase == before.phase
            pieces = max(0, before.left.get(work, 0) - status.left.get(work, 0)) if same else 0
            for paces in (run.paces, *(self._paces.setdefault(kind, _Paces()) for kind in _kinds(spec))):
                paces.add(work, seconds, pieces)

    def finish(self, spec: RunSpec, *, succeeded: bool) -> None:
        run = self._running.pop(spec.key)
        if succeeded:
            self._endings.append(self.clock() - run.heard)

    def seconds_left(self, waiting: Collection[RunSpec]) -> float | None:
        """Until all are done, `places` at a time; None while there is nothing to judge by."""
        running = [seconds for run in self._running.values() if (seconds := self._left(run)) is not None]
        to_come = [seconds for spec in waiting if (seconds := self._whole(spec)) is not None]
        if len(running) + len(to_come) < len(self._running) + len(waiting):
            return None
        return makespan(running, to_come, self.places)

    def _left(self, run: _Running) -> float | None:
        if run.status is None:
            seconds, since = self._whole(run.spec), run.began
        else:
            seconds, since = self._seconds(run.spec, run.status.left, own=run.paces), run.heard
            seconds = None if seconds is None else seconds + _mean(self._endings)
        return None if seconds is None else max(0.0, seconds - (self.clock() - since))

    def _whole(self, spec: RunSpec) -> float | None:
        seconds = seconds_of_earlier(spec)
        if seconds is None:
            seconds = self._seconds(spec, self._work(spec))
        return None if seconds is None else _mean(self._startups) + seconds + _mean(self._endings)

    def _work(self, spec: RunSpec) -> Mapping[Work, int]:
        """Conversations of a run that has not begun. How many a hub's task evaluates is known once a run has begun."""
        task, training = spec.task, spec.experiment.training
        work = Counter({Work.evaluate: self._to_evaluate.get(_tests(spec), 0)})
        if not any(each.task.downloads for each in spec.missing):
            work[Work.evaluate] = sum(each.num_conversations for each in spec.missing)
        stages = () if spec.is_trained else planned_stages(spec.method.stages, task, training)
        for (kind, _), pieces in planned_work(stages, training).items():
            work[kind] += pieces
        return work

    def _seconds(self, spec: RunSpec, work: Mapping[Work, int], *, own: _Paces | None = None) -> float | None:
        """What so much work takes; None if no pace is known that could stand for it."""
        earlier = self._paces.setdefault(("earlier", spec.experiment.results, *_kinds(spec)[-1]), _Paces())
        if not earlier.pieces:
            _add_earlier(earlier, spec)
        tables = [own or _Paces(), *(self._paces.get(kind, _Paces()) for kind in _kinds(spec)), earlier]
        paces = {kind: _pace(kind, tables) for kind, pieces in work.items() if pieces}
        known = [work[kind] * pace for kind, pace in paces.items() if pace is not None]
        return sum(known) if paces and len(known) == len(paces) else None


def _mean(seconds: Collection[float]) -> float:
    return fmean(seconds) if seconds else 0.0


def _pace(work: Work, tables: Collection[_Paces]) -> float | None:
    """Seconds per piece, from the first table that has seen such work, or that which stands for it."""
    for kind in (work, *_STAND_INS[work]):
        for table in tables:
            if table.pieces[kind]:
                return table.seconds[kind] / table.pieces[kind] * _COST[work] / _COST[kind]
    return None


def _kinds(spec: RunSpec) -> list[tuple[str, ...]]:
    """Whom to judge an experiment by, the most alike first."""
    key = spec.key
    return [(key.task, key.model, f"{key.method}/{key.variant}"), (key.task, key.model)]


def _tests(spec: RunSpec) -> Sequence[str]:
    """Runs alike in this evaluate equally much."""
    return (spec.key.task, *(each.folder for each in spec.missing))


def _manifests(folders: Iterable[Path]) -> Iterator[tuple[Path, Manifest]]:
    """Folders with the manifest in each; one that is damaged, or another version's, is no reason to stop."""
    for folder in folders:
        with suppress(ValueError):
            if manifest := read_manifest(folder):
                yield folder, manifest


def _add_earlier(paces: _Paces, spec: RunSpec) -> None:
    """What the finished evaluations of this task and model in the results folder took, of whatever method."""
    pattern = f"*/{spec.key.task}/{spec.key.model}/*/seed*/*/manifest.json"
    trained = set[Path]()
    for folder, manifest in _manifests(path.parent for path in (spec.results / "runs").glob(pattern)):
        paces.add(Work.evaluate, manifest.seconds, manifest.num_rows)
        if folder.parent not in trained and (sampled := manifest.usage["sampled_episodes"]):
            trained.add(folder.parent)
            paces.add(Work.step, manifest.training_seconds, sampled)


def seconds_of_earlier(spec: RunSpec) -> float | None:
    """What finished runs beside this one took: other seeds of the same configuration; None if there are none.

    Of what is left to do in this one.
    """
    found, missing = [], spec.missing
    wanted = json.loads(json.dumps(claimed(spec.config)))
    for run in spec.key.folder(spec.results).parent.glob("seed*"):
        manifests = [manifest for _, manifest in _manifests(run / each.folder for each in missing)]
        is_finished = bool(missing) and len(manifests) == len(missing)
        if is_finished and {key for key, *_ in differences(claimed(manifests[0].config), wanted)} <= {"seed"}:
            training_seconds = 0.0 if spec.is_trained else manifests[0].training_seconds
            found.append(sum(each.seconds for each in manifests) + training_seconds)
    return fmean(found) if found else None


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
