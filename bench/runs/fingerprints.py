"""What makes numbers comparable: all methods of a table share one fingerprint, all seeds of a row another.

A fingerprint is plain data with names, so that a report can say in words what keeps two apart. What only changes
memory, speed or where things lie is in neither.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.episode import Problem, Turn

# What a configuration may change without changing what a run's folder holds. What stands at model.path and task.path is
# compared by its contents, evaluations (and num_test) by their own settings.
FREE = (
    "evaluations",
    "grading",
    "jobs",
    "model.api_key_env",
    "model.cache",
    "model.concurrency",
    "model.device",
    "model.gradient_checkpointing",
    "model.input_price",
    "model.output_price",
    "model.packing",
    "model.path",
    "model.retries",
    "model.sample_batch_tokens",
    "model.threads",
    "model.timeout",
    "model.train_batch_tokens",
    "model.vllm",
    "results",
    "task.num_test",
    "task.path",
    "task.training.path",
    "tracking",
    "training.rl.alerts",
    "training.sft.checkpoint_every",
)


def table_fingerprint(
    *,
    problems: Sequence[Problem],
    prompts: Iterable[str],
    correction: str,
    stop: Sequence[str],
    weights: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    grader: Mapping[str, Any],
) -> dict[str, Any]:
    """What must be equal for two methods to stand in one table. `weights` are the base model's contents."""
    return _plain(
        {
            "problems": problem_contents(problems),
            "prompts": digest(list(prompts)),
            "correction": correction,
            "stop": list(stop),
            "weights": dict(weights),
            "evaluation": dict(evaluation),
            "grader": dict(grader),
        }
    )


def row_fingerprint(
    config: Mapping[str, Any], *, turns: Iterable[Turn], training_problems: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What must be equal for two seeds to be averaged. `training_problems` are their contents,
    None for a method that does not train; `turns` is what the user says for a second attempt."""
    compared = claimed(config)
    row = {
        "method": _nameless(compared["method"]),
        "turns": [asdict(turn) for turn in turns],
        "model": _nameless(compared["model"]),
    }
    if training_problems is not None:
        row["training"] = compared["training"]
        row["training_problems"] = dict(training_problems)
    return _plain(row)


def claimed(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The part of a configuration that decides what a run's folder holds."""
    return {
        key: claimed(value, f"{path}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if f"{path}{key}" not in FREE
    }


def differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value in one, value in the other) of all that differs; None for a key that is not there."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif one != other:
        yield path, one, other


def problem_contents(problems: Sequence[Problem]) -> dict[str, Any]:
    """How many problems, and a digest of all that is asked and all that grades."""
    return {"num": len(problems), "digest": digest([asdict(problem) for problem in problems])}


def digest(value: Any) -> str:
    """16 hexadecimal digits of plain data, the same on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_digest(paths: Iterable[Path]) -> str:
    """16 hexadecimal digits of the files' names and contents."""
    whole = hashlib.blake2b(digest_size=8)
    for path in sorted(paths, key=lambda path: path.name):
        with path.open("rb") as file:
            contents = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
        whole.update(path.name.encode() + b"\0" + contents)
    return whole.hexdigest()


def _nameless(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "name"}


def _plain(value: Any) -> Any:
    """As JSON gives it back, so that what is computed compares with what was stored."""
    return json.loads(json.dumps(value))
