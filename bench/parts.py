"""An evaluation under way: its conversations go to disk part by part, so that a kill costs one part and not all.

<evaluation>/parts/asked.json                       what the parts are of; parts of anything else are deleted
<evaluation>/parts/<k>.parquet <k>.jsonl.gz <k>.json    rows, transcripts, and last what the part cost
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.episode import Episode
from bench.files import replacing, write_file
from bench.records import rows_of, transcript_row

_JOINED_AT_ONCE = 16  # parts; a parquet file of very small row groups is large and slow to read


class Parts:
    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self._folder = folder
        record = json.dumps(asked, sort_keys=True).encode()
        path = folder / "asked.json"
        if not path.exists() or path.read_bytes() != record:
            shutil.rmtree(folder, ignore_errors=True)
            write_file(path, record)
        self.costs: list[dict[str, Any]] = []  # of each part so far

    def take_next(self) -> bool:
        """Whether the next part is on disk already; if so it counts."""
        path = self._path("json")
        if not path.exists():
            return False
        self.costs.append(json.loads(path.read_bytes()))
        return True

    def write_next(self, episodes: Sequence[Episode], prompts: Mapping[str, str], cost: Mapping[str, Any]) -> None:
        """`prompts` is the first user message by problem id."""
        write_rows(self._path("parquet"), [rows_of(episodes)])
        rows = (transcript_row(episode, prompts[episode.problem.id]) for episode in episodes)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_file(self._path("jsonl.gz"), gzip.compress(lines.encode(), mtime=0))
        write_file(self._path("json"), json.dumps(cost).encode())
        self.costs.append(dict(cost))

    def rows(self) -> Iterator[pa.Table]:
        """The parts' rows, some parts at a time."""
        paths = [self._folder / f"{k}.parquet" for k in range(len(self.costs))]
        for first in range(0, len(paths), _JOINED_AT_ONCE):
            yield pa.concat_tables(map(pq.read_table, paths[first : first + _JOINED_AT_ONCE]))

    def transcripts(self) -> Iterator[bytes]:
        """Members of one gzip file."""
        return ((self._folder / f"{k}.jsonl.gz").read_bytes() for k in range(len(self.costs)))

    def delete(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, suffix: str) -> Path:
        return self._folder / f"{len(self.costs)}.{suffix}"


def write_rows(path: Path, tables: Iterable[pa.Table]) -> None:
    """A parquet file of tables of one schema, at least one, of which only one is in memory at a time."""
    tables = iter(tables)
    first = next(tables)
    with replacing(path) as file, pq.ParquetWriter(file, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table)


def read_without_answers(path: Path) -> pd.DataFrame:
    """Rows for metrics, which look at no answer's text: those take most of the memory."""
    names = pq.read_schema(path).names
    return pd.read_parquet(path, columns=[name for name in names if not name.startswith("answer_")])


def read_transcripts(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
