"""Where numbers come from: the code, the libraries, the machine and the command, for manifests and training."""

import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.machine import available_cores
from bench.runs.tracking import utc_now

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pandas", "math-verify", "sympy", "hydra-core")


def provenance() -> dict[str, Any]:
    """The commit (and whether files differed from it), library versions, host and hardware, and the command line."""
    return {
        "commit": commit(),
        "versions": versions(),
        "host": platform.node(),
        "hardware": hardware(),
        "command": shlex.join(sys.argv),
    }


@contextmanager
def session(path: Path) -> Iterator[None]:
    """Add to `path`, a JSON object per line, that this process starts here, and when it ended.

    The `end` of one that was killed stays null.
    """
    earlier = sessions(path)
    entry = {"start": utc_now(), "end": None, **provenance()}
    _write_lines(path, [*earlier, entry])
    try:
        yield
    finally:
        _write_lines(path, [*earlier, {**entry, "end": utc_now()}])


def sessions(path: Path) -> list[dict[str, Any]]:
    """What `session` has written so far; none where the file is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def commit() -> str | None:
    """The commit of the code, with "+dirty" where tracked files differ from it; None outside a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    name = _git(root, "rev-parse", "HEAD")
    if name is None:
        return None
    return f"{name}+dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else name


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _LIBRARIES}}


def hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "system": platform.system(), "cores": available_cores(), "gpus": gpus}


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    write_file(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _git(root: Path, *command: str) -> str | None:
    try:
        completed = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return completed.stdout.strip()
