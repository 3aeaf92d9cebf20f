"""How fast math answers are graded, beside Math-Verify in one process: `python tests/perf/answers.py [--data DIR]`.

Three streams of (gold, attempt): real attempts of Qwen2.5-Math; MATH reference solutions, each to its own problem or to
another, every pair once (cold); and answers asked again and again, as in reinforcement learning, where a problem is
sampled many times and most samples repeat an answer. Both graders get the same texts; ours starts its processes within
the time measured. The last table gives the latency of one answer at a time, from submission to verdict.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from math_verify import parse, verify

from bench.episode import Problem
from bench.grading.answers.verifier import AnswerVerifier
from bench.grading.verifier import Grading

Stream = list[tuple[str, str]]  # (gold, attempt)
NUM_PROBLEMS = 300
SAMPLES_PER_PROBLEM = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--workers", type=int, default=0, help="processes of our grader (default: one per core)")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    streams = {
        "attempts of Qwen, once": qwen(options.data),
        "MATH, every pair once": cold(options.data),
        f"MATH, {SAMPLES_PER_PROBLEM} samples a problem": repeating(options.data),
    }
    print(f"{'stream':<32}{'answers':>9}{'ours/s':>10}{'Math-Verify/s':>15}{'times':>8}{'same verdict':>14}")
    for name, stream in streams.items():
        ours, our_verdicts = timed(lambda pairs: grade(pairs, options.workers), stream)
        theirs, their_verdicts = timed(math_verify_alone, stream)
        same = np.mean([one == other for one, other in zip(our_verdicts, their_verdicts, strict=True)])
        print(f"{name:<32}{len(stream):>9}{ours:>10.0f}{theirs:>15.0f}{ours / theirs:>8.1f}{same:>14.1%}")
    print(f"\n{'latency, one at a time (ms)':<32}{'p50':>9}{'p99':>9}{'max':>9}")
    for name, stream in streams.items():
        p50, p99, worst = np.percentile(latencies(stream, options.workers), [50, 99, 100]) * 1000
        print(f"{name:<32}{p50:>9.3f}{p99:>9.2f}{worst:>9.1f}")


def grade(stream: Stream, workers: int) -> list[bool]:
    """A fresh verifier, so that starting its processes is counted and nothing is remembered."""
    with AnswerVerifier(Grading(workers=workers)) as verifier:
        problems = {gold: Problem(id="", question="", gold=gold) for gold, _ in stream}
        verdicts = [verifier.submit(problems[gold], attempt) for gold, attempt in stream]
        return [verdict.result().grade == "correct" for verdict in verdicts]


def math_verify_alone(stream: Stream) -> list[bool]:
    return [verify(parse(f"${gold}$"), parse(attempt)) for gold, attempt in stream]


def timed(run: Callable[[Stream], list[bool]], stream: Stream) -> tuple[float, list[bool]]:
    started = time.perf_counter()
    verdicts = run(stream)
    return len(stream) / (time.perf_counter() - started), verdicts


def latencies(stream: Stream, workers: int) -> list[float]:
    with AnswerVerifier(Grading(workers=workers)) as verifier:
        verifier.submit(Problem(id="", question="", gold="x+y"), r"\boxed{y+x+0}").result()  # start the processes
        return [verifier.submit(Problem(id="", question="", gold=gold), text).result().seconds for gold, text in stream]


def qwen(data: Path) -> Stream:
    lines = (data / "attempts" / "math_qwen.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["gold"], row["attempt"]) for row in map(json.loads, lines)]


def cold(data: Path) -> Stream:
    """Half right (the reference solution), half wrong (the solution of another problem of the same subject)."""
    rows = math_rows(data)
    chance = random.Random(0)
    return [
        (row["answer"], (row if chance.random() < 0.5 else chance.choice(rows))["solution"])
        for row in chance.sample(rows, NUM_PROBLEMS)
    ]


def repeating(data: Path) -> Stream:
    """Per problem, samples drawn from its answer and three wrong ones, the more frequent first, in random order."""
    rows = math_rows(data)
    chance = random.Random(1)
    stream = []
    for row in chance.sample(rows, NUM_PROBLEMS):
        choices = [row["answer"], *(chance.choice(rows)["answer"] for _ in range(3))]
        for answer in chance.choices(choices, weights=[8, 4, 2, 1], k=SAMPLES_PER_PROBLEM):
            stream.append((row["answer"], f"We compute. So the answer is $\\boxed{{{answer}}}$."))
    chance.shuffle(stream)
    return stream


def math_rows(data: Path) -> list[dict]:
    with gzip.open(data / "math" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["answer"].strip()]


if __name__ == "__main__":
    main()
