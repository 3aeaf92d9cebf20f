"""One experiment: train once, then evaluate what is missing. Everything in it runs in one process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from bench.evaluation import Evaluation, play_evaluation
from bench.grading.verifier import Grading, Verifier
from bench.methods.interface import Method
from bench.metrics import summarise
from bench.models.config import Model
from bench.models.interface import Playable, Policy, Sampler
from bench.rollout import RolloutWorker
from bench.runs.fingerprints import claimed, problem_contents, row_fingerprint, table_fingerprint
from bench.runs.folder import Run, RunKey
from bench.runs.parts import read_transcripts
from bench.runs.provenance import provenance, session, sessions
from bench.runs.records import to_read
from bench.runs.tracking import Tracking, open_wandb, utc_now
from bench.status import Status
from bench.tasks.interface import Task
from bench.training.budget import Training
from bench.training.reinforce import Selection
from bench.training.work_left import WorkLeft


@dataclass(kw_only=True)
class Experiment:
    """A composed configuration. Groups are `Any` because a Protocol cannot be a Hydra schema; each is one of these."""

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


@dataclass(frozen=True, slots=True)
class RunSpec:
    """An experiment with its name and its configuration as plain data: all that the process which runs it needs."""

    key: RunKey
    experiment: Experiment
    config: Mapping[str, Any]

    def check(self) -> None:
        """Raise ValueError, naming the cure, for all that can be seen to be wrong before anything heavy is loaded."""
        method, model = cast(Method, self.experiment.method), cast(Model, self.experiment.model)
        if method.trains and not model.trainable:
            raise ValueError(
                f"method={self.key.method} trains, and model={self.key.model} cannot be trained: use method=base, or "
                "model=transformers with model.path=<folder or hub id>"
            )
        model.check()
        task = cast(Task, self.experiment.task)
        task.check()
        if not self.experiment.evaluations:
            raise ValueError("nothing would be measured: name at least one evaluation, as in evaluation=[greedy]")
        Run.check(self.key, Path(self.experiment.results), self.config)
        if not self.is_finished and (sampler := model.outline(task.canonical_id)) and not task.downloads:
            _check_conversations(self.experiment, sampler)

    def budget_missed(self) -> str | None:
        """In one line, by how much supervised methods miss reinforcement's budget of conversations; None: by 0."""
        task = cast(Task, self.experiment.task)
        if not self.experiment.method.trains or task.downloads:
            return None
        return self.experiment.training.budget_missed(len(task.problems("train")))

    @property
    def is_finished(self) -> bool:
        """Whether its folder already holds everything it asks for."""
        run = Run(self.key, self.key.folder(Path(self.experiment.results)))
        return all(is_done(run, name, evaluation) for name, evaluation in self.experiment.evaluations.items())


def failure_file(plan: RunSpec) -> Path:
    """Where the traceback of a run that died lies, until it succeeds."""
    return plan.key.folder(Path(plan.experiment.results)) / "failure.txt"


def conduct(plan: RunSpec, tell: Callable[[Status], object] = str) -> None:
    """Train unless trained, evaluate what has not been evaluated; again, only fill holes. `tell` hears where."""
    experiment = plan.experiment
    method, task, model = cast(Method, experiment.method), cast(Task, experiment.task), cast(Model, experiment.model)
    with (
        Run.claim(plan.key, Path(experiment.results), plan.config) as run,
        task.verifier(experiment.grading) as verifier,
    ):
        if plan.is_finished:
            return
        player = RolloutWorker(task, verifier, seed=experiment.seed)
        unmeasured = {
            name: evaluation.num_samples * len(task.problems(evaluation.split))
            for name, evaluation in experiment.evaluations.items()
            if not is_done(run, name, evaluation)
        }
        trains = method.trains and run.training is None
        run.tracker.listener = WorkLeft(experiment.training, player, unmeasured, trains=trains, tell=tell)
        run.tracker.phase("loading the model")
        sampler = model.build(task.canonical_id)
        _check_conversations(experiment, sampler)
        contents = model.contents()
        run.bind(_inputs(experiment, contents))
        if experiment.tracking is Tracking.wandb:
            name = str(plan.key).replace("/", ".")
            run.tracker.mirror = open_wandb(run.folder, config=plan.config, group=plan.key.method, name=name)
        with closing(run.tracker):
            if method.trains:
                run.tracker.phase("training")
                _train(method, cast(Policy, sampler), player, run, experiment.training)
            for name, evaluation in experiment.evaluations.items():
                if not is_done(run, name, evaluation):
                    fingerprints = _fingerprints(plan, evaluation, verifier.description, contents)
                    _evaluate(
                        name, evaluation, method, sampler, task, verifier, run, fingerprints, seed=experiment.seed
                    )


def is_done(run: Run, name: str, evaluation: Evaluation) -> bool:
    """Raises ValueError if an evaluation of that name was made with other settings."""
    manifest = run.manifest(name)
    if manifest is None:
        return False
    if manifest["asked"] != asdict(evaluation):
        raise ValueError(
            f"{run.folder / name} was made with other settings ({manifest['asked']}); give this evaluation another "
            "name, or delete that folder"
        )
    return True


