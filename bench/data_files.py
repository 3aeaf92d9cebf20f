"""Rows of other people's files and data sets, read so that whatever is wrong with one is said with its place."""

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz")


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
    if not path.name.endswith(ENDINGS):
        raise ValueError(f"{path} is neither .jsonl nor .json (nor one of these with .gz)")
    whole = path.name.removesuffix(".gz").endswith(".json")
    records = _records_of_list(path) if whole else read_lines(path)
    if not records:
        raise ValueError(f"{path} holds no record")
    return records


def read_lines(path: Path) -> list[Record]:
    """As `read_records`, for a file of lines whatever its name, which may be empty."""
    records = []
    # Not splitlines(): JSON text may hold U+2028 and its like, which splitlines() takes for line ends.
    for number, line in enumerate(_content(path).split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            try:
                records.append(_record(place, json.loads(line)))
            except json.JSONDecodeError as error:
                raise ValueError(f"{place} is not JSON: {error}") from error
    return records


def _records_of_list(path: Path) -> list[Record]:
    rows = parse_json(path, _content(path))
    if not isinstance(rows, list):
        raise ValueError(f"{path} must hold one JSON list of records, not {type(rows).__name__}")
    return [_record(f"{path}, record {number}", row) for number, row in enumerate(rows, start=1)]


def _record(place: str, fields: Any) -> Record:
    if not isinstance(fields, dict):
        raise ValueError(f"{place}: a record is a JSON object, not {fields!r:.80}")
    return Record(place, fields)


def _content(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            return file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or not UTF-8 text: {error}") from error


def parse_json(path: Path, content: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno} is not JSON: {error}") from error


def first_file(folder: Path, stem: str) -> Path | None:
    """`stem` with any of the endings that `read_records` reads, plain before packed; None if there is none."""
    candidates = (folder / f"{stem}{ending}" for ending in ENDINGS)
    return next((path for path in candidates if path.is_file()), None)
