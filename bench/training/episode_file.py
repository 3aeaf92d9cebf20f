"""Episodes in a file that is read one by one: lines of JSON, each a gzip member of its own (`zcat` shows them all).

JSON gives token ids, floats and texts back to the bit and holds nothing that could be executed, so a results folder may
come from anybody.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.episode import Attempt, Completion, Episode, Grade, Problem, Reflection, Reply, UnitTests, Verdict
from bench.files import write_file


def write_episodes(path: Path, episodes: Iterable[Episode]) -> list[int]:
    """Each member's length in bytes, in order: with them `read_episode` finds one without reading the others."""
    lengths: list[int] = []

    def members() -> Iterable[bytes]:
        for episode in episodes:
            member = gzip.compress(json.dumps(episode, default=_fields).encode() + b"\n", compresslevel=1, mtime=0)
            lengths.append(len(member))
            yield member

    write_file(path, members())
    return lengths


def read_episode(path: Path, *, offset: int, length: int) -> Episode:
    """The episode whose member is `length` bytes from byte `offset` on."""
    with path.open("rb") as file:
        file.seek(offset)
        return _episode(json.loads(gzip.decompress(file.read(length))))


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass of bench.episode one level deep; `dataclasses.asdict` would copy every token id in Python."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _episode(row: Mapping[str, Any]) -> Episode:
    tests = row["problem"]["tests"]
    problem = {**row["problem"], "tests": None if tests is None else UnitTests(**_with_tuples(tests))}
    return Episode(
        problem=Problem(**problem),
        sample=row["sample"],
        token_ids=tuple(row["token_ids"]),
        spans=tuple((start, stop) for start, stop in row["spans"]),
        replies=tuple(map(_reply, row["replies"])),
        num_prefilled=row["num_prefilled"],
    )


def _reply(row: Mapping[str, Any]) -> Reply:
    completion = Completion(**_with_tuples(row["completion"]))
    if "verdict" not in row:
        return Reflection(completion, row["kind"])
    return Attempt(completion, Verdict(**{**row["verdict"], "grade": Grade(row["verdict"]["grade"])}))


def _with_tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows lists alone, and bench.episode tuples alone."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
