"""Where training stands: written at intervals, and taken up again where a run was killed."""

from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter

from bench.models.interface import KLEstimator, OptimizerConfig
from bench.rollout import Usage
from bench.runs.folder import Run
from bench.training.adaptive_kl import AdaptiveKLCoef
from bench.training.trainer import Trainer


@dataclass
class StageState:
    """How far a stage has come."""

    step: int = 0
    best_score: float | None = None  # of the checkpoints so far, by what `Selection` compares
    best_step: int | None = None  # the step of that checkpoint
    adaptive_kl: AdaptiveKLCoef = field(default_factory=AdaptiveKLCoef)
    first: dict[str, float] = field(default_factory=dict)  # the first step's |sampler − learner|, see AlertThresholds


@dataclass(frozen=True)
class Checkpoint:
    """The record beside the policy's saved state."""

    stage: str  # the one under way, or the last one that ended
    complete: bool  # whether that stage has ended
    finished: list[str]  # those before it, in order
    usage: Usage
    state: StageState


def save(trainer: Trainer, stage: str, state: StageState, *, complete: bool) -> None:
    before = latest(trainer.run)
    finished = [] if before is None else before.finished
    if before is not None and before.stage != stage:
        finished = [*finished, before.stage]
    usage = trainer.rollouts.usage
    record = Checkpoint(stage=stage, complete=complete, finished=finished, usage=usage, state=state)
    trainer.run.save_progress(trainer.policy.save_state, asdict(record), update=usage.updates)


def latest(run: Run) -> Checkpoint | None:
    return None if run.progress is None else TypeAdapter(Checkpoint).validate_python(run.progress)


def resume(trainer: Trainer, stage: str) -> StageState | None:
    """The newest state, if it is of this stage, with policy and usage as they were; call it after `policy.begin`.

    Log rows that are about to be written again are dropped: those past the record, or all of a stage without one.
    """
    found, run = latest(trainer.run), trainer.run
    if found is None or found.stage != stage:
        run.tracker.forget_after(trainer.rollouts.usage.updates, stage=stage)
        return None
    trainer.policy.restore_state(run.state_folder)
    trainer.rollouts.usage = found.usage
    run.tracker.forget_after(found.usage.updates)
    return found.state


def finished_stages(run: Run) -> list[str]:
    """In order; the last one's weights are the checkpoint's, unless another stage has begun since."""
    found = latest(run)
    if found is None:
        return []
    return [*found.finished, found.stage] if found.complete else list(found.finished)


def restore_finished(trainer: Trainer, optimizer: OptimizerConfig) -> None:
    """Give the policy the weights that the last finished stage ended with, if the newest checkpoint holds them."""
    found = latest(trainer.run)
    if found is not None and found.complete:
        trainer.policy.begin(optimizer, num_updates=1, kl_estimator=KLEstimator.k1)
        resume(trainer, found.stage)
