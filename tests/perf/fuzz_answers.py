"""Fuzzes the reading and comparing of answers: `python tests/perf/fuzz_answers.py --minutes 10`.

Texts are glued together from pieces that mean something to the readers and from arbitrary characters. For each, nothing
may raise, reading may not take more than linear time, an answer equals itself, and both sides of a comparison may be
exchanged. With --workers, answers that need algebra go to real workers, and after each round the pool is still whole.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from itertools import pairwise

from bench.episode import Grade, Problem
from bench.grading.answers.equivalence import decide
from bench.grading.answers.extraction import extract_answer, extract_answer_line
from bench.grading.answers.normalise import normalise
from bench.grading.answers.predictions import stated_answer
from bench.grading.answers.string_match import same_string
from bench.grading.answers.verifier import AnswerVerifier
from bench.grading.verifier import Grading

PIECES = [
    *(
        r"\boxed{",
        r"\boxed ",
        r"\fbox{",
        "Final Answer: ",
        "The final answer is ",
        "I hope it is correct.",
        "A: ",
        "#### ",
    ),
    *(
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        r"\{",
        r"\}",
        r"\left(",
        r"\right)",
        "$",
        "$$",
        r"\(",
        r"\)",
        r"\[",
        r"\]",
        "|",
        "**",
    ),
    *(
        "1",
        "2",
        "07",
        "3.5",
        "1/2",
        "1,000",
        r"\frac{1}{2}",
        r"\frac12",
        r"2\frac{1}{3}",
        r"\sqrt2",
        r"\sqrt[3]{8}",
        "10^5",
    ),
    *(
        "x",
        "y",
        "i",
        r"\pi",
        r"\theta",
        "x_1",
        "x^2",
        "=",
        "+",
        "-",
        "*",
        "/",
        "^",
        "_",
        "<",
        r"\le ",
        r"\pm ",
        r"\cup ",
    ),
    *(
        r"\infty",
        r"\in ",
        ",",
        ";",
        ":",
        ".",
        "!",
        "%",
        r"\%",
        r"\approx ",
        r"\cdot ",
        r"\times ",
        "&",
        r"\\",
        "\\",
        "\n",
    ),
    *(
        r"\text{cm}",
        r"\text{ and }",
        r"\text{",
        "feet",
        "p.m.",
        " or ",
        " ",
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        "4_5",
    ),
    *(r"\overline{3}", r"\binom{5}{2}", r"\sin ", "e", "\u2212", "\u03c0", "\ud83d\ude00", "\u0663", "\x00", "\ud800"),
]
SECONDS_PER_CHARACTER = 2e-4  # a thousand times what it takes; quadratic patterns exceed it on the repeated pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes for algebra; 0: none, the cheap tiers only")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    end = time.monotonic() + 60 * options.minutes
    counts: Counter[str] = Counter()
    while time.monotonic() < end:
        answers = [answer for _ in range(200) if (answer := read(text(chance), counts)) is not None]
        for one, other in pairwise(answers):
            compare(one, other, counts)
        if options.workers:
            grade(answers, options.workers, counts)
    print(", ".join(f"{number} {what}" for what, number in counts.most_common()))


def text(chance: random.Random) -> str:
    pieces = [chance.choice(PIECES) if chance.random() < 0.95 else chr(chance.randrange(0x3000)) for _ in range(12)]
    if chance.random() < 0.02:
        place = chance.randrange(len(pieces))
        pieces[place] *= 10 ** chance.randrange(2, 5)
    return "".join(pieces[: chance.randrange(1, 13)])


def read(text: str, counts: Counter[str]) -> str | None:
    counts["texts"] += 1
    started = time.process_time()
    answers = [extract(text) for extract in (extract_answer, extract_answer_line, stated_answer)]
    assert time.process_time() - started < 0.5 + SECONDS_PER_CHARACTER * len(text), text[:200]
    assert all(answer is None or answer.strip() for answer in answers), text[:200]
    counts["answers found in attempts"] += answers[0] is not None
    return answers[2] if answers[2] and len(answers[2]) < 2000 else None


def compare(one: str, other: str, counts: Counter[str]) -> None:
    same_string(one, other)
    one, other = normalise(one), normalise(other)
    assert decide(one, one) is bool(one), one
    verdict = decide(one, other)
    assert decide(other, one) == verdict, (one, other)
    counts[f"comparisons: {verdict}"] += 1


def grade(answers: list[str], workers: int, counts: Counter[str]) -> None:
    with AnswerVerifier(Grading(workers=workers, answer_seconds=2), extract=str) as verifier:
        asked = [verifier.submit(Problem(id="", question="", gold=gold), answer) for gold, answer in pairwise(answers)]
        counts.update(f"graded {verdict.result().grade}" for verdict in asked)
        alive = verifier.submit(Problem(id="", question="", gold="(x+1)^2"), "x^2+2x+1").result()
        assert alive.grade is Grade.CORRECT, alive


if __name__ == "__main__":
    main()
