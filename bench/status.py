"""What an experiment says of itself to the process that waits for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """Where it stands. Work is counted in conversations: one for sampling it, one for learning from it."""

    phase: str
    done: int = 0  # of the phase's own units
    total: int = 0  # 0 where the phase has none
    work_done: int = 0  # by this process
    work_left: int = 0

    def __str__(self) -> str:
        return f"{self.phase} {self.done}/{self.total}" if self.total else self.phase


def training_work_left(
    *,
    planned: int,
    sampled: int,
    updates: int,
    per_step: int,
    per_batch: int,
    done: int,
    total: int,
    step_by_step: bool,
) -> int:
    """Conversations that training has still to sample, and still to learn from.

    Reinforcement (`step_by_step`) learns from `per_step` after each step. A supervised method samples first, then
    learns in batches of `per_batch` from an unknown part of that: from all until its last phase tells better.
    """
    learned = min(sampled, updates * (per_step if step_by_step else per_batch))
    unlearned = max(0, planned - learned)
    if not step_by_step and sampled >= 0.9 * planned and total:
        return min(unlearned, (total - done) * per_batch)
    return max(0, planned - sampled) + unlearned
