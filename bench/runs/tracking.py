"""A copy of a run's numbers in Weights & Biases; losing it loses nothing."""

import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench.files import write_file

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
        """One evaluation: its metrics, distributions of fractions and some transcripts to read."""
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
            _LOG.warning("W&B is offline (%s); later: wandb sync %s/wandb/offline-run-*", one_line(error), folder)
            mode = "offline"
            with suppress(*failures):
                run = start(mode)
        else:
            _LOG.warning("W&B is left out (%s); train.jsonl is complete without it", one_line(error))
    if run is None:
        return None
    run.define_metric("update")
    for of_training in ("train/*", "probe/*", "selection/*", "speed/*"):
        run.define_metric(of_training, step_metric="update")
    return WandbMirror(wandb, run)


def _run_id(path: Path) -> str:
    """The folder's own id at W&B, made once: a resumed training and a later evaluation join the same run."""
    if not path.exists():
        write_file(path, secrets.token_hex(4).encode())
    return path.read_text()


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())
