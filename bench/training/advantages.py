"""From correctness to rewards and from rewards to advantages: pure functions of plain numbers.

A row is one episode's values, one per attempt or reply; a group is the rows of one problem's samples.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from bench.episode import ATTEMPT, Episode

Row = tuple[float, ...]


def per_attempt(reward: Callable[[Sequence[float]], Sequence[float]]) -> Callable[[Episode], Row]:
    """A stage's reward from one of correctness per attempt; replies that are no attempts earn nothing."""

    def per_reply(episode: Episode) -> Row:
        values = iter(reward(episode.rewards))
        return tuple(next(values) if reply.kind == ATTEMPT else 0.0 for reply in episode.replies)

    return per_reply


def check_discount(discount: float) -> None:
    if not 0 <= discount <= 1:
        raise ValueError(f"method.discount must lie in [0, 1], not {discount}")


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


def leave_one_out(group: Sequence[Row], labels: Sequence[Sequence[str]] | None = None) -> list[Row]:
    """Each row less the mean of the *other* rows, reply by reply (RLOO, Ahmadian et al. 2024).

    `labels` names the replies of each row, where rows differ in them: replies of one name are compared, and one that no
    other row has keeps its value less 0. The baseline does not depend on the row's own actions, so the gradient stays
    unbiased; the rows of a group sum to zero. Raises ValueError for fewer than two rows: there would be no others.
    """
    if len(group) < 2:
        raise ValueError("a leave-one-out baseline needs at least two samples per problem")
    names = labels or [range(len(row)) for row in group]
    sums: dict[object, float] = {}
    counts: Counter[object] = Counter()
    for row, row_names in zip(group, names, strict=True):
        counts.update(row_names)
        for name, value in zip(row_names, row, strict=True):
            sums[name] = sums.get(name, 0) + value
    return [
        tuple(
            value - (sums[name] - value) / max(1, counts[name] - 1) for name, value in zip(row_names, row, strict=True)
        )
        for row, row_names in zip(group, names, strict=True)
    ]


def progress_reward(rewards: Sequence[float], *, alpha: float) -> Row:
    """Stage II's rewards: r_1, then r_t + α (r_t − r_{t−1}). With α = 10: 0→0 is 0, 0→1 is 11, 1→1 is 1, 1→0 is −10."""
    later = (now + alpha * (now - before) for before, now in pairwise(rewards))
    return (rewards[0], *later)


def residual_reward(rewards: Sequence[float], *, alpha: float) -> Row:
    """Stage II's rewards less each sample's own −α r_{t−1}: r_1, then (1 + α) r_t.

    Given the attempt before, that term is a constant and moves no expectation of attempt t's gradient; it only adds
    variance, because the other samples' baseline does not know it.
    """
    return (rewards[0], *((1 + alpha) * reward for reward in rewards[1:]))


def last_attempt_reward(rewards: Sequence[float]) -> Row:
    """Stage I's rewards, and plain multi-turn RL's: nothing for any attempt but the last."""
    return (*(0.0 for _ in rewards[1:]), rewards[-1])