def _check_conversations(experiment: Experiment, sampler: Playable) -> None:
    """Raise ValueError, naming the key to change, if a conversation that training or an evaluation plays cannot be."""
    task, method, training = cast(Task, experiment.task), cast(Method, experiment.method), experiment.training
    said = [turn.text for turn in method.script(task)]
    if method.trains:
        prompts = {problem.id: task.prompt(problem) for problem in task.problems("train")}
        if training.rl.selection is Selection.best_dev:
            prompts |= {problem.id: task.prompt(problem) for problem in task.problems("dev")}
        limits = {
            "training.rl.sampling.max_tokens": training.rl.sampling.max_tokens,
            "training.sft.sampling.max_tokens": training.sft.sampling.max_tokens,
        }
        key = max(limits, key=lambda key: limits[key])
        sampler.check_can_play(
            prompts,
            said=said * (getattr(method, "num_attempts", 2) - 1),
            max_tokens=limits[key],
            key="model.max_tokens" if set(limits.values()) == {experiment.model.max_tokens} else key,
        )
    for name, evaluation in experiment.evaluations.items():
        sampler.check_can_play(
            {problem.id: task.prompt(problem) for problem in task.problems(evaluation.split)},
            said=said * (evaluation.num_attempts - 1),
            max_tokens=evaluation.sampling.max_tokens,
            key=f"evaluations.{name}.sampling.max_tokens",
        )


def _inputs(experiment: Experiment, contents: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights and the training problems hold that a run is made from."""
    task = cast(Task, experiment.task)
    trains = cast(Method, experiment.method).trains
    return {
        "weights": _without_revision(contents),
        "training problems": problem_contents(task.problems("train")) if trains else None,
    }


def _fingerprints(
    plan: RunSpec, evaluation: Evaluation, grader: Mapping[str, str], contents: Mapping[str, Any]
) -> dict[str, Any]:
    """For a manifest: what a table's methods must share, what a row's seeds must share, and a hub's commits."""
    experiment = plan.experiment
    method, task = cast(Method, experiment.method), cast(Task, experiment.task)
    problems = task.problems(evaluation.split)
    limits = {
        name: value for name, value in asdict(experiment.grading).items() if name not in ("workers", "allow_unsafe")
    }
    table = table_fingerprint(
        problems=problems,
        prompts=map(task.prompt, problems),
        script=task.script(),
        stop=task.stop_strings,
        weights=_without_revision(contents),
        evaluation=asdict(evaluation),
        grader={"grader": grader["grader"], **limits},
    )
    training_problems = task.problems("train") if method.trains else None
    row = row_fingerprint(plan.config, script=method.script(task), training_problems=training_problems)
    return {"table": table, "row": row, "model_revision": contents.get("revision"), "config": plan.config}


def _without_revision(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Two commits of a hub's model may hold the same weights; what they hold is compared."""
    return {name: value for name, value in contents.items() if name != "revision"}


def _train(method: Method, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
    if run.training is not None:
        policy.restore(run.weights)
        policy.end()
        return
    began = time.monotonic()
    with session(run.folder / "sessions.jsonl"):
        method.train(policy, player, run, training)
    # Seconds of this process only: a resumed training's earlier hours are in sessions.jsonl.
    record = {"budget": asdict(player.usage), "seconds": time.monotonic() - began}
    run.finish_training(policy.save, record)
    policy.end()


def _evaluate(
    name: str,
    evaluation: Evaluation,
    method: Method,
    sampler: Sampler,
    task: Task,
    verifier: Verifier,
    run: Run,
    fingerprints: Mapping[str, Any],
    *,
    seed: int,
) -> None:
    problems = task.problems(evaluation.split)
    player = RolloutWorker(task, verifier, seed=seed)
    config = claimed(fingerprints["config"])  # another batch size or device is no reason to begin again
    made_from = {"trained": run.training, **fingerprints, "config": config}
    script = method.script(task)
    parts = play_evaluation(run, name, evaluation, player, sampler, script=script, made_from=made_from)
    training = run.training or {"budget": asdict(RolloutWorker(task, verifier, seed=seed).usage), "seconds": 0.0}
    manifest = {
        "asked": asdict(evaluation),
        "token_unit": sampler.token_unit,
        "template": sampler.description,
        "num_problems": len(problems),
        "start": parts.costs[0]["start"],
        "end": utc_now(),
        **{key: sum(cost[key] for cost in parts.costs) for key in ("seconds", "sampled_tokens")},
        "training_seconds": training["seconds"],
        "budget": training["budget"],
        "grading": verifier.description,
        "data_revisions": task.revisions(),
        **fingerprints,
        **provenance(),
        "training_sessions": sessions(run.folder / "sessions.jsonl"),
    }
    frame = run.finish_evaluation(name, parts, manifest)
    prefix = "eval" if name == "greedy" else f"eval_{name}"
    run.tracker.summarise(
        {f"{prefix}/{metric}": value for metric, value in summarise(frame).items()},
        histograms={f"{prefix}/{column}": frame[column].tolist() for column in frame.filter(like="edit_")},
        transcripts={f"{prefix}/transcripts": to_read(read_transcripts(run.folder / name / "transcripts.jsonl.gz"))},
    )
