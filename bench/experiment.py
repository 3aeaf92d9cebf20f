"""One experiment: train once, then evaluate what is missing. Everything in it runs in one process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from bench.evaluation import Evaluation, evaluate
from bench.grading.verifier import Grading
from bench.methods.interface import Method, follow_up_turns
from bench.metrics import summarise
from bench.models.config import Model
from bench.models.interface import Playable, Policy, Sampler
from bench.rollout import RolloutWorker, Usage
from bench.runs.fingerprints import claimed, problem_contents, row_fingerprint, table_fingerprint
from bench.runs.folder import Run, RunKey, TrainingRecord
from bench.runs.manifest import Manifest
from bench.runs.parts import read_transcripts
from bench.runs.provenance import provenance, session, sessions
from bench.runs.records import to_read
from bench.runs.tracking import Tracking, open_wandb, utc_now
from bench.status import Status
from bench.tasks.interface import Task
from bench.training.config import Selection, Training
from bench.training.run_stages import run_stages
from bench.training.stages import Reinforce, Stage
from bench.training.trainer import Trainer
from bench.training.work_left import WorkLeft


@dataclass(kw_only=True)
class Experiment:
    """A composed configuration. Groups are `Any` because Hydra knows one schema a field; each is one of these."""

    method: Any  # bench.methods.interface.Method
    task: Any  # bench.tasks.interface.Task
    model: Any  # bench.models.config.Model
    training: Training
    evaluations: dict[str, Evaluation]
    grading: Grading
    seed: int  # of sampling and of the order of the problems
    variant: str  # names other values than the files' own: other rows of the tables
    results: str  # folder that everything is written to
    tracking: Tracking  # a copy of the training curves in W&B, offline where there is no account; none: no copy
    jobs: int  # experiments at once; 0: one per GPU, or per core where there is none

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise ValueError(f"jobs={self.jobs}: set jobs=0 for one per GPU or core, or jobs=<at least 1>")
        sampled = (self.training.rl, self.training.sft, *self.evaluations.values())
        for sampling in (each.sampling for each in sampled):
            if not sampling.max_tokens and not isinstance(self.model, dict):
                sampling.max_tokens = self.model.max_tokens


@dataclass(frozen=True, slots=True)
class RunSpec:
    """An experiment with its name and its configuration as plain data: all that the process which runs it needs.

    `config` lacks the values of the training that the method does not read.
    """

    key: RunKey
    experiment: Experiment
    config: Mapping[str, Any]
    ignored: Sequence[str] = field(default=())  # keys of the command line that the method does not read

    @property
    def method(self) -> Method:
        return self.experiment.method

    @property
    def task(self) -> Task:
        return self.experiment.task

    @property
    def model(self) -> Model:
        return self.experiment.model

    @property
    def results(self) -> Path:
        return Path(self.experiment.results)

    @property
    def stages(self) -> Sequence[Stage]:
        """What training is; reads the training problems."""
        return self.method.stages(self.task, self.experiment.training)

    @property
    def trains(self) -> bool:
        return "training" in self.config

    def check(self) -> None:
        """Raise ValueError, with a hint, for all that can be seen to be wrong before anything heavy is loaded."""
        if self.trains and not self.model.trainable:
            raise ValueError(
                f"method={self.key.method} trains, and model={self.key.model} cannot be trained: use method=base, or "
                "model=transformers with model.path=<folder or hub id>"
            )
        self.model.check()
        self.task.check()
        if not self.experiment.evaluations:
            raise ValueError("nothing would be measured: name at least one evaluation, as in evaluation=[greedy]")
        Run.check(self.key, self.results, self.config)
        if not self.is_finished and (sampler := self.model.outline(self.task.canonical_id)) and not self.task.downloads:
            _check_conversations(self, sampler)

    def budget_missed(self) -> str | None:
        """In one line, by how much supervised methods miss reinforcement's budget of conversations; None: by 0."""
        if not self.trains or self.task.downloads:
            return None
        return self.experiment.training.budget_missed(len(self.task.problems("train")))

    @property
    def is_finished(self) -> bool:
        """Whether its folder already holds everything it asks for."""
        run = Run(self.key, self.key.folder(self.results))
        return all(is_done(run, name, evaluation) for name, evaluation in self.experiment.evaluations.items())

    @property
    def failure_file(self) -> Path:
        """Where the traceback of a run that died lies, until it succeeds."""
        return self.key.folder(self.results) / "failure.txt"


def conduct(spec: RunSpec, tell: Callable[[Status], object] = str) -> None:
    """Train unless trained, evaluate what has not been evaluated; again, only fill holes. `tell` hears where."""
    experiment, task = spec.experiment, spec.task
    with (
        Run.lock(spec.key, spec.results, spec.config) as run,
        task.verifier(experiment.grading) as verifier,
    ):
        if spec.is_finished:
            return
        rollouts = RolloutWorker(task, verifier, seed=experiment.seed)
        missing = {
            name: evaluation
            for name, evaluation in experiment.evaluations.items()
            if not is_done(run, name, evaluation)
        }
        run.tracker.listener = WorkLeft(
            experiment.training,
            rollouts,
            {name: each.num_samples * len(task.problems(each.split)) for name, each in missing.items()},
            trains=spec.trains and run.training is None,
            tell=tell,
        )
        run.tracker.phase("loading the model")
        sampler = spec.model.build(task.canonical_id)
        _check_conversations(spec, sampler)
        contents = spec.model.contents()
        run.bind(_inputs(spec, contents))
        if experiment.tracking is Tracking.wandb:
            name = str(spec.key).replace("/", ".")
            run.tracker.mirror = open_wandb(run.folder, config=spec.config, group=spec.key.method, name=name)
        with closing(run.tracker):
            if spec.trains:
                run.tracker.phase("training")
                _train(spec, cast(Policy, sampler), rollouts, run)
            for name, evaluation in missing.items():
                grading = dict(verifier.description)
                table = _table(spec, evaluation, grader=grading["grader"], contents=contents)
                _evaluate(spec, name, sampler, rollouts.without_usage(), run, table, grading, contents)


