"""Episodes in a file that is read one by one: lines of JSON, each a gzip member of its own (`zcat` shows them all).

JSON gives token ids, floats and texts back to the bit and holds nothing that could be executed, so a results folder may
come from anybody.
"""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.episode import Episode
from bench.files import write_file

_EPISODE = TypeAdapter(Episode)  # makes tuples of JSON's lists, and the dataclasses of its objects


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
        return _EPISODE.validate_python(json.loads(gzip.decompress(file.read(length))))


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass of bench.episode one level deep; `dataclasses.asdict` would copy every token id in Python."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
