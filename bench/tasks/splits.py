"""What every task does with its problems once they are read: keep splits apart, hold some out, take a few."""

import logging
import random
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.episode import Problem

SHUFFLE_SEED = 2409_12917  # fixed, and not the run's seed: every run of a quick look sees the same problems

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Splits:
    """A task's problems. An empty tuple: the source has no such split."""

    train: tuple[Problem, ...] = ()
    dev: tuple[Problem, ...] = ()
    test: tuple[Problem, ...] = ()

    def get(self, split: str, *, hint: str) -> tuple[Problem, ...]:
        problems = getattr(self, split)
        if not problems:
            raise ValueError(f"there are no {split} problems: {hint}")
        return problems

    def hold_out(self, num_dev: int) -> "Splits":
        """The same with `num_dev` training problems, by a fixed shuffle, moved to dev."""
        if num_dev >= len(self.train):
            raise ValueError(f"task.num_dev={num_dev} leaves none of {len(self.train)} training problems to train on")
        dev_ids = {problem.id for problem in _shuffled(self.train)[:num_dev]}
        rest = tuple(problem for problem in self.train if problem.id not in dev_ids)
        return Splits(rest, tuple(problem for problem in self.train if problem.id in dev_ids), self.test)


def capped(problems: tuple[Problem, ...], num: int | None) -> tuple[Problem, ...]:
    """At most `num` problems: the first of a fixed shuffle, so a larger look contains a smaller one. None: all."""
    return problems if num is None else _shuffled(problems)[:num]


def check_counts(**counts: int | None) -> None:
    """Raise ValueError if one of a task's counts, by the name of its key, leaves no problem."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"task.{name} must be positive, not {count}; leave it out for all problems")


def _shuffled(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(random.Random(SHUFFLE_SEED).sample(problems, len(problems)))


def statement_key(statement: str) -> str:
    """Two statements with the same key are the same problem: case, white space and Unicode forms do not count.

    Exact otherwise. A looser key (letters and digits only) calls different problems equal: MATH asks for the roots of
    z^4 + z^2 + 1 in its test split and of z^4 - z^2 + 1 in training.
    """
    return "".join(unicodedata.normalize("NFKC", statement).casefold().split())


def shared_statements(train: Mapping[str, str], test: Mapping[str, str]) -> list[tuple[str, str]]:
    """(training id, test id) of each training problem that is a test problem, by id or by statement.

    Both arguments map ids to statements: what is asked, without examples and tests.
    """
    test_ids = {statement_key(statement): id for id, statement in test.items()}
    shared = []
    for id, statement in train.items():
        if id in test:
            shared.append((id, id))
        elif (key := statement_key(statement)) in test_ids:
            shared.append((id, test_ids[key]))
    return shared


def check_disjoint(train: Mapping[str, str], test: Mapping[str, str], *, task: str) -> None:
    """No test problem may be in training: every task asserts it when it loads."""
    if shared := shared_statements(train, test):
        pairs = listed([a if a == b else f"{a} (the same as {b})" for a, b in shared])
        raise ValueError(
            f"{len(shared)} test problems of {task} stand in its training data: {pairs}; remove them there"
        )


def statements(problems: Sequence[Problem]) -> dict[str, str]:
    """What each problem asks, by its id."""
    return {problem.id: problem.question for problem in problems}


def checked(
    problems: Sequence[Problem], *, origin: str, num_records: int, notes: Mapping[str, Sequence[str]] = {}
) -> tuple[Problem, ...]:
    """The problems, of which no two may have one id. Logs what became of the records.

    `notes` maps what happened ("skipped, empty gold") to the ids it happened to.
    """
    repeated = [id for id, count in Counter(problem.id for problem in problems).items() if count > 1]
    if repeated:
        raise ValueError(f"{origin}: {len(repeated)} duplicate ids: {listed(repeated)}")
    parts = "".join(f"; {len(ids)} {what} ({listed(ids)})" for what, ids in notes.items() if ids)
    log.info("%s: %d records, %d problems%s", origin, num_records, len(problems), parts)
    return tuple(problems)


def listed(ids: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(ids[:most])
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most} more"
