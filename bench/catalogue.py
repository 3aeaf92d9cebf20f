"""Every method, task and model by name, and how a command line becomes a plan.

The only file besides run.py that knows Hydra. Each dataclass is registered as the schema of its YAML, so that Hydra
refuses a wrong key or a wrong type when it composes, before any work.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from bench.experiment import Evaluation, Experiment, Plan
from bench.policies.models import Replay, Scripted, Transformers
from bench.results import RunKey
from bench.training.budget import Training

CONF = Path(__file__).resolve().parent.parent / "conf"

# A module per method in bench/methods/ and per task in bench/tasks/, each with one dataclass named after it.
METHODS = (
    "base",
    "multi_turn_rl",
    "pair_sft",
    "score",
    "score_star_stage2",
    "self_refine",
    "single_turn_rl",
    "star",
)
TASKS = ("humaneval", "math", "mbpp")

# Another name of a training, and the one that it runs, is stored and is shown under.
SAME_TRAINING = {"score_wo_multi_turn": "single_turn_rl"}


def register() -> None:
    """Tell Hydra every schema. Registering twice changes nothing."""
    store = ConfigStore.instance()
    store.store(name="Experiment", node=Experiment)
    modules = [
        importlib.import_module(f"{package}.{name}")
        for package, names in (("bench.methods", METHODS), ("bench.tasks", TASKS))
        for name in names
    ]
    # A group of their own: method=glob(*) would find a schema that stood among the methods, and try to run it.
    for schema in (Training, Evaluation, Transformers, Replay, Scripted, *map(_schema, modules)):
        store.store(group="schema", name=schema.__name__, node=schema)


def _schema(module: ModuleType) -> type:
    """The dataclass that a module is named after: PairSft in pair_sft, HumanEval in humaneval."""
    wanted = module.__name__.rpartition(".")[2].replace("_", "")
    return next(
        kind
        for name, kind in vars(module).items()
        if name.lower() == wanted and isinstance(kind, type) and is_dataclass(kind)
    )


def plan_of(composed: DictConfig) -> Plan:
    """The plan that a composed configuration stands for.

    Raises ValueError with the configuration's own word for what is wrong: a `__post_init__` that refuses its values.
    Call it inside a Hydra job or `compose_plan`, where Hydra's choices are known.
    """
    choices = HydraConfig.get().runtime.choices
    asked = str(choices["method"])
    experiment = OmegaConf.to_object(composed)
    assert isinstance(experiment, Experiment)
    key = RunKey(
        method=SAME_TRAINING.get(asked, asked),
        task=choices["task"],
        model=experiment.model.name,
        variant=experiment.variant,
        seed=experiment.seed,
    )
    config: Any = OmegaConf.to_container(composed, resolve=True, enum_to_str=True)
    for group in ("method", "task", "model"):
        config[group] = {"name": getattr(key, group), **{k: v for k, v in config[group].items() if k != "name"}}
    return Plan(key, experiment, config)


def compose_plan(overrides: Sequence[str]) -> Plan:
    """The plan of one command line, without Hydra's application: for tests and notebooks."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("experiment", overrides=list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(composed)
        OmegaConf.set_struct(composed, value=False)
        del composed["hydra"]
        return plan_of(composed)
