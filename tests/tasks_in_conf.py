"""Tasks as conf/task describes them, without Hydra: the YAML below a dataclass, with the values a test changes."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.mini.tasks import MiniHumanEval, MiniMath, MiniMbpp
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


def mini_math(**values: Any) -> MiniMath:
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(MiniMath), _prompts("math"), values))  # pyright: ignore


def mini_mbpp(**values: Any) -> MiniMbpp:
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(MiniMbpp), _prompts("mbpp"), values))  # pyright: ignore


def mini_humaneval(**values: Any) -> MiniHumanEval:
    below = {"training": _prompts("mbpp")}
    merged = OmegaConf.merge(OmegaConf.structured(MiniHumanEval), below, _prompts("humaneval"), values)
    return OmegaConf.to_object(merged)  # pyright: ignore


def _prompts(name: str) -> DictConfig:
    config = OmegaConf.load(ROOT / "conf" / "prompts" / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    return config


def _yaml(name: str) -> DictConfig:
    """The task's values over its prompts."""
    config = OmegaConf.load(ROOT / "conf" / "task" / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    config.pop("defaults")
    merged = OmegaConf.merge(_prompts(name), config)
    assert isinstance(merged, DictConfig)
    return merged
