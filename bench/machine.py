"""What this machine offers: cores and GPUs. Asks no CUDA library in this process: its children may still use them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Ask = Callable[[Sequence[str]], str]  # what a command prints; "" where it cannot be run

_SECONDS_TO_ANSWER = 60
_MASKS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_COUNT_BY_TORCH = "import torch; print(torch.cuda.device_count())"


def available_cores() -> int:
    """Those that this process may run on, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ask(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def visible_gpus(
    environment: Mapping[str, str] | None = None, *, root: Path = Path("/"), ask: Ask = _ask
) -> tuple[str, ...]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them.

    The user's own mask is believed, then the driver's files, then nvidia-smi. Where only the device of WSL2 or of ROCm
    shows that there is a GPU, torch counts them in a process of its own, which takes seconds.
    """
    environment = os.environ if environment is None else environment
    for mask in _MASKS:
        if mask in environment:
            named = [gpu.strip() for gpu in environment[mask].split(",")]
            return tuple(gpu for gpu in named if gpu and gpu != "-1")
    installed = root / "proc/driver/nvidia/gpus"
    if installed.is_dir():
        return _numbered(len(list(installed.iterdir())))
    listed = ask(("nvidia-smi", "-L")).splitlines()
    if num_gpus := sum(line.startswith("GPU ") for line in listed):
        return _numbered(num_gpus)
    if any((root / device).exists() for device in ("dev/dxg", "dev/kfd")):
        counted = ask((sys.executable, "-c", _COUNT_BY_TORCH)).strip()
        return _numbered(int(counted) if counted.isdecimal() else 0)
    return ()


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
