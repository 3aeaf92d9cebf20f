"""Which values of the training configuration a method depends on: those it reads while it says what its stages are.

What a method does not read may differ between two runs of it without making them different, and a value on a command
line that no method reads is a mistake.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import FunctionType, MethodType
from typing import Any, cast

from bench.tasks.interface import Task
from bench.training.config import Training
from bench.training.stages import Reinforce, Stage


def values_read(stages: Callable[[Task, Training], Sequence[Stage]], task: Task, training: Training) -> set[str]:
    """Dotted paths: all that `stages` reads, and the whole group that a kind of stage is run by; none without stages.

    Nothing is downloaded for it.
    """
    read: set[str] = set()
    planned = planned_stages(stages, task, cast(Training, _ReadRecorder(training, read)))
    groups = {"rl" if isinstance(stage, Reinforce) else "sft" for stage in planned}
    return read | {path for path in _leaves(training) if path.partition(".")[0] in groups}


def planned_stages(
    stages: Callable[[Task, Training], Sequence[Stage]], task: Task, training: Training
) -> Sequence[Stage]:
    """The stages that are left with steps, without a download: one problem stands for those that are not here yet."""
    planned = stages(cast(Task, _OneProblem()) if task.downloads else task, training)
    return [stage for stage in planned if not isinstance(stage, Reinforce) or stage.num_steps]


def only_read(plain: Mapping[str, Any], read: set[str], path: str = "") -> dict[str, Any]:
    """The part of `plain`, nested mappings, whose dotted paths are in `read`."""
    kept: dict[str, Any] = {}
    for name, value in plain.items():
        if f"{path}{name}" in read:
            kept[name] = value
        elif isinstance(value, Mapping) and (inner := only_read(value, read, f"{path}{name}.")):
            kept[name] = inner
    return kept


class _ReadRecorder:
    """Stands for a configuration and notes the dotted path of every leaf that is read of it."""

    def __init__(self, config: Any, read: set[str], path: str = "") -> None:
        self._config, self._read, self._path = config, read, path

    def __getattr__(self, name: str) -> Any:
        on_class = getattr(type(self._config), name, None)
        if isinstance(on_class, FunctionType):  # called on the recorder, so that what it reads is noted too
            return MethodType(on_class, self)
        if isinstance(on_class, property) and on_class.fget is not None:
            return on_class.fget(self)
        value, path = getattr(self._config, name), f"{self._path}{name}"
        if is_dataclass(value):
            return _ReadRecorder(value, self._read, f"{path}.")
        self._read.add(path)
        return value


class _OneProblem:
    """As much of a task as stages are counted with."""

    def problems(self, split: str) -> tuple[None]:  # noqa: ARG002
        return (None,)


def _leaves(config: Any, path: str = "") -> set[str]:
    found: set[str] = set()
    for each in fields(config):
        value, name = getattr(config, each.name), f"{path}{each.name}"
        found |= _leaves(value, f"{name}.") if is_dataclass(value) else {name}
    return found
