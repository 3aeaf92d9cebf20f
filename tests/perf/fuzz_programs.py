"""Fuzz code extraction and the protocol between a program and its test runner for as long as wanted.

    python tests/perf/fuzz_programs.py --minutes 10

Half of the time runs the properties of the test suite over and over, with new examples. In the other half, programs
answer the test runner with damaged replies: every verdict must be a grade, and never `correct`.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import test_code_extraction
import test_program_data

from bench.episode import Grade, Problem, UnitTests
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.verifier import Grading

PROPERTIES: tuple[Callable[[], None], ...] = (
    test_code_extraction.test_extraction_of_any_text_ends_with_code_or_none,
    test_program_data.test_a_plain_value_arrives_equal_and_of_the_same_type,
    test_program_data.test_a_forged_message_is_a_value_or_is_refused,
    test_program_data.test_bytes_that_are_no_message_are_refused,
)
EXAMPLES = 100  # of a property per round, hypothesis' default
BABBLER = """
import json, os, random, struct, sys
chance = random.Random({seed})
def junk(depth=0):
    tag = chance.choice("iltsfdqbacrnkvmDFTyoM")
    plain = [None, True, chance.uniform(-1e300, 1e300), chance.getrandbits(70), tag]
    kind = chance.randrange(8 if depth < 5 else 5)
    return plain[kind] if kind < 5 else [tag, *(junk(depth + 1) for _ in range(chance.randrange(4)))]
def answer():
    frame = sys._getframe()
    while "nonce" not in frame.f_locals:
        frame = frame.f_back
    kind = chance.choice(["returned", "raised", ""])
    reply = [frame.f_locals["nonce"], kind, *(junk() for _ in range(chance.randrange(4)))]
    data = bytearray(json.dumps(reply).encode())
    for _ in range(chance.choice([0, 0, 0, 1, 5])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    os.write(3, struct.pack("!I", len(data) + chance.choice([0, 0, 0, 1, -1, 1 << 20])) + data)
    os._exit(0)
def f(x):
    answer()
if chance.random() < 0.2:
    answer()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes

    stop = time.monotonic() + 60 * minutes / 2
    rounds = 0
    while time.monotonic() < stop:
        for check in PROPERTIES:
            check()
        rounds += 1
    print(f"{rounds * EXAMPLES * len(PROPERTIES)} examples of {len(PROPERTIES)} properties: no crash")

    stop = time.monotonic() + 60 * minutes / 2
    problem = Problem("fuzz", "", "", tests=UnitTests(asserts=("assert f(1) == 'what nobody answers'",)))
    grades: dict[Grade, int] = {}
    with ProgramVerifier(Grading(workers=2, program_seconds=2)) as verifier:
        for start in itertools.count(step=100):
            babble = [verifier.submit(problem, BABBLER.replace("{seed}", str(start + n))) for n in range(100)]
            for future in babble:
                grade = future.result().grade
                grades[grade] = grades.get(grade, 0) + 1
            if time.monotonic() > stop:
                break
    print(f"{sum(grades.values())} programs that babble: {grades}")
    assert Grade.CORRECT not in grades


if __name__ == "__main__":
    main()
