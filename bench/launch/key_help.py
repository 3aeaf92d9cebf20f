"""What `bench/run.py --help` says of choices and keys; Hydra fills it into its template, in conf/experiment.yaml.

A key's meaning is the comment at its field in the dataclass, and a choice's is the first sentence of the comment that
its YAML file begins with: each is written once.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf

from bench.launch.command_line import CONF, GROUPS

_WIDTH = 120
_COLUMN = 50  # where meanings begin
_LONGEST_VALUE = 40


def register() -> None:
    """Tell OmegaConf the resolvers that the template names."""
    OmegaConf.register_new_resolver("help_of_choices", lambda: _escaped(choices()), replace=True)
    OmegaConf.register_new_resolver("help_of_keys", lambda *, _root_: _escaped(keys(_root_)), replace=True)


def choices() -> str:
    """Every group, and a line for each of its files."""
    lines = []
    for group in GROUPS:
        lines.append(f"{group}=" if group != "evaluation" else "evaluation=[<any of them>]")
        for path in sorted((CONF / group).glob("*.yaml")):
            lines.append(f"  {path.stem:<28}{sentence_of(path.read_text(encoding='utf-8'))}")
    return "\n".join(lines)


def sentence_of(text: str) -> str:
    """The first sentence of the comment that a YAML file begins with."""
    comment = " ".join(line for line in _comment(text.splitlines()) if not line.startswith("@package"))
    return re.split(r"\. (?=[A-Z])", comment, maxsplit=1)[0].rstrip(".")


def keys(config: DictConfig) -> str:
    """The keys of a composed configuration as `key=value` with their meanings, then those that other choices have."""
    shown = dict.fromkeys(key for key, *_ in _keys(config))
    lines = [_line(f"{key}={_shown(value)}", meaning) for key, value, meaning in _keys(config)]
    others: dict[tuple[str, str], list[str]] = {}
    for group in ("method", "task", "model"):
        for path in sorted((CONF / group).glob("*.yaml")):
            for key, meaning in keys_of(schema_of(path), f"{group}."):
                if key not in shown:
                    others.setdefault((key, meaning), []).append(path.stem)
    lines += ["", "Keys that other choices have:"]
    for (key, meaning), having in others.items():
        lines.append(_line(key, f"{meaning} (of {', '.join(having)})"))
    return "\n".join(lines)


@cache
def meanings(kind: type) -> dict[str, str]:
    """By field of a dataclass: the comment at the end of its line, or the one above it; "" where there is none.

    Fields that it inherits have theirs where they are declared.
    """
    lines = textwrap.dedent(inspect.getsource(kind)).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    assert isinstance(tree, ast.ClassDef)
    by_field = {
        name: meaning for base in kind.__bases__ if is_dataclass(base) for name, meaning in meanings(base).items()
    }
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            beside = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")[2]
            by_field[node.target.id] = beside or " ".join(reversed(_comment(reversed(lines[: node.lineno - 1]))))
    return by_field


def _keys(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Dotted path, value and meaning of every key but Hydra's own; a mapping without a schema counts as one value."""
    kind = OmegaConf.get_type(config)
    for name in map(str, config):
        if not prefix and name == "hydra":
            continue
        value = None if OmegaConf.is_missing(config, name) else config[name]
        meaning = _meaning(kind, name) if is_dataclass(kind) else ""
        if isinstance(value, DictConfig) and (is_dataclass(OmegaConf.get_type(value)) or name == "evaluations"):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "???" if OmegaConf.is_missing(config, name) else value, meaning


def keys_of(kind: type, prefix: str) -> Iterator[tuple[str, str]]:
    """Dotted path and meaning of every key that a dataclass stands for."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            yield from keys_of(hints[field.name], f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", _meaning(kind, field.name)


def _meaning(kind: Any, name: str) -> str:
    """With the words that the value may be, where they are few."""
    hint = get_type_hints(kind)[name]
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    words = [
        each.value for option in options if isinstance(option, type) and issubclass(option, Enum) for each in option
    ]
    meaning = re.sub(r"\bNone\b", "null", meanings(kind).get(name, ""))
    return f"{meaning.rstrip('.')} [{' | '.join(words)}]" if words else meaning


def schema_of(path: Path) -> type:
    """The dataclass that a YAML file, or the one that it builds on, names first in its defaults."""
    first = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"][0]
    if not first.startswith("/schema/"):
        return schema_of(path.with_name(f"{first}.yaml"))
    name = first.removeprefix("/schema/").partition("@")[0]
    kind = OmegaConf.get_type(ConfigStore.instance().load(f"schema/{name}.yaml").node)
    assert kind is not None
    return kind


def _shown(value: Any) -> str:
    if isinstance(value, DictConfig):
        return f"<{len(value)} entries>"
    if isinstance(value, ListConfig):
        value = f"[{','.join(map(str, value))}]"
    if isinstance(value, Enum):
        value = value.name
    # As YAML has it: null, true and false.
    word = " ".join((json.dumps(value) if value is None or isinstance(value, bool) else str(value)).split())
    return word if len(word) <= _LONGEST_VALUE else f"{word[: _LONGEST_VALUE - 3]}..."


def _line(key: str, meaning: str) -> str:
    gap = " " * (_COLUMN - 2 - len(key)) if len(key) < _COLUMN - 3 else "\n" + " " * _COLUMN
    rows = textwrap.wrap(meaning, _WIDTH - _COLUMN)
    return f"  {key}{gap}{(chr(10) + ' ' * _COLUMN).join(rows)}".rstrip()


def _comment(lines: Iterable[str]) -> list[str]:
    """The lines of comment that others follow."""
    comment = takewhile(lambda line: line.startswith("#"), map(str.strip, lines))
    return [line.lstrip("# ") for line in comment]


def _escaped(text: str) -> str:
    """For string.Renderer, by which Hydra fills in its template."""
    return text.replace("$", "$$")
