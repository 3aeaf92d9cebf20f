"""Where a training stands: written at intervals, and taken up again where a run was killed.

A stage is a stretch of training with its own name. The record names the stage under way, those finished before it, and
what the policy's saved state belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bench.models.interface import KLEstimator, OptimizerConfig, Policy
from bench.rollout import RolloutWorker, Usage
from bench.runs.folder import Run


def save(
    policy: Policy, player: RolloutWorker, run: Run, *, stage: str, step: int, num_steps: int, **more: Any
) -> None:
    """Write a checkpoint of step `step`; `more` is what else the stage needs to go on."""
    before = run.progress
    finished = [] if before is None else before["finished"]
    if before is not None and before["stage"] != stage:
        finished = [*finished, before["stage"]]
    record = {
        "stage": stage,
        "step": step,
        "complete": step == num_steps,
        "finished": finished,
        "update": player.usage.updates,
        "ledger": asdict(player.usage),
        **more,
    }
    run.save_progress(policy.save_state, record)


def resume(policy: Policy, player: RolloutWorker, run: Run, stage: str) -> Mapping[str, Any] | None:
    """The newest record, if it is of this stage, with policy and usage as they were; call it after `policy.begin`.

    Log rows that are about to be written again are dropped: those past the record, or all of a stage without one.
    """
    progress = run.progress
    if progress is None or progress["stage"] != stage:
        run.tracker.forget_after(player.usage.updates, stage=stage)
        return None
    policy.restore_state(run.state_folder)
    player.usage = Usage(**progress["ledger"])
    run.tracker.forget_after(player.usage.updates)
    return progress


def is_finished(policy: Policy, player: RolloutWorker, run: Run, stage: str, optimizer: OptimizerConfig) -> bool:
    """Whether nothing is left to do in a stage. If it is the latest one, the policy gets the weights it ended with."""
    progress = run.progress
    if progress is None:
        return False
    if progress["stage"] == stage and progress["complete"]:
        policy.begin(optimizer, num_updates=1, kl_estimator=KLEstimator.k1)
        resume(policy, player, run, stage)
        return True
    return stage in progress["finished"]
