"""Experiments side by side, each in a process of its own: nothing of one run is left in memory for the next."""

import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bench.conduct import conduct
from bench.experiment import RunSpec
from bench.grading.sandbox.confinement import die_with_parent
from bench.launch.failures import sentence
from bench.launch.forecast import Forecast, spoken
from bench.launch.slots import Slot, Slots
from bench.machine import available_cores, visible_gpus
from bench.status import Status

_LISTEN_SECONDS = 5.0
_SILENT_SECONDS = 15.0  # so that with the wait before it, nothing is silent for more than 20


def run_all(specs: Sequence[RunSpec], slots: Slots) -> list[RunSpec]:
    """Conduct every spec, each in a slot of its own; returns those that failed. A failure stops no other."""
    forecast = Forecast(places=slots.at_once)
    waiting = list(specs)
    running: dict[BaseProcess, _Child] = {}
    failed: list[RunSpec] = []
    try:
        while waiting or running:
            for spec in list(waiting):
                slot = slots.take(uses_gpu=spec.experiment.model.uses_gpu)
                if slot is not None:
                    waiting.remove(spec)
                    forecast.start(spec)
                    process, child = _start(spec, slot, alone=slots.at_once == 1)
                    running[process] = child
            wait([*(process.sentinel for process in running), *_lines(running)], timeout=_LISTEN_SECONDS)
            for child in running.values():
                for status in child.heard():
                    forecast.tell(child.spec, status)
            for process in [process for process in running if not process.is_alive()]:
                child = running.pop(process)
                child.line.close()
                slots.give_back(child.slot)
                forecast.finish(child.spec, succeeded=process.exitcode == 0)
                if process.exitcode != 0:
                    failed.append(child.spec)
                outcome = "done" if process.exitcode == 0 else f"FAILED (exit code {process.exitcode})"
                num_done = len(specs) - len(waiting) - len(running)
                _say(f"[{num_done}/{len(specs)}] {child.spec.key}: {outcome}{_left(forecast, waiting, running)}")
            for child in running.values():
                if child.silent_seconds >= _SILENT_SECONDS:
                    _say(f"{child.spec.key}  still {child.status}{_left(forecast, waiting, running)}")
                    child.speaks()
    finally:
        for process in running:
            process.terminate()
    return failed


def slots_for(specs: Sequence[RunSpec], *, jobs: int) -> Slots:
    """Places for these specs on this machine; GPUs are looked for only if a model would use one."""
    num_on_gpu = sum(spec.experiment.model.uses_gpu for spec in specs)
    return Slots(
        num_on_gpu=num_on_gpu,
        num_on_cpu=len(specs) - num_on_gpu,
        gpus=visible_gpus() if num_on_gpu else (),
        num_cores=available_cores(),
        jobs=jobs,
    )


@dataclass
class _Child:
    """An experiment's process as its parent sees it."""

    spec: RunSpec
    slot: Slot
    line: Connection
    status: Status = field(default_factory=lambda: Status("starting Python"))
    _spoke: float = field(default_factory=time.monotonic)

    def heard(self) -> Iterator[Status]:
        """What it has said since; a new phase is said on, for it says nothing itself until it can count."""
        try:
            while self.line.poll():
                status = self.line.recv()
                if status.phase != self.status.phase:
                    _say(f"{self.spec.key}  {status.phase}")
                self.status = status
                self.speaks()
                yield status
        except (EOFError, OSError):
            return

    def speaks(self) -> None:
        self._spoke = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        return time.monotonic() - self._spoke


def _lines(running: Mapping[BaseProcess, _Child]) -> list[Connection]:
    return [child.line for child in running.values() if not child.line.closed]


def _left(forecast: Forecast, waiting: Sequence[RunSpec], running: Mapping[BaseProcess, _Child]) -> str:
    seconds = forecast.seconds_left(waiting)
    return "" if seconds is None or not (waiting or running) else f"; about {spoken(seconds)} left in all"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def environment_of(slot: Slot, *, alone: bool) -> dict[str, str]:
    """What an experiment in that slot is started with; OMP_NUM_THREADS stays as the user set it."""
    environment = {}
    if slot.gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        if "HIP_VISIBLE_DEVICES" in os.environ:  # ROCm listens to this one first
            environment["HIP_VISIBLE_DEVICES"] = slot.gpu
    if not alone:
        environment["BENCH_PLAIN_PROGRESS"] = "1"
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(slot.cores))
    return environment


def _start(spec: RunSpec, slot: Slot, *, alone: bool) -> tuple[BaseProcess, _Child]:
    grading = replace(spec.experiment.grading, workers=spec.experiment.grading.workers or slot.cores)
    with_workers = replace(spec, experiment=replace(spec.experiment, grading=grading))
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # Spawned, not forked: the child starts without this process's threads, and may use CUDA.
    process = multiprocessing.get_context("spawn").Process(
        target=_conduct, args=(with_workers, environment_of(slot, alone=alone), theirs, os.getpid()), name=str(spec.key)
    )
    process.start()
    theirs.close()
    return process, _Child(spec, slot, ours)


def _conduct(spec: RunSpec, environment: dict[str, str], line: Connection, parent: int) -> None:
    """The whole life of a child: exit code 0 if the experiment is done."""
    die_with_parent(parent)  # or it would go on holding its run folder
    os.environ.update(environment)
    logging.basicConfig(level=logging.INFO, format=f"{spec.key}  %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpx2", "openai", "datasets", "transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    failure = spec.failure_file
    try:
        conduct(spec, line.send)
    except BaseException as error:
        trace = traceback.format_exc()
        if isinstance(error, KeyboardInterrupt):
            sys.exit(130)
        # What a user can mend needs one line; a fault of ours needs its trace.
        print(f"{spec.key}: {sentence(error) or trace}", file=sys.stderr)
        if failure.parent.is_dir():
            with suppress(OSError):  # the disk may be what is full
                failure.write_text(trace, encoding="utf-8")
        sys.exit(1)
    failure.unlink(missing_ok=True)
