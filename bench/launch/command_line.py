"""Overrides from the command line: the jobs that they stand for, each composed, or one line on what is wrong with it.

Hydra's own words for a mistake are replaced where they advise what does not work here: it offers "+key" for a
misspelt key, which adds a key that nobody reads.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import product
from pathlib import Path

import yaml
from hydra import compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = ("method", "task", "model", "training", "evaluation", "preset")  # what a command line may pick a file of

_LONGEST_NAME = 100
_LAUNCHER = "hydra/launcher"
_EXTRAS = {"submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray", "ray_aws": "ray"}


def jobs_of(overrides: Sequence[str], *, multirun: bool) -> list[list[str]]:
    """Every combination of a sweep, the last key fastest. Call it, as all that follows, where Hydra is initialised.

    Raises ValueError for what cannot be read, for a sweep that was not asked for with -m, and for an empty one.
    """
    choices = []
    for line in overrides:
        override = _parse(line)
        if override.key_or_group == "hydra/sweeper" or override.key_or_group.startswith("hydra.sweeper"):
            raise ValueError(f"{line}: sweeps are written as lists here, as in -m seed=0,1,2")
        if not override.is_sweep_override():
            choices.append([line])
            continue
        if not multirun:
            raise ValueError(f"{line} is a sweep: put -m before it, as in python bench/run.py -m {line}")
        if not override.is_discrete_sweep():
            raise ValueError(f"{line} has no end: list the values, as in {override.key_or_group}=1,2,3")
        values = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if not values:
            raise ValueError(f"{line} matches nothing; {_options(override.key_or_group)}")
        choices.append(values)
    return [list(job) for job in product(*choices)]


def composed(job: Sequence[str]) -> DictConfig:
    """The configuration of one job, with Hydra's own node in it. Raises ValueError, in one line."""
    overrides = [_parse(line) for line in job]
    for override in overrides:
        if override.key_or_group in ("schema", "tuned"):
            raise ValueError(f"{override.input_line}: {override.key_or_group}/ is read as conf/experiment.yaml says")
        _check_choice(override)
    try:
        config = compose("experiment", overrides=list(job), return_hydra_config=True)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_yaml_mistake(error)) from None
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_mistake(overrides) or one_line(error)) from None
    if any(override.is_delete() for override in overrides):
        raise ValueError(_mistake(overrides))
    for key, is_known in _keys(config):
        if not is_known:
            raise ValueError(_unknown(key, [key for key, is_known in _keys(config) if is_known]))
    return config


def check_name(key: str, name: str) -> None:
    """Raise ValueError unless `name`, the value of `key`, is a safe part of a path on every file system."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=-]*", name) or len(name) > _LONGEST_NAME:
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:20]}... ({len(name)} characters)"
        raise ValueError(
            f"{key}={shown} cannot name a folder of results: set {key}=<name>, up to {_LONGEST_NAME} of the letters "
            "a-z and A-Z, digits and . _ + = -, a letter or digit first"
        )


def one_line(error: Exception) -> str:
    """The first line of an error's message with, for one of OmegaConf's, the key that it is about."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    lines = str(getattr(cause, "msg", None) or cause).strip().splitlines() or [type(cause).__name__]
    said = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    key = getattr(cause, "full_key", None)
    if "missing mandatory value" in said.lower():
        return f"{key or said.rpartition(' ')[2]} has no value: set {key or said.rpartition(' ')[2]}=<value>"
    return f"{key}: {said}" if key and key not in said else said


def _parse(line: str) -> Override:
    try:
        return OverridesParser.create(config_loader=_loader()).parse_overrides([line])[0]
    except HydraException as error:
        key, equals, value = line.partition("=")
        if not equals or not key:
            raise ValueError(f"{line!r} is not key=value; python bench/run.py --help lists the keys") from None
        if key in ("variant", "model.name"):
            check_name(key, value)
        raise ValueError(
            f"{line!r} cannot be read ({one_line(error)}); a value with other characters than letters, digits and "
            f"_-./ stands in quotes: '{key}=\"...\"'"
        ) from None


