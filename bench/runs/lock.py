"""Whether a folder may hold a run: it belongs to the configuration that has produced something in it."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.runs.fingerprints import claimed, differences

LOCK = ".lock"

# What a run that failed early leaves; everything else in its folder is something produced.
_NOT_PRODUCED = {"config.json", "inputs.json", "sessions.jsonl", "failure.txt", LOCK, "wandb"}


def check_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise ValueError, with a hint, if another configuration has produced what is in `folder`."""
    path = folder / "config.json"
    if not path.exists() or not has_produced(folder):
        return
    made_by = json.loads(path.read_text(encoding="utf-8"))
    # Through JSON, so that tuples and lists, or 1 and 1.0 in YAML, compare as they are stored.
    requested = json.loads(json.dumps(config))
    differing = [key for key, _, _ in differences(claimed(made_by), claimed(requested))]
    if differing:
        raise ValueError(
            f"{folder} was made by another configuration, which differs in {', '.join(differing)}; "
            "set variant=<name> to keep both, or delete that folder"
        )
    paths = [str(each.get("model", {}).get("path", "")) for each in (made_by, requested)]
    if paths[0] != paths[1] and all(map(_is_hub_id, paths)):
        raise ValueError(
            f"{folder} was made with model.path={paths[0]}, and {paths[1]} would share its name; "
            "set model.name=<name> to keep both"
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of `folder` while the context lasts. Raises ValueError, naming who holds it.

    A lock that another process looked at for a moment (`check_not_held`) is waited for.
    """
    with (folder / LOCK).open("a+") as lock:
        for pause in (0.1, 0.3, 0.0):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(pause)
        else:
            raise ValueError(_held_by(folder))
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def check_not_held(folder: Path) -> None:
    """Raise ValueError, naming who holds it, if another process works in `folder` now."""
    if not (folder / LOCK).is_file():
        return
    with (folder / LOCK).open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(_held_by(folder)) from None


def _held_by(folder: Path) -> str:
    holder = (folder / LOCK).read_text(encoding="utf-8") or "another process"
    return f"{holder} is working in {folder}; wait for it, end it, or set variant=<name>"


def _is_hub_id(path: str) -> bool:
    return path.count("/") == 1 and path[0] not in "./~" and not Path(path).exists()


def has_produced(folder: Path) -> bool:
    """Whether a run has left more than its lock and its configuration: one that failed before that binds nobody."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return any(name not in _NOT_PRODUCED and not name.endswith(".tmp") for name in names)


def not_writable(folder: Path, error: OSError) -> str:
    return f"results folder {folder} cannot be written ({error}); set results=<another folder>"
