"""What a run died of, in a sentence with what to do, where that lies in its user's hands."""

import errno
import re

_AGAIN = "the same command then goes on where it stopped"
_DISK_FULL = f"the disk is full: make room, or set results=<a folder on another disk>; {_AGAIN}"
BATCHES = ("train_batch_tokens", "sample_batch_tokens")  # keys of a model that set how much of a GPU's memory it takes
_KEYS = " and ".join(f"model.{key}" for key in BATCHES)
_GPU_FULL = (
    f"the GPU's memory is full: set {_KEYS} to half of what they are, or model.gradient_checkpointing=true; {_AGAIN}"
)


def sentence(error: BaseException) -> str | None:
    """None for a fault of this project, which needs its traceback. Loads none of the libraries it speaks of."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, ValueError) or type(error).__name__ == "StaleWeightsError":
        return str(error)
    # torch and safetensors write files by themselves, and say of a full disk only this much.
    if "No space left on device" in said or "PytorchStreamWriter failed writing" in said:
        return _DISK_FULL
    if type(error).__name__ == "OutOfMemoryError":
        return _GPU_FULL
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in said:  # torch's own on a CPU is a RuntimeError
        return f"the machine's memory is full: set jobs=1, or {_KEYS} lower; {_AGAIN}"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename} may not be read or written ({error.strerror}): change that, or set another path"
    if isinstance(error, OSError) and error.errno == errno.EDQUOT:
        return _DISK_FULL
    if isinstance(error, FileNotFoundError):
        return f"{error.filename or said} is not there: it was moved or deleted while the run needed it"
    return None


def ran_out_of_gpu(trace: str) -> bool:
    """Whether a traceback ends with torch's error for a GPU whose memory is full; the message itself may have lines."""
    return bool(re.search(r"^torch\.(cuda\.)?OutOfMemoryError: |DefaultCPUAllocator", trace, flags=re.MULTILINE))
