"""One experiment as it was requested: its configuration, its name, and what can be seen to be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.evaluation import Evaluation
from bench.grading.verifier import Grading
from bench.methods.interface import Method, follow_up_turns
from bench.models.config import Model
from bench.models.interface import ConversationCheck
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
        made_for = getattr(self.model, "made_for", "")
        if made_for and self.task.name != made_for:
            command = f"python bench/run.py method={self.key.method} task={self.task.name}"
            raise ValueError(
                f"model={self.key.model} reads task={made_for} only: {command} model=transformers "
                "model.path=<folder or hub id>"
            )
        if not self.experiment.evaluations:
            raise ValueError("nothing would be measured: name at least one evaluation, as in evaluation=[greedy]")
        Run.check(self.key, self.results, self.config)
        if not self.is_finished and (sampler := self.model.outline(self.task.canonical_id)) and not self.task.downloads:
            check_conversations(self, sampler)

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


def check_conversations(spec: RunSpec, sampler: ConversationCheck) -> None:
    """Raise ValueError, naming the key to change, if training or an evaluation samples a conversation that is too long.

    What the user says is judged by conversations whose replies are empty.
    """
    task, training = spec.task, spec.experiment.training

    def check(prompts: Mapping[str, str], *, num_attempts: int, max_tokens: int, key: str) -> None:
        turns = follow_up_turns(spec.method, task, num_attempts=num_attempts)
        sampler.check_can_sample(prompts, follow_up_turns=[turn.text for turn in turns], max_tokens=max_tokens, key=key)

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
