r"""The program of a process that does algebra on model text. Started by `algebra`.

Math-Verify reads an answer with a LaTeX parser, but falls back to sympy's `parse_expr`, which *evaluates* its text, and
sympy can be sent into computations without end. So that text is touched only here: in a process without network or
writable disk, with limits on memory and processor time, that its owner kills when the time is up.
"""

import json
import logging
import os
import resource
import socket
import time
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from math_verify import LatexExtractionConfig, verify
from math_verify import parse as math_verify_parse

from bench.grading.sandbox import confinement
from bench.grading.sandbox.plain_data import frame, frames

EXHAUSTED = 0.9  # of its address space: sympy swallows MemoryError, so that the peak has to tell


def main(descriptor: int, *, parent: int, memory_mb: int, seconds: float, readable: tuple[str, ...]) -> None:
    """Answer requests, `compare`'s arguments, by its result and whether memory is `exhausted`, until the owner ends."""
    confinement.die_with_parent(parent)
    logging.disable(logging.CRITICAL)
    if compare("$1$", "$\\frac{2}{2}$") != "correct":
        raise RuntimeError("Math-Verify finds that 2/2 is not 1; install the version that pyproject.toml pins")
    with Path("/proc/self/status").open() as status, socket.socket(fileno=descriptor) as channel:
        layers = confinement.confine(memory_mb=memory_mb, readable=readable)
        channel.sendall(frame({"layers": layers}))
        os.dup2(1, 2)  # /dev/null: the parser complains to stderr, and nobody empties that pipe
        for request in frames(channel.makefile("rb")):
            # a second line of defence, should the owner be too busy to keep its own time
            budget = int(time.process_time() + seconds) + 2
            resource.setrlimit(resource.RLIMIT_CPU, (budget, resource.RLIM_INFINITY))
            grade = compare(**json.loads(request))
            channel.sendall(frame({"grade": grade, "exhausted": peak_memory(status) > EXHAUSTED * (memory_mb << 20)}))


def peak_memory(status: TextIO) -> int:
    """The most address space this process has had, in bytes."""
    status.seek(0)
    return next(int(row.split()[1]) << 10 for row in status if row.startswith("VmPeak:"))


def compare(gold: str, answer: str) -> str:
    """correct, wrong, unparseable or memory; both are formulas in dollars."""
    try:
        golds, answers = parse(gold), parse(answer)
        if verify(golds, answers, allow_set_relation_comp=True, timeout_seconds=0):
            return "correct"
    except (MemoryError, RecursionError) as fault:
        return "memory" if isinstance(fault, MemoryError) else "unparseable"
    return "wrong" if any(not isinstance(found, str) for found in answers) else "unparseable"


@lru_cache(maxsize=256)
def parse(text: str) -> list:
    """Math-Verify's reading of a formula in dollars, which it must understand as a whole.

    Its search for a number in what it does not understand is off: that reads "5 # 6" as 5, and a model would learn to
    answer with several numbers. So is its own timeout, an alarm: the owner keeps the time.
    """
    return math_verify_parse(text, [LatexExtractionConfig()], parsing_timeout=0)
