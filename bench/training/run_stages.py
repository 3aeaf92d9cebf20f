"""Run a method's stages: the one loop over updates that reinforcement learning and imitation share.

It begins, resumes, steps, skips what is not finite, counts, logs and writes checkpoints; what differs between the two
kinds of stage is in `ReinforceLoop` and `ImitateLoop`.
"""

from collections.abc import Sequence
from typing import Protocol

from bench.episode import TrainingSample
from bench.models.interface import KLEstimator, NonFiniteGradientError, OptimizerConfig, UpdateStats
from bench.status import Work
from bench.training import checkpoint
from bench.training.checkpoint import StageState
from bench.training.imitate import ImitateLoop
from bench.training.non_finite import SkippedUpdates
from bench.training.reinforce import ReinforceLoop
from bench.training.speed import Speed
from bench.training.stages import Imitate, Reinforce, Stage, check_stages
from bench.training.step_metrics import StepMetrics
from bench.training.trainer import Trainer
from bench.training.work_left import planned_work


class StageLoop(Protocol):
    """What `run_stages` asks a kind of stage for, in this order."""

    name: str
    num_updates: int  # known after `collect`
    checkpoint_every: int
    optimizer: OptimizerConfig
    kl_estimator: KLEstimator
    importance_cap: float | None
    work: Work  # the kind of work that an update is, for estimates of the time left
    resamples: bool  # whether an update without a finite gradient is made again with new samples, or left out
    state: StageState

    def prepare(self) -> None:
        """While the policy still is the base model: what the stage needs of that."""
        ...

    def collect(self) -> None:
        """Sample what is sampled ahead of the updates, and put the weights to start from in place."""
        ...

    def samples(self, *, attempt: int) -> Sequence[TrainingSample]:
        """What the next update learns from; `attempt` counts the tries at it, from 0."""
        ...

    def metrics(self, samples: Sequence[TrainingSample], stats: UpdateStats) -> StepMetrics:
        """What is logged of an update."""
        ...

    def measure(self) -> dict[str, float]:
        """What is measured between updates, if anything, at the state's step."""
        ...

    def select(self) -> dict[str, float]:
        """At a checkpoint: keep the weights if they are the best so far; returns what is logged of it."""
        ...

    def checkpointed(self) -> None:
        """A checkpoint of the state has been written."""
        ...


def run_stages(stages: Sequence[Stage], trainer: Trainer) -> None:
    """Train, from the base model or from where a killed run left off; the policy ends with the last stage's weights."""
    check_stages(stages)
    stages = [stage for stage in stages if not isinstance(stage, Reinforce) or stage.num_steps]
    trainer.run.tracker.expect(planned_work(stages, trainer.config))
    finished = checkpoint.finished_stages(trainer.run)
    loops = {stage.name: _loop(stage, trainer) for stage in stages}
    for stage in stages:
        if stage.name not in finished:
            loops[stage.name].prepare()
    started_from = {stage.start_from for stage in stages if isinstance(stage, Imitate)}
    for stage in stages:
        loop = loops[stage.name]
        if stage.name not in finished:
            loop.collect()
            _run(loop, trainer)
        elif stage.name == finished[-1]:
            checkpoint.restore_finished(trainer, loop.optimizer)
        weights = trainer.run.stage_weights(stage.name)
        if stage.name in started_from and not weights.exists():
            trainer.run.save_stage_weights(stage.name, trainer.policy.save)


def _loop(stage: Stage, trainer: Trainer) -> StageLoop:
    return ReinforceLoop(stage, trainer) if isinstance(stage, Reinforce) else ImitateLoop(stage, trainer)


def _run(loop: StageLoop, trainer: Trainer) -> None:
    policy, run = trainer.policy, trainer.run
    policy.begin(
        loop.optimizer,
        num_updates=loop.num_updates,
        kl_estimator=loop.kl_estimator,
        importance_cap=loop.importance_cap,
    )
    resumed = checkpoint.resume(trainer, loop.name)
    usage = trainer.rollouts.usage  # a resumed one is the checkpoint's
    if resumed is not None:
        loop.state = resumed
    state = loop.state

    def log(**row: object) -> None:
        run.log(update=usage.updates, stage=loop.name, step=state.step, **row)

    if resumed is None and (measured := loop.measure()):
        log(**measured)
    progress = run.tracker.progress(loop.name, total=loop.num_updates, start=state.step, work=loop.work)
    skipped = SkippedUpdates(f"{run.key} {loop.name}")
    speed = Speed(trainer)
    while state.step < loop.num_updates:
        samples = loop.samples(attempt=skipped.in_a_row if loop.resamples else 0)
        stats = None
        try:
            stats = policy.update(samples)
        except NonFiniteGradientError as error:
            skipped.add(error, step=state.step + 1)
            if loop.resamples:
                continue
        state.step += 1
        due = state.step % loop.checkpoint_every == 0 or state.step == loop.num_updates
        shown = {}
        if stats is not None:
            usage.updates += 1
            usage.trained_tokens += stats.trained_tokens
            metrics = loop.metrics(samples, stats)
            selection = loop.select() if due else {}
            log(**metrics.row, **{"train/skipped": skipped.reset()}, **speed.step(stats), **selection, **metrics.more)
            shown = metrics.shown
        progress.advance(shown=shown)
        if measured := loop.measure():
            log(**measured)
        if due:
            checkpoint.save(trainer, loop.name, state, complete=state.step == loop.num_updates)
            loop.checkpointed()
    progress.close()
    speed.tell(f"{run.key} {loop.name}")