def _check_choice(override: Override) -> None:
    """Raise ValueError if a file is asked for that its group does not have."""
    group = override.key_or_group
    if group not in (*GROUPS, _LAUNCHER):
        return
    if override.is_delete() or override.is_add():
        raise ValueError(f"{override.input_line}: write {group}=<one of them>; {_options(group)}")
    value = override.value()
    if value == [] or value is None:
        raise ValueError(f"{override.input_line} names none, and an experiment needs one; {_options(group)}")
    options = _loader().get_group_options(group)
    for choice in map(str, value if isinstance(value, list) else [value]):
        if choice in options:
            continue
        said = f"there is no {group}={choice}"
        if close := get_close_matches(choice, options, n=1):
            said += f"; did you mean {group}={close[0]}?"
        if group == _LAUNCHER and choice in _EXTRAS:
            said += f'; it comes with pip install -c constraints.txt -e ".[{_EXTRAS[choice]}]"'
        raise ValueError(f"{said} {_options(group)}" if said.endswith("?") else f"{said}; {_options(group)}")


def _options(group: str) -> str:
    return f"{group} is one of {', '.join(_loader().get_group_options(group))}"


def _mistake(overrides: Sequence[Override]) -> str | None:
    """The override that cannot work with the files that the others pick, by its key; None if every key is right."""
    picks = [str(override.input_line) for override in overrides if override.key_or_group in GROUPS]
    try:
        keys = [key for key, _ in _keys(compose("experiment", overrides=picks))]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError):
        return None
    for override in overrides:
        key = override.key_or_group
        if key in GROUPS or key.startswith(("hydra.", "hydra/")):
            continue
        if key not in keys:
            return _unknown(key, keys)
        if override.is_delete():
            return f"{key} cannot be taken out; leave {override.input_line} out for its default"
        if override.is_add():
            return f"{key} exists already: write it without the plus, {key}=<value>"
    return None


def _unknown(key: str, keys: Sequence[str]) -> str:
    """That `key` is not among `keys`, with the likeliest one that is, and what its neighbours are called."""
    parent = key.rpartition(".")[0]
    while parent and parent not in keys:
        parent = parent.rpartition(".")[0]
    close = get_close_matches(key, keys, n=1, cutoff=0.75)
    if parent == "task.gold_fixes":  # a mapping that anybody may add to
        return f"{parent} takes a new entry with a plus: +{key}=<value>"
    if not close and not parent:  # the end of a longer key, as num_steps for training.rl.num_steps
        last = key.rpartition(".")[2]
        ends = get_close_matches(last, {known.rpartition(".")[2] for known in keys}, n=1, cutoff=0.75)
        close = [known for known in keys if known.rpartition(".")[2] in ends]
    meant = f"; did you mean {' or '.join(close)}?" if close else ";"
    neighbours = [known for known in keys if known.rpartition(".")[0] == parent]
    if parent == "evaluations":
        return f"there is no key {key}{meant} the evaluations of this command are {', '.join(neighbours)}"
    listed = f"keys of {parent or 'an experiment'}: {', '.join(neighbours) or 'none'}"
    return f"there is no key {key}{meant} {listed}"


def _keys(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every dotted path of a configuration, and whether a dataclass knows it: Hydra lets +key add what none does."""
    kind = OmegaConf.get_type(config)
    known = {field.name for field in fields(kind)} if is_dataclass(kind) else None
    for key in map(str, config):
        if not prefix and key == "hydra":
            continue
        is_known = known is None or key in known
        yield f"{prefix}{key}", is_known
        node = None if OmegaConf.is_missing(config, key) else config._get_node(key)
        if is_known and isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            yield from _keys(node, f"{prefix}{key}.")


def _yaml_mistake(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    place = f"{mark.name}, line {mark.line + 1}" if mark else "a file of conf/"
    return f"{place} is not YAML: {error.problem}"


def _loader() -> ConfigLoader:
    return GlobalHydra.instance().config_loader()
