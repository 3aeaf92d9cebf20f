"""Tasks as conf/task describes them, without Hydra: the YAML below a dataclass, with the values a test changes."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.tasks.humaneval import HumanEval
from bench.tasks.math import Math
from bench.tasks.mbpp import Mbpp
from tests.conftest import ROOT


def math(**values: Any) -> Math:
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Math), _yaml("math"), values))  # pyright: ignore


def mbpp(**values: Any) -> Mbpp:
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Mbpp), _yaml("mbpp"), values))  # pyright: ignore


def humaneval(**values: Any) -> HumanEval:
    below = {"training": _yaml("mbpp")}
    merged = OmegaConf.merge(OmegaConf.structured(HumanEval), below, _yaml("humaneval"), values)
    return OmegaConf.to_object(merged)  # pyright: ignore


def _yaml(name: str) -> DictConfig:
    config = OmegaConf.load(ROOT / "conf" / "task" / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    config.pop("defaults")
    return config
