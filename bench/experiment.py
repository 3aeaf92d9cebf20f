"""One experiment as it was requested: its configuration, its name, and what can be seen to be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.episode import Problem
from bench.evaluation import Evaluation
from bench.grading.verifier import Grading
from bench.methods.interface import Method, follow_up_turns
from bench.models.config import Model
from bench.models.interface import ConversationCheck
from bench.runs.fingerprints import claimed, differences
from bench.runs.folder import Run, RunKey
from bench.runs.tracking import Tracking
from bench.tasks.interface import Task
from bench.training.config import Selection, Training
from bench.training.stages import Reinforce, Stage


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvaluation:
    """An evaluation of a run, and the task that it is on."""

    name: str
    folder: str  # in the run's (RunKey.evaluation_folder)
    evaluation: Evaluation
    task: Task
    task_config: Mapping[str, Any]  # of `task`, plain, with its name and without what it trains on

    @property
    def problems(self) -> Sequence[Problem]:
        return self.task.problems(self.evaluation.split)

    @property
    def num_conversations(self) -> int:
        return self.evaluation.num_samples * len(self.problems)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """An experiment with its name and its configuration as plain data: all that the process which runs it needs.

    Its task, where the method trains, is the one that it trains on; tasks that share that are tested in one run.
    `config` lacks the values of the training that the method does not read, and what concerns a test alone.
    """

    key: RunKey
    experiment: Experiment
    config: Mapping[str, Any]
    evaluations: Sequence[TaskEvaluation]
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

    @property
    def is_trained(self) -> bool:
        """Whether no training is left to do."""
        return not self.trains or self._run.training is not None

    @property
    def tasks(self) -> Sequence[Task]:
        """Those that test, and the one that it trains on; each once."""
        return list({id(task): task for task in (*(each.task for each in self.evaluations), self.task)}.values())

    def rows(self, evaluation: str | None = None) -> Sequence[RunKey]:
        """The run under the name of each task that tests it, by that evaluation or by any: its rows in the tables."""
        tests = [each for each in self.evaluations if evaluation in (None, each.name)]
        return list(dict.fromkeys(replace(self.key, task=each.task_config["name"]) for each in tests))

    def check(self) -> None:
        """Raise ValueError, with a hint, for all that can be seen to be wrong before anything heavy is loaded."""
        if self.trains and not self.model.trainable:
            raise ValueError(
                f"method={self.key.method} trains, and model={self.key.model} cannot be trained: use method=base, or "
                "model=transformers with model.path=<folder or hub id>"
            )
        self.model.check()
        for task in self.tasks:
            task.check()
            made_for = getattr(self.model, "made_for", "")
            if made_for and task.name != made_for:
                command = f"python bench/run.py method={self.key.method} task={task.name}"
                raise ValueError(
                    f"model={self.key.model} reads task={made_for} only: {command} model=transformers "
                    "model.path=<folder or hub id>"
                )
            if self.trains and not task.downloads:
                task.problems("train")
        if not self.evaluations:
            raise ValueError("nothing would be measured: name at least one evaluation, as in evaluation=[greedy]")
        Run.check(self.key, self.results, self.config)
        downloads = any(task.downloads for task in self.tasks)
        if not self.is_finished and (sampler := self.model.outline(self.task.canonical_id)) and not downloads:
            check_conversations(self, sampler)

    def budget_missed(self) -> str | None:
        """In one line, by how much supervised methods miss reinforcement's budget of conversations; None: by 0."""
        if not self.trains or self.task.downloads:
            return None
        return self.experiment.training.budget_missed(len(self.task.problems("train")))

    @property
    def is_finished(self) -> bool:
        """Whether its folder already holds everything it asks for."""
        return not self.missing

    @property
    def missing(self) -> Sequence[TaskEvaluation]:
        """What has not been evaluated. Raises ValueError where something was, with other settings."""
        return [each for each in self.evaluations if not _is_done(self._run, each)]

    @property
    def failure_file(self) -> Path:
        """Where the traceback of a run that died lies, until it succeeds."""
        return self.key.folder(self.results) / "failure.txt"

    @property
    def _run(self) -> Run:
        return Run(self.key, self.key.folder(self.results))


