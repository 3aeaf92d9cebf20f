"""Programs per second: `ProgramVerifier` against a fresh `python -I` process per program, on the same references.

    python tests/perf/programs.py ../shared/data [--workers 2] [--programs 0]

The fresh processes are as many side by side, run program and tests in one namespace, isolate nothing and form the
verdict inside the candidate: the least that a grader can do. Reads HumanEval and MBPP under the folder given.
"""

import argparse
import gzip
import json
import logging
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.episode import Grade, Problem, UnitTests
from bench.grading.programs.extraction import assemble
from bench.grading.programs.formats import humaneval_tests, mbpp_tests
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.sandbox import confinement
from bench.grading.verifier import Grading


def references(folder: Path) -> list[tuple[str, UnitTests]]:
    """Every reference solution of HumanEval and of the full MBPP with its unit tests."""
    with gzip.open(folder / "humaneval" / "HumanEval.jsonl.gz", "rt") as lines:
        humaneval = [json.loads(line) for line in lines]
    mbpp = [json.loads(line) for line in (folder / "mbpp" / "mbpp.jsonl").read_text().splitlines()]
    programs = [(row["canonical_solution"], humaneval_tests(row)) for row in humaneval]
    return programs + [(row["code"], mbpp_tests(row)) for row in mbpp]


def run_fresh(program: tuple[str, UnitTests]) -> tuple[bool, float]:
    code, tests = program
    call = f"{tests.check}\ncheck({tests.entry_point})\n" if tests.check else ""
    source = assemble(tests, code) + "\n".join(tests.asserts) + "\n" + call
    start = time.monotonic()
    finished = subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, check=False, timeout=60)
    return finished.returncode == 0, time.monotonic() - start


def report(name: str, seconds: float, latencies: list[float], cpu: float) -> float:
    rate = len(latencies) / seconds
    half, most = 1000 * np.percentile(latencies, [50, 99])
    spent = 1000 * cpu / len(latencies)
    print(f"{name:16} {rate:7.1f} programs/s   p50 {half:6.1f} ms   p99 {most:6.1f} ms   {spent:5.1f} ms of CPU each")
    return rate


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with humaneval/ and mbpp/")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--programs", type=int, default=0, help="no more than so many; 0: all")
    options = parser.parse_args()
    programs = references(options.data)[: options.programs or None]
    print(f"{len(programs)} programs, {options.workers} side by side; {confinement.isolation()}")

    before, start = cpu_of_children(), time.monotonic()
    with ProgramVerifier(Grading(workers=options.workers)) as verifier:
        waiting = [verifier.submit(Problem(str(n), "", "", tests=t), code) for n, (code, t) in enumerate(programs)]
        verdicts = [future.result() for future in waiting]
        seconds = time.monotonic() - start
    cpu = cpu_of_children() - before
    passed = sum(verdict.grade is Grade.CORRECT for verdict in verdicts)
    ours = report("ProgramVerifier", seconds, [verdict.seconds for verdict in verdicts], cpu)

    before, start = cpu_of_children(), time.monotonic()
    with ThreadPoolExecutor(options.workers) as pool:
        fresh = list(pool.map(run_fresh, programs))
    seconds = time.monotonic() - start
    theirs = report("fresh python -I", seconds, [latency for _, latency in fresh], cpu_of_children() - before)
    print(f"passed: {passed} and {sum(ok for ok, _ in fresh)} of {len(programs)}; ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
