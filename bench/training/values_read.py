"""Which values of the training configuration a method depends on: those that it reads while it says what its stages are.

What a method does not read may differ between two runs of it without making them different, and a value on a command
line that no method reads is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType, MethodType
from typing import Any

from bench.training.config import Training
from bench.training.stages import Imitate, Reinforce, Stage


class ReadRecorder:
    """Stands for a configuration and notes the dotted path of every leaf that is read of it."""

    def __init__(self, config: Any, read: set[str], path: str = "") -> None:
        self._config, self._read, self._path = config, read, path

    def __getattr__(self, name: str) -> Any:
        on_class = getattr(type(self._config), name, None)
        if isinstance(on_class, FunctionType):  # so that what a method of it reads is noted too
            return MethodType(on_class, self)
        if isinstance(on_class, property) and on_class.fget is not None:
            return on_class.fget(self)
        value, path = getattr(self._config, name), f"{self._path}{name}"
        if is_dataclass(value):
            return ReadRecorder(value, self._read, f"{path}.")
        self._read.add(path)
        return value


def kinds_read(stages: list[Stage]) -> set[str]:
    """The groups of values that the loops of these kinds of stage read whole."""
    kinds = {Reinforce: "rl", Imitate: "sft"}
    return {kinds[type(stage)] for stage in stages}


def leaves(config: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a configuration by its dotted path."""
    found: dict[str, Any] = {}
    for each in fields(config):
        value, name = getattr(config, each.name), f"{path}{each.name}"
        found |= leaves(value, f"{name}.") if is_dataclass(value) else {name: value}
    return found


def only_read(plain: Mapping[str, Any], read: set[str], path: str = "") -> dict[str, Any]:
    """The part of `plain`, nested mappings, whose dotted paths are in `read`."""
    kept: dict[str, Any] = {}
    for name, value in plain.items():
        if f"{path}{name}" in read:
            kept[name] = value
        elif isinstance(value, Mapping) and (inner := only_read(value, read, f"{path}{name}.")):
            kept[name] = inner
    return kept
