"""Run one experiment: train once, then evaluate what is missing, on every task. All in one process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from typing import Any, cast

from bench.evaluation import evaluate
from bench.experiment import RunSpec, TaskEvaluation, check_conversations
from bench.methods.interface import follow_up_turns
from bench.metrics.episode_metrics import summarise
from bench.models.config import Transformers
from bench.models.interface import Policy, Sampler
from bench.rollout import RolloutWorker, Usage
from bench.runs.fingerprints import claimed, problem_contents, row_fingerprint, table_fingerprint
from bench.runs.folder import Run, TrainingRecord
from bench.runs.manifest import Manifest
from bench.runs.parts import read_transcripts
from bench.runs.provenance import provenance, session, sessions
from bench.runs.records import to_read
from bench.runs.tracking import Tracking, open_wandb, utc_now
from bench.status import Status
from bench.training.run_stages import run_stages
from bench.training.trainer import Trainer
from bench.training.work_left import WorkLeft


def conduct(spec: RunSpec, tell: Callable[[Status], object] = str) -> None:
    """Train unless trained, evaluate what has not been evaluated; again, only fill holes. `tell` hears where."""
    experiment = spec.experiment
    with Run.lock(spec.key, spec.results, spec.config) as run, ExitStack() as verifiers:
        missing = spec.missing
        if not missing:
            return
        rollouts = {  # by id(): tasks, whose configurations may change, have no hash
            id(task): RolloutWorker(
                task, verifiers.enter_context(task.verifier(experiment.grading)), seed=experiment.seed
            )
            for task in spec.tasks
        }
        run.tracker.listener = WorkLeft(
            experiment.training,
            {each.folder: each.num_conversations for each in missing},
            trains=spec.trains and run.training is None,
            tell=tell,
        )
        run.tracker.phase("loading the model")
        if isinstance(spec.model, Transformers):
            spec.model.check_memory(trains=spec.trains)
        sampler = spec.model.build(spec.task.canonical_id)
        check_conversations(spec, sampler)
        contents = spec.model.contents()
        run.bind(_inputs(spec, contents))
        if experiment.tracking is Tracking.wandb:
            name = str(spec.key).replace("/", ".")
            run.tracker.mirror = open_wandb(run.folder, config=spec.config, group=spec.key.method, name=name)
        with closing(run.tracker):
            if spec.trains:
                run.tracker.phase("training")
                _train(spec, cast(Policy, sampler), rollouts[id(spec.task)], run)
            for each in missing:
                _evaluate(spec, each, sampler, rollouts[id(each.task)].without_usage(), run, contents)


def _inputs(spec: RunSpec, contents: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights and the training problems hold that a run is made from."""
    return {"weights": _without_revision(contents), "training problems": _training_problems(spec)}


def _training_problems(spec: RunSpec) -> dict[str, Any] | None:
    """Raises ValueError where a task that tests has one of them."""
    if not spec.trains:
        return None
    for task in spec.tasks:
        task.problems("train")
    return problem_contents(spec.task.problems("train"))


def _table(spec: RunSpec, asked: TaskEvaluation, *, grader: str, contents: Mapping[str, Any]) -> dict[str, Any]:
    """What all methods of a table must share."""
    task, problems = asked.task, asked.problems
    limits = asdict(spec.experiment.grading)
    return table_fingerprint(
        problems=problems,
        prompts=map(task.prompt, problems),
        correction=task.correction,
        stop=task.stop_strings,
        weights=_without_revision(contents),
        evaluation=asdict(asked.evaluation),
        grader={"grader": grader, **{key: limits[key] for key in limits if key not in ("workers", "allow_unsafe")}},
    )


def _without_revision(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Two commits of a hub's model may hold the same weights; what they hold is compared."""
    return {name: value for name, value in contents.items() if name != "revision"}


def _train(spec: RunSpec, policy: Policy, rollouts: RolloutWorker, run: Run) -> None:
    if run.training is not None:
        policy.restore(run.weights)
        policy.end()
        return
    began = time.monotonic()
    next_turn = partial(spec.method.next_turn, spec.task)
    with session(run.folder / "sessions.jsonl"):
        run_stages(spec.stages, Trainer(policy, rollouts, run, spec.experiment.training, next_turn))
    # Seconds of this process only: a resumed training's earlier hours are in sessions.jsonl.
    record = TrainingRecord(usage=asdict(rollouts.usage), seconds=time.monotonic() - began)
    run.finish_training(policy.save, record)
    policy.end()


def _evaluate(
    spec: RunSpec,
    asked: TaskEvaluation,
    sampler: Sampler,
    rollouts: RolloutWorker,
    run: Run,
    contents: Mapping[str, Any],
) -> None:
    task, training, grading = asked.task, run.training, dict(rollouts.verifier.description)
    table = _table(spec, asked, grader=grading["grader"], contents=contents)
    row = row_fingerprint(
        spec.config,
        turns=follow_up_turns(spec.method, task, num_attempts=2),
        training_problems=_training_problems(spec),
    )
    # Another batch size or device is no reason to begin again.
    made_from = {"trained": training and asdict(training), "table": table, "row": row, "config": claimed(spec.config)}
    parts = evaluate(
        run,
        asked.folder,
        asked.evaluation,
        rollouts,
        sampler,
        seed_key=f"evaluation/{asked.name}",
        next_turn=partial(spec.method.next_turn, task),
        made_from=made_from,
    )
    frame = run.join_parts(asked.folder, parts)
    manifest = Manifest(
        evaluation=asked.name,
        evaluation_config=asdict(asked.evaluation),
        task=dict(asked.task_config),
        num_problems=len(asked.problems),
        num_rows=len(frame),
        table=table,
        row=row,
        config=dict(spec.config),
        token_unit=sampler.token_unit,
        renderer=dict(sampler.description),
        grading=grading,
        usage=training.usage if training else asdict(Usage()),
        training_seconds=training.seconds if training else 0.0,
        seconds=sum(cost.seconds for cost in parts.costs),
        sampled_tokens=sum(cost.sampled_tokens for cost in parts.costs),
        prompt_tokens=sum(cost.prompt_tokens or 0 for cost in parts.costs),
        start=parts.costs[0].start,
        end=utc_now(),
        model_revision=contents.get("revision"),
        data_revisions=spec.task.revisions() | task.revisions(),
        provenance=provenance(),
        training_sessions=sessions(run.folder / "sessions.jsonl"),
    )
    run.finish_evaluation(parts, manifest)
    prefix = "eval" if asked.folder == "greedy" else f"eval_{asked.folder}"
    run.tracker.summarise(
        {f"{prefix}/{metric}": value for metric, value in summarise(frame).items()},
        histograms={f"{prefix}/{column}": frame[column].tolist() for column in frame.filter(like="edit_")},
        transcripts={
            f"{prefix}/transcripts": to_read(read_transcripts(run.folder / asked.folder / "transcripts.jsonl.gz"))
        },
    )