def merged(one: RunSpec, other: RunSpec) -> RunSpec:
    """Two specs of one key as one run with the evaluations of both.

    Raises ValueError where anything else differs, or settings of an evaluation that both have.
    """
    ours, theirs = ({**each.config, "evaluations": {}} for each in (one, other))
    differing = [key for key, *_ in differences(ours, theirs)]
    evaluations = {each.folder: each for each in one.evaluations}
    for each in other.evaluations:
        known = evaluations.setdefault(each.folder, each)
        differing += [key for key, *_ in differences(asdict(known.evaluation), asdict(each.evaluation), each.name)]
        differing += [key for key, *_ in differences(known.task_config, each.task_config, "task")]
    if differing:
        raise ValueError(
            f"{one.key} is requested twice in this sweep, with another {', '.join(dict.fromkeys(differing))}; give one "
            "of them another variant=<name>"
        )
    config = {**one.config, "evaluations": {**other.config["evaluations"], **one.config["evaluations"]}}
    return replace(one, config=config, evaluations=tuple(evaluations.values()))


def _is_done(run: Run, asked: TaskEvaluation) -> bool:
    """Raises ValueError if an evaluation of that name was made with other settings."""
    manifest = run.manifest(asked.folder)
    if manifest is None:
        return False
    made = _settings(asked.name, manifest.evaluation_config, manifest.task)
    wanted = _settings(asked.name, asdict(asked.evaluation), asked.task_config)
    if differing := list(differences(made, wanted)):
        said = ", ".join(f"{key} {before} instead of {now}" for key, before, now in differing)
        raise ValueError(
            f"{run.folder / asked.folder} was made with other settings ({said}); give this evaluation another name, or "
            "delete that folder"
        )
    return True


def _settings(name: str, evaluation: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """What decides an evaluation's problems and conversations, beside the run. Its keys are the command line's."""
    compared = claimed({"task": task})["task"]
    if evaluation["split"] == "test":
        compared["num_test"] = task.get("num_test")
    # Through JSON, as the manifest has it.
    return json.loads(json.dumps({"evaluations": {name: evaluation}, "task": compared}))


def check_conversations(spec: RunSpec, sampler: ConversationCheck) -> None:
    """Raise ValueError, naming the key to change, if training or an evaluation samples a conversation that is too long.

    What the user says is judged by conversations whose replies are empty.
    """
    training = spec.experiment.training

    def check(task: Task, problems: Sequence[Problem], *, num_attempts: int, max_tokens: int, key: str) -> None:
        prompts = {problem.id: task.prompt(problem) for problem in problems}
        turns = follow_up_turns(spec.method, task, num_attempts=num_attempts)
        sampler.check_can_sample(prompts, follow_up_turns=[turn.text for turn in turns], max_tokens=max_tokens, key=key)

    if stages := spec.stages:
        splits = ("train", "dev") if training.rl.selection is Selection.best_dev else ("train",)
        groups = {"rl" if isinstance(stage, Reinforce) else "sft" for stage in stages}
        limits = {f"training.{group}.sampling.max_tokens": getattr(training, group).sampling for group in groups}
        key = max(limits, key=lambda key: limits[key].max_tokens)
        max_tokens = limits[key].max_tokens
        check(
            spec.task,
            [problem for split in splits for problem in spec.task.problems(split)],
            num_attempts=max(stage.num_attempts for stage in stages),
            max_tokens=max_tokens,
            key="model.max_tokens" if max_tokens == spec.model.max_tokens else key,
        )
    for each in spec.evaluations:
        check(
            each.task,
            each.problems,
            num_attempts=each.evaluation.num_attempts,
            max_tokens=each.evaluation.sampling.max_tokens,
            key=f"evaluations.{each.name}.sampling.max_tokens",
        )
