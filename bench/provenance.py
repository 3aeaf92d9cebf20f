"""Where numbers come from: the code, the libraries and the machine, for manifests."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pandas", "math-verify", "sympy", "hydra-core")


def provenance() -> dict[str, Any]:
    """The commit (and whether files differed from it), library versions, and hardware."""
    return {"commit": commit(), "versions": versions(), "hardware": hardware()}


def commit() -> str | None:
    """The commit of the code, with "+dirty" where tracked files differ from it; None outside a git checkout."""
    root = Path(__file__).resolve().parent.parent
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
    return {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count(), "gpus": gpus}


def _git(root: Path, *command: str) -> str | None:
    try:
        told = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()
