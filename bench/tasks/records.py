"""Rows of other people's files and data sets, read so that whatever is wrong with one is said with its place."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """One row and where it stands ("mbpp.jsonl, line 7"). Every reader of a field refuses what is not as it must be."""

    place: str
    fields: dict[str, Any]

    def text(self, *names: str) -> str:
        """The first of the named fields that the row has; data sets disagree on names ("text" or "prompt")."""
        for name in names:
            if name in self.fields:
                if not isinstance(self.fields[name], str):
                    raise ValueError(f"{self.place}: {name!r} must be text, not {self.fields[name]!r}")
                return self.fields[name]
        wanted = " or ".join(map(repr, names))
        raise ValueError(f"{self.place}: there is no {wanted}; the record has {', '.join(map(repr, self.fields))}")

    def required_text(self, *names: str) -> str:
        text = self.text(*names)
        if not text.strip():
            raise ValueError(f"{self.place}: {' or '.join(map(repr, names))} is empty")
        return text

    def read(self, parse: Callable[[dict[str, Any]], T]) -> T:
        """`parse` of the fields, with the place put before its complaint."""
        try:
            return parse(self.fields)
        except ValueError as error:
            raise ValueError(f"{self.place}: {error}") from error


def read_records(path: Path) -> list[Record]:
    """All rows of a .jsonl, .jsonl.gz, .json or .json.gz file (a .json file holds one list). Blank lines are no rows.

    Raises ValueError with file and line (row, for .json) for what is not JSON or not an object, for a file without a
    row, and for one that cannot be unpacked or is not UTF-8.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or not UTF-8 text: {error}") from error
    if not path.name.endswith((".json", ".json.gz", ".jsonl", ".jsonl.gz")):
        raise ValueError(f"{path} is neither .jsonl nor .json (nor one of these with .gz)")
    whole = path.name.removesuffix(".gz").endswith(".json")
    records = [
        Record(place, fields)
        for place, fields in (_rows_of_list(path, content) if whole else _rows_of_lines(path, content))
    ]
    for record in records:
        if not isinstance(record.fields, dict):
            raise ValueError(f"{record.place}: a record is a JSON object, not {record.fields!r:.80}")
    if not records:
        raise ValueError(f"{path} holds no record")
    return records


def _rows_of_lines(path: Path, content: str) -> Iterator[tuple[str, Any]]:
    # Not splitlines(): JSON text may hold U+2028 and its like, which splitlines() takes for line ends.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            try:
                yield place, json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{place} is not JSON: {error}") from error


def _rows_of_list(path: Path, content: str) -> Iterator[tuple[str, Any]]:
    rows = parse_json(path, content)
    if not isinstance(rows, list):
        raise ValueError(f"{path} must hold one JSON list of records, not {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        yield f"{path}, record {number}", row


def parse_json(path: Path, content: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno} is not JSON: {error}") from error


def local_path(path: str | None, *, task: str) -> Path:
    """The file or folder that `task.path` names, if it is there."""
    if not path:
        raise ValueError(f"task={task} with task.source=local needs task.path=<a file or folder>")
    found = Path(path).expanduser()
    if not found.exists():
        raise ValueError(f"task.path={path} does not exist; give a file or folder with the problems of {task}")
    return found


def first_file(folder: Path, stem: str) -> Path | None:
    """`stem` with any of the endings that `read_records` reads, plain before packed; None if there is none."""
    candidates = (folder / f"{stem}{ending}" for ending in (".jsonl", ".jsonl.gz", ".json", ".json.gz"))
    return next((path for path in candidates if path.is_file()), None)
