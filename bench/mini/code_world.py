"""The code miniature: small list programs, posed in MBPP's and in HumanEval's own row formats.

A problem is a chain of one to three steps on a list of whole numbers ("sort the numbers", "keep the even numbers"),
then an end ("add them up"), so a solution is one line per step. No two problems, in any split, ask for the same
function, and the tests of each tell it from the chain with any one step left out.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

SEED = 974_164  # the world's own: no run's seed changes its problems
NUM_ROWS = {"prompt": 10, "test": 200, "dev": 100, "train": 400}
NUM_HUMANEVAL = 164
NUM_TESTS = 3
NUM_PROBES = 12  # lists on which two chains that always agree count as the same function


@dataclass(frozen=True, slots=True)
class Step:
    """What the words ask for, written twice: `run` says what is right, `code` is the line of the reference program."""

    words: str
    code: str  # an expression in xs
    run: Callable[[list[int]], Any]


STEPS = (
    Step("sort the numbers", "sorted(xs)", sorted),
    Step("reverse the list", "xs[::-1]", lambda xs: xs[::-1]),
    Step("double each number", "[2 * x for x in xs]", lambda xs: [2 * x for x in xs]),
    Step("add one to each number", "[x + 1 for x in xs]", lambda xs: [x + 1 for x in xs]),
    Step("square each number", "[x * x for x in xs]", lambda xs: [x * x for x in xs]),
    Step("negate each number", "[-x for x in xs]", lambda xs: [-x for x in xs]),
    Step("keep the even numbers", "[x for x in xs if x % 2 == 0]", lambda xs: [x for x in xs if x % 2 == 0]),
    Step("keep the odd numbers", "[x for x in xs if x % 2 == 1]", lambda xs: [x for x in xs if x % 2 == 1]),
    Step("keep the positive numbers", "[x for x in xs if x > 0]", lambda xs: [x for x in xs if x > 0]),
    Step("drop the first number", "xs[1:]", lambda xs: xs[1:]),
    Step("drop the last number", "xs[:-1]", lambda xs: xs[:-1]),
    Step("drop repeated numbers", "list(dict.fromkeys(xs))", lambda xs: list(dict.fromkeys(xs))),
)
ENDS = (
    Step("return the list", "xs", lambda xs: xs),
    Step("add them up", "sum(xs)", sum),
    Step("count them", "len(xs)", len),
    Step("return the largest, or 0 if there is none", "max(xs, default=0)", lambda xs: max(xs, default=0)),
    Step("return the smallest, or 0 if there is none", "min(xs, default=0)", lambda xs: min(xs, default=0)),
)
Chain = tuple[Step, ...]


def mbpp_rows(split: str) -> list[dict[str, Any]]:
    """Rows of mbpp.jsonl for "train", "dev", "test" or "prompt" (the shots); ids count from 1 within the split."""
    start = 0
    for name, num_rows in NUM_ROWS.items():
        if name == split:
            break
        start += num_rows
    return [
        {
            "task_id": f"Mbpp/mini/{split}/{number:04d}",
            "text": f"Write a function to {_words(chain)}.",
            "code": f"def solve(xs):\n{_body(chain)}",
            "test_setup_code": "",
            "test_list": [f"assert solve({xs}) == {_run(chain, xs)}" for xs in tests],
            "challenge_test_list": [],
        }
        for number, (chain, tests) in enumerate(_problems()[start : start + NUM_ROWS[split]], start=1)
    ]


def humaneval_rows() -> list[dict[str, Any]]:
    """Rows of HumanEval.jsonl. Their functions are asked for nowhere in `mbpp_rows`."""
    return [
        {
            "task_id": f"HumanEval/mini/test/{number:04d}",
            "prompt": f'def solve(xs):\n    """{_words(chain).capitalize()}.\n'
            f'    >>> solve({tests[0]})\n    {_run(chain, tests[0])}\n    """\n',
            "canonical_solution": f"{_body(chain)}\n",
            "entry_point": "solve",
            "test": "def check(candidate):\n"
            + "".join(f"    assert candidate({xs}) == {_run(chain, xs)}\n" for xs in tests),
        }
        for number, (chain, tests) in enumerate(_problems()[-NUM_HUMANEVAL:])
    ]


def _words(chain: Chain) -> str:
    return ", then ".join(step.words for step in chain)


def _body(chain: Chain) -> str:
    *steps, end = chain
    return "\n".join([*(f"    xs = {step.code}" for step in steps), f"    return {end.code}"])


def _run(chain: Chain, xs: list[int]) -> Any:
    for step in chain:
        xs = step.run(xs)
    return xs


@cache
def _problems() -> list[tuple[Chain, list[list[int]]]]:
    """Every problem of the world with its test inputs, HumanEval's last."""
    rng = random.Random(SEED)
    probes = [_some_list(rng) for _ in range(NUM_PROBES)]
    known: set[str] = set()
    problems = []
    while len(problems) < sum(NUM_ROWS.values()) + NUM_HUMANEVAL:
        chain = (*rng.sample(STEPS, rng.choice((1, 2, 3))), rng.choice(ENDS))
        function = repr([_run(chain, xs) for xs in probes])
        if function not in known and (tests := _telling_tests(chain, rng)):
            known.add(function)
            problems.append((chain, tests))
    rng.shuffle(problems)  # short chains run out first, and every split should have its share of them
    return problems


def _telling_tests(chain: Chain, rng: random.Random) -> list[list[int]] | None:
    """Inputs on which the chain differs from itself with any one step left out; None if a few draws find none."""
    shorter = [chain[:i] + chain[i + 1 :] for i in range(len(chain) - 1)]
    for _ in range(10):
        tests = [_some_list(rng) for _ in range(NUM_TESTS)]
        if all(any(_run(chain, xs) != _run(other, xs) for xs in tests) for other in shorter):
            return tests
    return None


def _some_list(rng: random.Random) -> list[int]:
    """Four to six numbers, with repeats often enough that dropping them matters."""
    return [rng.randint(-4, 9) for _ in range(rng.randint(4, 6))]
