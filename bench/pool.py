"""Experiments side by side, each in a process of its own: nothing of one run is left in memory for the next."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from bench.experiment import Plan, conduct
from bench.failures import sentence

_PR_SET_PDEATHSIG = 1


def run_all(plans: Sequence[Plan], *, jobs: int) -> list[Plan]:
    """Conduct every plan, `jobs` at once (0: one per GPU, or per core); returns those that failed.

    A failure stops no other experiment. Each GPU serves one experiment at a time.
    """
    gpus = visible_gpus()
    slots = list(range(jobs or len(gpus) or available_cores()))
    waiting = list(plans)
    running: dict[BaseProcess, tuple[Plan, int]] = {}
    failed: list[Plan] = []
    began, done = time.monotonic(), 0
    try:
        while waiting or running:
            while waiting and slots:
                plan, slot = waiting.pop(0), slots.pop(0)
                running[
                    _start(plan, slot=slot, gpus=gpus, num_slots=min(len(plans), len(slots) + len(running) + 1))
                ] = (
                    plan,
                    slot,
                )
            wait([process.sentinel for process in running])
            for process in [process for process in running if not process.is_alive()]:
                plan, slot = running.pop(process)
                slots.append(slot)
                done += 1
                if process.exitcode != 0:
                    failed.append(plan)
                outcome = "done" if process.exitcode == 0 else f"FAILED (exit code {process.exitcode})"
                left = (time.monotonic() - began) / done * (len(plans) - done)
                print(f"[{done}/{len(plans)}] {plan.key}: {outcome}; about {left:.0f} s left", file=sys.stderr)
    finally:
        for process in running:
            process.terminate()
    return failed


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; asks no CUDA library."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu and gpu != "-1"]
    installed = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index, _ in enumerate(installed.iterdir())] if installed.is_dir() else []


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(plan: Plan, *, slot: int, gpus: Sequence[str], num_slots: int) -> BaseProcess:
    environment = {}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    if num_slots > 1:
        environment["BENCH_PLAIN_PROGRESS"] = "1"
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(max(1, available_cores() // num_slots)))
    # Spawned, not forked: the child starts without this process's threads, and may use CUDA.
    process = multiprocessing.get_context("spawn").Process(
        target=_conduct, args=(plan, environment), name=str(plan.key)
    )
    process.start()
    return process


def _conduct(plan: Plan, environment: dict[str, str]) -> None:
    """The whole life of a child: exit code 0 if the experiment is done."""
    _die_with_parent()
    os.environ.update(environment)
    logging.basicConfig(level=logging.INFO, format=f"{plan.key}  %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "datasets", "transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    failure = plan.key.folder(Path(plan.experiment.results)) / "failure.txt"
    try:
        conduct(plan)
    except BaseException as error:
        told = traceback.format_exc()
        if isinstance(error, KeyboardInterrupt):
            sys.exit(130)
        # What a user can cure needs one line; a fault of ours needs its trace.
        print(f"{plan.key}: {sentence(error) or told}", file=sys.stderr)
        if failure.parent.is_dir():
            with suppress(OSError):  # the disk may be what is full
                failure.write_text(told, encoding="utf-8")
        sys.exit(1)
    failure.unlink(missing_ok=True)


def _die_with_parent() -> None:
    """A child whose parent is killed must not go on holding its run folder."""
    if sys.platform == "linux":
        parent = multiprocessing.parent_process()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent is None or not parent.is_alive():
            sys.exit(1)
