"""The world of the miniature `math`: problems easier to check than to solve, and an author who errs as models do.

A problem asks for the x with f(g(x)) = c. The functions are permutations of a few numbers, given by tables drawn at
random, so nothing about one entry follows from another: it is known or it is not. A solution works backwards, one step
per function: a *guess*, which number goes in, then its *check*, what comes out and whether that was wanted.

    $f_{3}(7) = 12$ (as wanted), $f_{8}(0) = 4$ (not as wanted).
    Final Answer: The final answer is $0$. I hope it is correct.

`Author` writes two attempts, for the model to be pretrained on, with the faults that the study is about. A model of
that author is right about half the time and worse when asked again. Reward can teach it two things. Which number is
right, entry by entry: this serves both attempts, but only where training problems touch the entry. And to look at the
check before a guess is kept or changed: this serves the second attempt alone, on every problem. So something to correct
is left on problems that were not trained on.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bench.episode import Problem

NUM_VALUES = 20
NUM_FUNCTIONS = 100
LEVEL_SHARES = {1: 0.2, 2: 0.4, 3: 0.4}  # a problem's level is the number of its functions
SPLIT_SIZES = {"test": 500, "dev": 500, "train": 1200}  # drawn in this order, none repeating one before it
WORLD_SEED = 7
SPLIT_SEEDS = {"test": 16, "dev": 14, "train": 15}

PASSED, FAILED = " (as wanted)", " (not as wanted)"
FINAL, END = ".\nFinal Answer: The final answer is $", "$. I hope it is correct."
# Everything that questions and solutions are made of, beside functions and numbers.
PHRASES = ("Find $x$ if $", *(f"x{')' * level} = " for level in LEVEL_SHARES), "$.", "$", END)
PHRASES += tuple(f"${mark}{after}" for mark in (PASSED, FAILED) for after in (", $", FINAL))

# Axes, as suffixes: N problems, K steps (in the order of solving: the outermost function first), F functions, V values.
IntArray = np.ndarray[Any, np.dtype[np.int64]]
Array = np.ndarray[Any, np.dtype[np.float64]]
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
    """Per step the guess and what its check shows: f(guess) = check. The last guess is the answer."""

    guesses_NK: IntArray
    checks_NK: IntArray

    @property
    def answers(self) -> IntArray:
        return self.guesses_NK[:, -1]

    def texts(self, exercises: Exercises) -> list[str]:
        wanted_NK = np.column_stack([exercises.targets_N, self.guesses_NK[:, :-1]])
        steps_NKC = np.stack([exercises.functions_NK, self.guesses_NK, self.checks_NK, self.checks_NK == wanted_NK], 2)
        return [_solution_text(steps) for steps in steps_NKC.tolist()]


@dataclass(frozen=True)
class Tables:
    """What is true: `outputs_FV[f, v]` is f(v), `inputs_FV[f, c]` the v with f(v) = c."""

    outputs_FV: IntArray
    inputs_FV: IntArray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Tables":
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
    """How often the author errs, and of how many entries: the knobs of the laboratory. Ranges: uniform over entries.

    Every entry has the right number and one decoy. Of most entries the author is sure. Of some it is *unsure*, at both
    attempts, and hands a solution in whose checks fail. Of others it has *doubts*: right at first, it turns to the
    decoy when asked again.

    A second attempt repeats the first, or takes notice of the first's checks, or else is written anew. To take notice
    is to *trust* a check that passed and keep its guess, or to *mind* one that failed and correct it.
    """

    unsure_share: float = 0.40
    unsure_first: tuple[float, float] = (0.20, 0.95)  # chance of the decoy at the first attempt
    unsure_second: tuple[float, float] = (0.50, 0.95)
    doubt_share: float = 0.10
    doubt_first: float = 0.06
    doubt_second: tuple[float, float] = (0.85, 0.98)
    repeating: float = 0.10  # share of second attempts
    trusting: float = 0.20  # chance, of the steps that passed
    minding: float = 0.35  # chance, of the steps that failed
    slips: float = 0.02  # chance per guess of a number out of the air


@dataclass(frozen=True)
class Author:
    """Writes solutions with `faults`. `first_FV` and `second_FV` are the chances of the decoy at the two attempts."""

    tables: Tables
    faults: Faults
    decoys_FV: IntArray
    first_FV: Array
    second_FV: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, tables: Tables, faults: Faults) -> "Author":
        shape = tables.inputs_FV.shape
        decoys_FV = (tables.inputs_FV + rng.integers(1, NUM_VALUES, size=shape)) % NUM_VALUES
        kind_FV = rng.random(shape)
        unsure_FV = kind_FV < faults.unsure_share
        doubted_FV = ~unsure_FV & (kind_FV < faults.unsure_share + faults.doubt_share)

        first_FV = unsure_FV * rng.uniform(*faults.unsure_first, shape) + doubted_FV * faults.doubt_first
        second_FV = unsure_FV * rng.uniform(*faults.unsure_second, shape)
        second_FV += doubted_FV * rng.uniform(*faults.doubt_second, shape)
        return cls(tables, faults, decoys_FV, first_FV, second_FV)

    def attempt(self, rng: np.random.Generator, exercises: Exercises) -> Solutions:
        guesses = []
        wanted_N = exercises.targets_N
        for functions_N in exercises.functions_NK.T:
            wanted_N = self._guess(rng, functions_N, wanted_N, self.first_FV)
            guesses.append(wanted_N)
        return self._checked(exercises, guesses)

    def attempt_again(self, rng: np.random.Generator, exercises: Exercises, first: Solutions) -> Solutions:
        """The second attempt. After a guess that is changed another number is wanted, and the rest is written anew."""
        kind_N = rng.random(len(exercises.targets_N))
        repeats_N = kind_N < self.faults.repeating
        guesses = []
        wanted_N = wanted_before_N = exercises.targets_N
        steps = zip(exercises.functions_NK.T, first.guesses_NK.T, first.checks_NK.T, strict=True)
        for functions_N, before_N, shown_N in steps:
            passed_N = shown_N == wanted_N
            notices_N = kind_N > 1 - np.where(passed_N, self.faults.trusting, self.faults.minding)
            notices_N &= wanted_N == wanted_before_N
            guesses_N = self._guess(rng, functions_N, wanted_N, self.second_FV)
            guesses_N = np.where(notices_N, self.tables.inputs_FV[functions_N, wanted_N], guesses_N)
            guesses_N = np.where(repeats_N, before_N, guesses_N)
            guesses.append(guesses_N)
            wanted_N, wanted_before_N = guesses_N, before_N
        return self._checked(exercises, guesses)

    def _guess(
        self, rng: np.random.Generator, functions_N: IntArray, wanted_N: IntArray, chances_FV: Array
    ) -> IntArray:
        num = len(wanted_N)
        errs_N = rng.random(num) < chances_FV[functions_N, wanted_N]
        guesses_N = np.where(
            errs_N, self.decoys_FV[functions_N, wanted_N], self.tables.inputs_FV[functions_N, wanted_N]
        )
        return np.where(rng.random(num) < self.faults.slips, rng.integers(NUM_VALUES, size=num), guesses_N)

    def _checked(self, exercises: Exercises, guesses: list[IntArray]) -> Solutions:
        guesses_NK = np.stack(guesses, axis=1)
        return Solutions(guesses_NK, self.tables.outputs_FV[exercises.functions_NK, guesses_NK])


@dataclass(frozen=True)
class World:
    tables: Tables
    author: Author


@cache
def world(faults: Faults = Faults()) -> World:
    rng = np.random.default_rng(WORLD_SEED)
    tables = Tables.draw(rng)
    return World(tables, Author.draw(rng, tables, faults))


def question(key: Key) -> str:
    """As in "Find $x$ if $f_{3}(f_{8}(x)) = 12$."."""
    *functions, target = key
    opening = "".join(f"f_{{{function}}}(" for function in functions)
    return f"Find $x$ if ${opening}x{')' * len(functions)} = {target}$."


def _solution_text(steps: list[list[int]]) -> str:
    """`steps` are rows of function, guess, check, and whether the check is the number that was wanted."""
    working = ", ".join(
        f"$f_{{{function}}}({guess}) = {check}${PASSED if passed else FAILED}"
        for function, guess, check, passed in steps
    )
    return f"{working}{FINAL}{steps[-1][1]}{END}"


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
