"""Where the numbers of a run go while it runs: `train.jsonl` always; W&B and a progress bar as mirrors of it."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from bench.files import sync, write_file
from bench.status import Work

_LOG = logging.getLogger(__name__)

_PATIENCE = 12  # seconds that a run waits for W&B to answer, when it starts and when it ends
TENTHS = np.linspace(0, 1, 11)  # the bins of every histogram of fractions, so that runs can be compared


def utc_now() -> str:
    """As 2025-01-31T12:00:00.123+00:00."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Tracking(Enum):
    """Which mirror a run has besides its own files."""

    wandb = "wandb"  # online when there is an account, offline otherwise
    none = "none"


# A phase, how many of its units are done, of how many, and which work that is (None where nothing can be counted).
Listener = Callable[[str, int, int, Work | None], None]


class Mirror(Protocol):
    """A copy of the run's numbers elsewhere; losing it loses nothing."""

    def log(self, row: Mapping[str, Any]) -> None: ...

    def alert(self, title: str, text: str) -> None: ...

    def summarise(
        self,
        metrics: Mapping[str, float],
        *,
        histograms: Mapping[str, Sequence[float]],
        transcripts: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> None:
        """One evaluation: its metrics, distributions of fractions and some transcripts to read."""
        ...

    def close(self) -> None: ...


class Tracker:
    """The log of one run. Rows are JSON objects with an `update` number and a `time` (UTC), flushed as they come."""

    def __init__(self, path: Path, *, label: str) -> None:
        self.label = label
        self.mirror: Mirror | None = None
        self.listener: Listener | None = None
        self._path = path

    def log(self, **row: Any) -> None:
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"time": utc_now(), **row}) + "\n")
        self._mirror(lambda mirror: mirror.log(row))

    def alert(self, title: str, text: str) -> None:
        """Shout where people look: W&B sends its alerts on, to mail or chat."""
        self._mirror(lambda mirror: mirror.alert(title, text))

    def sync(self) -> None:
        """Flush the rows to the disk: a checkpoint must not outlive them."""
        if self._path.exists():
            sync(self._path)

    def forget_after(self, update: int, *, stage: str | None = None) -> None:
        """Drop rows past `update`, those of `stage`, and a torn line: they are about to be written again."""
        if not self._path.exists():
            return
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row["update"] <= update and (stage is None or row.get("stage") != stage):
                kept.append(line + "\n")
        write_file(self._path, "".join(kept).encode())

    def summarise(
        self,
        metrics: Mapping[str, float],
        *,
        histograms: Mapping[str, Sequence[float]],
        transcripts: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> None:
        self._mirror(lambda mirror: mirror.summarise(metrics, histograms=histograms, transcripts=transcripts))

    def progress(self, what: str, *, total: int, work: Work, start: int = 0) -> Progress:
        progress = Progress(f"{self.label} {what}", total=total, start=start)
        if self.listener is not None:
            listener = self.listener
            progress.listener = lambda done: listener(what, done, total, work)
            listener(what, start, total, work)
        return progress

    def phase(self, what: str) -> None:
        """Say what begins, where nothing can be counted."""
        if self.listener is not None:
            self.listener(what, 0, 0, None)

    def close(self) -> None:
        self._mirror(lambda mirror: mirror.close())

    def _mirror(self, act: Callable[[Mirror], None]) -> None:
        """Whatever the mirror fails of, the run goes on without it, and says so once."""
        if self.mirror is None:
            return
        try:
            act(self.mirror)
        except Exception as error:
            _LOG.warning("the mirror of this run failed (%s); its own files are complete", _one_line(error))
            self.mirror = None


class Progress:
    """A bar with the time left on a terminal; elsewhere, or beside other runs, a plain line now and then."""

    def __init__(self, label: str, *, total: int, start: int = 0, seconds_between_lines: float = 15.0) -> None:
        self._label = label
        self._total = total
        self._done = self._start = start
        self._between = seconds_between_lines
        self._began = self._last_line = time.monotonic()
        self.listener: Callable[[int], None] | None = None
        self._bar = None
        if sys.stderr.isatty() and not os.environ.get("BENCH_PLAIN_PROGRESS"):
            self._bar = tqdm(total=total, initial=start, desc=label, dynamic_ncols=True, leave=False)

    def advance(self, amount: int = 1, *, shown: Mapping[str, float] | None = None) -> None:
        self._done += amount
        if self.listener is not None:
            self.listener(self._done)
        numbers = {name: f"{value:.3g}" for name, value in (shown or {}).items()}
        if self._bar is not None:
            self._bar.set_postfix(numbers, refresh=False)
            self._bar.update(amount)
            return
        now = time.monotonic()
        if now - self._last_line >= self._between or self._done >= self._total:
            self._last_line = now
            pace = (now - self._began) / max(1, self._done - self._start)
            left = f"{(self._total - self._done) * pace:.0f} s left"
            told = "  ".join((self._label, f"{self._done}/{self._total}", left, *map(" ".join, numbers.items())))
            print(told, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class WandbMirror:
    """Mirrors a run to Weights & Biases, offline where there is no account."""

    def __init__(self, wandb: ModuleType, run: Any) -> None:
        self._wandb = wandb
        self._run = run

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log({name: value for name, value in row.items() if name != "alerts"})

    def alert(self, title: str, text: str) -> None:
        self._run.alert(title=title, text=text, level="WARN", wait_duration=0)

    def summarise(
        self,
        metrics: Mapping[str, float],
        *,
        histograms: Mapping[str, Sequence[float]],
        transcripts: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> None:
        logged: dict[str, Any] = dict(metrics)
        for name, values in histograms.items():
            if len(values):
                logged[name] = self._wandb.Histogram(np_histogram=np.histogram(values, TENTHS))
        for name, rows in transcripts.items():
            columns = list(rows[0]) if rows else []
            data = [[row[column] for column in columns] for row in rows]
            logged[name] = self._wandb.Table(columns=columns, data=data)
        self._run.log(logged)

    def close(self) -> None:
        self._run.finish()


def open_wandb(folder: Path, *, config: Mapping[str, Any], group: str, name: str) -> WandbMirror | None:
    """A mirror in `folder`/wandb, which every later one of that folder goes on with.

    Offline, with a line that says so, where W&B knows no account, refuses its key or does not answer in time; None
    where it cannot start at all: a run never dies of its mirror, nor waits for it.
    """
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")
    failures = (wandb.Error, OSError, ValueError)

    def start(mode: str) -> Any:
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", "self-correction-bench"),
            dir=folder,
            config=dict(config),
            group=group,
            name=name,
            id=_run_id(folder / "wandb" / "id"),
            resume="allow",
            mode=mode,  # pyright: ignore[reportArgumentType]  W&B itself refuses an unknown WANDB_MODE
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=_PATIENCE, finish_timeout=_PATIENCE, finish_timeout_raises=True
            ),
        )

    run = None
    mode = os.environ.get("WANDB_MODE")
    try:
        if mode is None or mode == "online":
            # Without a network a key is given up after ten seconds; with one, `start` waits for W&B.
            mode = "online" if wandb.login(prompt=False) else "offline"
        run = start(mode)
    except failures as error:
        if mode in (None, "online"):
            _LOG.warning("W&B is offline (%s); later: wandb sync %s/wandb/offline-run-*", _one_line(error), folder)
            mode = "offline"
            with suppress(*failures):
                run = start(mode)
        else:
            _LOG.warning("W&B is left out (%s); train.jsonl is complete without it", _one_line(error))
    if run is None:
        return None
    run.define_metric("update")
    for of_training in ("train/*", "probe/*", "selection/*"):
        run.define_metric(of_training, step_metric="update")
    return WandbMirror(wandb, run)


def _run_id(path: Path) -> str:
    """The folder's own id at W&B, made once: a resumed training and a later evaluation join the same run."""
    if not path.exists():
        write_file(path, secrets.token_hex(4).encode())
    return path.read_text()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
