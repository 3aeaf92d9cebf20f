"""The world of the miniature `math`: problems easier to check than to solve, and an author who errs as models do.

A problem asks for the x with f(g(x)) = c. The functions are permutations of a few numbers, given by tables drawn at
random, so nothing about one entry follows from another: it is known or it is not. A solution works backwards, one step
per function: a *hunch*, which number goes in, and then its *check*, what comes out.

    $f_{3}(7) = 12$, $f_{8}(0) = 7$.
    Final Answer: The final answer is $0$. I hope it is correct.

`Author` writes two attempts, for the model to be pretrained on, with the faults that the study is about. A model of that
author is right about half the time and worse when asked again. Reward can teach it two things. Which number is right,
entry by entry: this serves both attempts, but only where training problems touch the entry. And to look at the check
before an answer is kept or changed: this serves the second attempt alone, on every problem. So something to correct is
left on problems that were not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from bench.episode import Problem

NUM_VALUES = 20
NUM_FUNCTIONS = 60
LEVEL_SHARES = {1: 0.2, 2: 0.4, 3: 0.4}  # a problem's level is the number of its functions
SPLIT_SIZES = {"test": 500, "dev": 500, "train": 400}  # drawn in this order, none repeating one before it
WORLD_SEED = 7
SPLIT_SEEDS = {"test": 13, "dev": 14, "train": 15}

FINAL, END = ".\nFinal Answer: The final answer is $", "$. I hope it is correct."
# Everything that questions and solutions are made of, beside functions and numbers.
PHRASES = ("Find $x$ if $", *(f"x{')' * level} = " for level in LEVEL_SHARES), "$.", "$", "$, $", f"${FINAL}", END)

# Axes, as suffixes: N problems, K steps (in the order of solving: the outermost function first), F functions, V values.
IntArray = np.ndarray[Any, np.dtype[np.int64]]
Key = tuple[int, ...]  # a problem: its functions, outermost first, then the value that they must give


@dataclass(frozen=True, slots=True)
class Exercises:
    """Problems of one level. `functions_NK` outermost first; f_1(f_2(…(x))) = targets_N."""

    functions_NK: IntArray
    targets_N: IntArray

    @property
    def keys(self) -> list[Key]:
        return [
            (*functions, target)
            for functions, target in zip(self.functions_NK.tolist(), self.targets_N.tolist(), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Solutions:
    """Per step the hunch and what its check shows: f(hunch) = check. The last hunch is the answer."""

    hunches_NK: IntArray
    checks_NK: IntArray

    @property
    def answers_N(self) -> IntArray:
        return self.hunches_NK[:, -1]

    def texts(self, exercises: Exercises) -> list[str]:
        rows = zip(exercises.functions_NK.tolist(), self.hunches_NK.tolist(), self.checks_NK.tolist(), strict=True)
        return [_solution_text(*row) for row in rows]


@dataclass(frozen=True)
class Tables:
    """What is true: `outputs_FV[f, v]` is f(v), `inputs_FV[f, c]` the v with f(v) = c."""

    outputs_FV: IntArray
    inputs_FV: IntArray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Tables:
        outputs_FV = np.stack([rng.permutation(NUM_VALUES) for _ in range(NUM_FUNCTIONS)])
        return cls(outputs_FV, np.argsort(outputs_FV, axis=1))

    def pose(self, rng: np.random.Generator, level: int, num: int) -> Exercises:
        functions_NK = rng.integers(NUM_FUNCTIONS, size=(num, level))
        values_N = rng.integers(NUM_VALUES, size=num)
        for step in reversed(range(level)):
            values_N = self.outputs_FV[functions_NK[:, step], values_N]
        return Exercises(functions_NK, values_N)

    def solution(self, key: Key) -> int:
        *functions, value = key
        for function in functions:
            value = int(self.inputs_FV[function, value])
        return value


@dataclass(frozen=True, slots=True)
class Faults:
    """How often, and of how many entries, the author errs: the knobs of the laboratory. Ranges are uniform over entries.

    Of some entries the author is *unsure*: its hunch is the right number or one fixed decoy at both attempts, and the
    solution is handed in even if its check fails. Of others it has *doubts*: right at first, the decoy when asked again.
    A second attempt is of one of three kinds. Most are written anew, with the hunches of the second attempt. Some
    repeat the first. In the rest the author minds the checks: it keeps a hunch whose check shows the wanted number and
    changes one whose check does not.
    """

    unsure_share: float = 0.40
    unsure_first: tuple[float, float] = (0.20, 0.95)  # chance of the decoy
    unsure_second: tuple[float, float] = (0.45, 0.95)
    doubt_share: float = 0.12
    doubt_first: float = 0.06
    doubt_second: tuple[float, float] = (0.80, 0.98)
    repeating: float = 0.10  # share of second attempts
    minding: float = 0.25  # share of second attempts
    slips: float = 0.02  # chance per hunch of a number out of the air


@dataclass(frozen=True)
class Author:
    """Writes solutions with `faults`. Which entries it is unsure of, and its decoys, belong to the world: see `WORLD_SEED`."""

    tables: Tables
    faults: Faults
    decoys_FV: IntArray
    decoy_chance_first_FV: np.ndarray
    decoy_chance_second_FV: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, tables: Tables, faults: Faults) -> Author:
        shape = tables.inputs_FV.shape
        decoys_FV = (tables.inputs_FV + rng.integers(1, NUM_VALUES, size=shape)) % NUM_VALUES
        kind_FV = rng.random(shape)
        unsure_FV = kind_FV < faults.unsure_share
        doubted_FV = ~unsure_FV & (kind_FV < faults.unsure_share + faults.doubt_share)
        first_FV = np.where(unsure_FV, rng.uniform(*faults.unsure_first, shape), doubted_FV * faults.doubt_first)
        second_FV = np.where(
            unsure_FV, rng.uniform(*faults.unsure_second, shape), doubted_FV * rng.uniform(*faults.doubt_second, shape)
        )
        return cls(tables, faults, decoys_FV, first_FV, second_FV)

    def attempt(self, rng: np.random.Generator, exercises: Exercises) -> Solutions:
        hunches, checks = [], []
        wanted_N = exercises.targets_N
        for functions_N in exercises.functions_NK.T:
            hunches.append(self._hunch(rng, functions_N, wanted_N, self.decoy_chance_first_FV))
            checks.append(self.tables.outputs_FV[functions_N, hunches[-1]])
            wanted_N = hunches[-1]
        return Solutions(np.stack(hunches, axis=1), np.stack(checks, axis=1))

    def attempt_again(self, rng: np.random.Generator, exercises: Exercises, first: Solutions) -> Solutions:
        """The second attempt. Once a hunch is changed, the steps after it ask for another number and are written anew."""
        kind_N = rng.random(len(exercises.targets_N))
        repeats_N = kind_N < self.faults.repeating
        minds_N = ~repeats_N & (kind_N < self.faults.repeating + self.faults.minding)
        hunches, checks = [], []
        wanted_N = wanted_first_N = exercises.targets_N
        for functions_N, before_N, shown_N in zip(
            exercises.functions_NK.T, first.hunches_NK.T, first.checks_NK.T, strict=True
        ):
            hunches_N = self._hunch(rng, functions_N, wanted_N, self.decoy_chance_second_FV)
            minded_N = np.where(shown_N == wanted_N, before_N, self.tables.inputs_FV[functions_N, wanted_N])
            hunches_N = np.where(minds_N & (wanted_N == wanted_first_N), minded_N, hunches_N)
            hunches_N = np.where(repeats_N, before_N, hunches_N)
            hunches.append(hunches_N)
            checks.append(self.tables.outputs_FV[functions_N, hunches_N])
            wanted_N, wanted_first_N = hunches_N, before_N
        return Solutions(np.stack(hunches, axis=1), np.stack(checks, axis=1))

    def _hunch(
        self, rng: np.random.Generator, functions_N: IntArray, wanted_N: IntArray, decoy_chance_FV: np.ndarray
    ) -> IntArray:
        num = len(wanted_N)
        errs_N = rng.random(num) < decoy_chance_FV[functions_N, wanted_N]
        hunches_N = np.where(
            errs_N, self.decoys_FV[functions_N, wanted_N], self.tables.inputs_FV[functions_N, wanted_N]
        )
        return np.where(rng.random(num) < self.faults.slips, rng.integers(NUM_VALUES, size=num), hunches_N)


@dataclass(frozen=True)
class World:
    tables: Tables
    author: Author


@cache
def world(faults: Faults = Faults()) -> World:  # noqa: B008  frozen
    rng = np.random.default_rng(WORLD_SEED)
    tables = Tables.draw(rng)
    return World(tables, Author.draw(rng, tables, faults))


def question(key: Key) -> str:
    """As in "Find $x$ if $f_{3}(f_{8}(x)) = 12$."."""
    *functions, target = key
    opening = "".join(f"f_{{{function}}}(" for function in functions)
    return f"Find $x$ if ${opening}x{')' * len(functions)} = {target}$."


def _solution_text(functions: list[int], hunches: list[int], checks: list[int]) -> str:
    steps = zip(functions, hunches, checks, strict=True)
    working = ", ".join(f"$f_{{{function}}}({hunch}) = {check}$" for function, hunch, check in steps)
    return f"{working}{FINAL}{hunches[-1]}{END}"


@cache
def split_keys() -> dict[str, tuple[Key, ...]]:
    """The problems of every split; `SPLIT_SIZES` gives the order in which they are drawn and thereby kept apart."""
    tables = world().tables
    taken: set[Key] = set()
    keys = {}
    for split, size in SPLIT_SIZES.items():
        rng = np.random.default_rng(SPLIT_SEEDS[split])
        fresh: dict[Key, None] = {}
        while len(fresh) < size:
            level = int(rng.choice(list(LEVEL_SHARES), p=list(LEVEL_SHARES.values())))
            (key,) = tables.pose(rng, level, 1).keys
            if key not in taken:
                fresh[key] = None
        taken |= fresh.keys()
        keys[split] = tuple(fresh)
    return keys


def problems(split: str) -> list[Problem]:
    """The problems of "train", "dev" or "test": always the same, none in two splits."""
    keys = split_keys()[split]
    return [
        Problem(
            id=f"math/mini/{split}/{number:04d}",
            question=question(key),
            gold=str(world().tables.solution(key)),
            level=str(len(key) - 1),
        )
        for number, key in enumerate(keys)
    ]