def is_done(run: Run, name: str, evaluation: Evaluation) -> bool:
    """Raises ValueError if an evaluation of that name was made with other settings."""
    manifest = run.manifest(name)
    if manifest is None:
        return False
    if manifest.evaluation_config != asdict(evaluation):
        raise ValueError(
            f"{run.folder / name} was made with other settings ({manifest.evaluation_config}); give this evaluation "
            "another name, or delete that folder"
        )
    return True


def _check_conversations(spec: RunSpec, sampler: Playable) -> None:
    """Raise ValueError, naming the key to change, if training or an evaluation samples a conversation that is too long.

    What the user says is judged by conversations whose replies are empty.
    """
    task, training = spec.task, spec.experiment.training

    def check(prompts: Mapping[str, str], *, num_attempts: int, max_tokens: int, key: str) -> None:
        turns = follow_up_turns(spec.method, task, num_attempts=num_attempts)
        sampler.check_can_play(prompts, said=[turn.text for turn in turns], max_tokens=max_tokens, key=key)

    if stages := spec.stages:
        prompts = {problem.id: task.prompt(problem) for problem in task.problems("train")}
        if training.rl.selection is Selection.best_dev:
            prompts |= {problem.id: task.prompt(problem) for problem in task.problems("dev")}
        groups = {"rl" if isinstance(stage, Reinforce) else "sft" for stage in stages}
        limits = {f"training.{group}.sampling.max_tokens": getattr(training, group).sampling for group in groups}
        key = max(limits, key=lambda key: limits[key].max_tokens)
        max_tokens = limits[key].max_tokens
        check(
            prompts,
            num_attempts=max(stage.num_attempts for stage in stages),
            max_tokens=max_tokens,
            key="model.max_tokens" if max_tokens == spec.model.max_tokens else key,
        )
    for name, evaluation in spec.experiment.evaluations.items():
        check(
            {problem.id: task.prompt(problem) for problem in task.problems(evaluation.split)},
            num_attempts=evaluation.num_attempts,
            max_tokens=evaluation.sampling.max_tokens,
            key=f"evaluations.{name}.sampling.max_tokens",
        )


def _inputs(spec: RunSpec, contents: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights and the training problems hold that a run is made from."""
    return {"weights": _without_revision(contents), "training problems": _training_problems(spec)}


def _training_problems(spec: RunSpec) -> dict[str, Any] | None:
    return problem_contents(spec.task.problems("train")) if spec.trains else None


def _table(spec: RunSpec, evaluation: Evaluation, *, grader: str, contents: Mapping[str, Any]) -> dict[str, Any]:
    """What all methods of a table must share."""
    task = spec.task
    problems = task.problems(evaluation.split)
    limits = asdict(spec.experiment.grading)
    return table_fingerprint(
        problems=problems,
        prompts=map(task.prompt, problems),
        correction=task.correction,
        stop=task.stop_strings,
        weights=_without_revision(contents),
        evaluation=asdict(evaluation),
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
    name: str,
    sampler: Sampler,
    rollouts: RolloutWorker,
    run: Run,
    table: dict[str, Any],
    grading: dict[str, Any],
    contents: Mapping[str, Any],
) -> None:
    evaluation, training = spec.experiment.evaluations[name], run.training
    row = row_fingerprint(
        spec.config,
        turns=follow_up_turns(spec.method, spec.task, num_attempts=2),
        training_problems=_training_problems(spec),
    )
    # Another batch size or device is no reason to begin again.
    made_from = {"trained": training and asdict(training), "table": table, "row": row, "config": claimed(spec.config)}
    next_turn = partial(spec.method.next_turn, spec.task)
    parts = evaluate(run, name, evaluation, rollouts, sampler, next_turn=next_turn, made_from=made_from)
    frame = run.join_parts(name, parts)
    manifest = Manifest(
        evaluation=name,
        evaluation_config=asdict(evaluation),
        num_problems=len(spec.task.problems(evaluation.split)),
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
        start=parts.costs[0].start,
        end=utc_now(),
        model_revision=contents.get("revision"),
        data_revisions=spec.task.revisions(),
        provenance=provenance(),
        training_sessions=sessions(run.folder / "sessions.jsonl"),
    )
    run.finish_evaluation(parts, manifest)
    prefix = "eval" if name == "greedy" else f"eval_{name}"
    run.tracker.summarise(
        {f"{prefix}/{metric}": value for metric, value in summarise(frame).items()},
        histograms={f"{prefix}/{column}": frame[column].tolist() for column in frame.filter(like="edit_")},
        transcripts={f"{prefix}/transcripts": to_read(read_transcripts(run.folder / name / "transcripts.jsonl.gz"))},
    )
