"""Every method, task and model by name, and how a command line becomes RunSpecs.

Each dataclass is registered as the schema of its YAML, so that a wrong key or a wrong type is refused when it is
composed, before any work.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import bench.methods
from bench.evaluation import Evaluation
from bench.experiment import Experiment, RunSpec, TaskEvaluation
from bench.launch.command_line import CONF, check_name, composed, jobs_of, one_line
from bench.mini.tasks import MiniHumanEval, MiniMath, MiniMbpp
from bench.models.config import Transformers
from bench.models.replay import Replay
from bench.models.scripted import Scripted
from bench.models.served import Served
from bench.runs.folder import RunKey
from bench.tasks.humaneval import HumanEval
from bench.tasks.interface import training_task
from bench.tasks.math import Math
from bench.tasks.mbpp import Mbpp
from bench.training.config import Training
from bench.training.values_read import only_read, values_read

# A module per method in bench/methods/, each with one dataclass named after it.
METHODS = tuple(module.name for module in iter_modules(bench.methods.__path__) if module.name != "interface")
TASKS = (HumanEval, Math, Mbpp, MiniHumanEval, MiniMath, MiniMbpp)

# Another name of a training, and the one that it runs, is stored and is shown under.
SAME_TRAINING = {"score_wo_multi_turn": "single_turn_rl"}


def register() -> None:
    """Tell Hydra every schema. Registering twice changes nothing."""
    store = ConfigStore.instance()
    store.store(name="Experiment", node=Experiment)
    methods = [_schema(importlib.import_module(f"bench.methods.{name}")) for name in METHODS]
    # A group of their own: method=glob(*) would find a schema that stood among the methods, and try to run it.
    for schema in (Training, Evaluation, Transformers, Replay, Scripted, Served, *TASKS, *methods):
        store.store(group="schema", name=schema.__name__, node=schema)


def _schema(module: ModuleType) -> type:
    """The dataclass that a module is named after: PairSft in pair_sft."""
    wanted = module.__name__.rpartition(".")[2].replace("_", "")
    kinds = [
        kind
        for name, kind in vars(module).items()
        if name.lower() == wanted and isinstance(kind, type) and is_dataclass(kind)
    ]
    if not kinds:
        class_name = module.__name__.rpartition(".")[2].title().replace("_", "")
        raise ValueError(f"{module.__file__} has no dataclass of the module's name: call it {class_name}")
    return kinds[0]


def spec_of(config: DictConfig) -> RunSpec:
    """The spec that a composed configuration stands for; `config` has no `hydra` node.

    Raises ValueError with the configuration's own word for what is wrong: a `__post_init__` that refuses its values.
    Call it inside a Hydra job or `compose_spec`, where Hydra's choices are known.
    """
    choices = HydraConfig.get().runtime.choices
    requested = str(choices["method"])
    try:
        experiment = OmegaConf.to_object(config)
        plain: Any = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    except OmegaConfBaseException as error:
        raise ValueError(one_line(error)) from None
    assert isinstance(experiment, Experiment)
    for group in ("method", "task", "model"):
        if isinstance(getattr(experiment, group), dict):
            raise ValueError(
                f"conf/{group}/{choices[group]}.yaml names no dataclass: begin it with "
                "`defaults: [/schema/<its class>@_here_, _self_]`, as the other files there do"
            )
    check_name("model.name", experiment.model.name)
    check_name("variant", experiment.variant)
    trains_on = training_task(experiment.task)
    read = values_read(experiment.method.stages, trains_on, experiment.training)
    shares_training = bool(read) and trains_on is not experiment.task
    key = RunKey(
        method=SAME_TRAINING.get(requested, requested),
        task=trains_on.name if shares_training else choices["task"],
        model=experiment.model.name,
        variant=experiment.variant,
        seed=experiment.seed,
    )
    evaluations = _evaluations(experiment, key, {**plain["task"], "name": choices["task"]})
    num_test = {"num_test": plain["task"].get("num_test")}
    plain["evaluations"] = {each.folder: plain["evaluations"][each.name] | num_test for each in evaluations}
    if shares_training:
        experiment = replace(experiment, task=trains_on)
        plain["task"] = plain["task"]["training"]
    plain["task"].pop("num_test", None)
    for group in ("method", "task", "model"):
        plain[group] = {"name": getattr(key, group), **{k: v for k, v in plain[group].items() if k != "name"}}
    if read:
        plain["training"] = only_read(plain["training"], read)
    else:
        del plain["training"]
    written = [override.partition("=")[0] for override in HydraConfig.get().overrides.task]
    ignored = [
        key for key in written if key.startswith("training.") and not _reads(read, key.removeprefix("training."))
    ]
    return RunSpec(key, experiment, plain, evaluations, ignored)


def _evaluations(experiment: Experiment, key: RunKey, task_config: Mapping[str, Any]) -> list[TaskEvaluation]:
    """The experiment's, on its task as it was requested; `key` is the run's."""
    return [
        TaskEvaluation(
            name=name,
            folder=key.evaluation_folder(name, task=task_config["name"]),
            evaluation=evaluation,
            task=experiment.task,
            task_config={name: value for name, value in task_config.items() if name != "training"},
        )
        for name, evaluation in experiment.evaluations.items()
    ]


def _reads(read: set[str], key: str) -> bool:
    return any(path == key or path.startswith(f"{key}.") for path in read)


def spec_of_job(job: Sequence[str]) -> RunSpec:
    """The spec of one job's overrides, where Hydra is initialised. Raises ValueError, in one line."""
    config = composed(job)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_struct(config, value=False)
    del config["hydra"]
    return spec_of(config)


def plans_of(overrides: Sequence[str], *, multirun: bool) -> list[RunSpec]:
    """The spec of each job of a command line. Raises ValueError, in bench/run.py's own words."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return [spec_of_job(job) for job in jobs_of(overrides, multirun=multirun)]


def compose_spec(overrides: Sequence[str]) -> RunSpec:
    """The spec of one command line, for tests and notebooks. Raises ValueError, in bench/run.py's own words."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return spec_of_job(overrides)
