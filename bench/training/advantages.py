"""From rewards to weights: who is to be credited with what. Pure functions of plain numbers.

A row is one episode's values, one per attempt; a group is the rows of one problem's samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Row = tuple[float, ...]


def returns(rewards: Sequence[float], *, discount: float) -> Row:
    """Each attempt's reward and the discounted rewards after it.

    At the paper's discount of 0 an attempt answers for its own reward alone: the first is never credited with the
    second's reward or bonus.
    """
    total = 0.0
    backwards = []
    for reward in reversed(rewards):
        total = reward + discount * total
        backwards.append(total)
    return tuple(reversed(backwards))


def leave_one_out(group: Sequence[Row]) -> list[Row]:
    """Each row less the mean of the *other* rows, attempt by attempt (RLOO, Ahmadian et al. 2024).

    The baseline does not depend on the row's own actions, so the gradient stays unbiased; the rows of a group sum to
    zero. Raises ValueError for fewer than two rows: there would be no others.
    """
    if len(group) < 2:
        raise ValueError("a leave-one-out baseline needs at least two samples per problem")
    sums = [sum(column) for column in zip(*group, strict=True)]
    others = len(group) - 1
    return [tuple(value - (total - value) / others for value, total in zip(row, sums, strict=True)) for row in group]


def progress_reward(rewards: Sequence[float], *, alpha: float) -> Row:
    """Stage II's rewards: r_1, then r_t + α (r_t − r_{t−1}). With α = 10: 0→0 is 0, 0→1 is 11, 1→1 is 1, 1→0 is −10."""
    later = (now + alpha * (now - before) for before, now in pairwise(rewards))
    return (rewards[0], *later)


def residual_reward(earned: Sequence[float], rewards: Sequence[float], *, alpha: float) -> Row:
    """Stage II's rewards less each sample's own −α r_{t−1}: r_1, then (1 + α) r_t.

    Given the attempt before, that term is a constant and moves no expectation of attempt t's gradient; it only adds
    variance, because the other samples' baseline does not know it.
    """
    later = (value + alpha * before for value, before in zip(earned[1:], rewards[:-1], strict=True))
    return (earned[0], *later)


def last_attempt_reward(rewards: Sequence[float]) -> Row:
    """Stage I's rewards, and plain multi-turn RL's: nothing for any attempt but the last."""
    return (*(0.0 for _ in rewards[1:]), rewards[-1])
