"""An evaluation under way: its conversations go to disk part by part, so that a kill costs one part and not all.

<evaluation>/parts/made_from.json                   what the parts depend on; parts of anything else are deleted
<evaluation>/parts/<k>.parquet <k>.jsonl.gz <k>.json    rows, transcripts, and last what the part cost
"""

import gzip
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.episode import Episode
from bench.files import replacing, write_file
from bench.runs.records import rows_of, transcript_row

_JOINED_AT_ONCE = 16  # parts; a parquet file of very small row groups is large and slow to read


@dataclass(frozen=True, slots=True)
class PartCost:
    start: str  # UTC
    seconds: float
    sampled_tokens: int
    prompt_tokens: int | None = None  # None: a version that did not count them


class Parts:
    def __init__(self, folder: Path, made_from: Mapping[str, Any]) -> None:
        self._folder = folder
        record = json.dumps(made_from, sort_keys=True).encode()
        path = folder / "made_from.json"
        if not path.exists() or path.read_bytes() != record:
            shutil.rmtree(folder, ignore_errors=True)
            write_file(path, record)
        self.costs: list[PartCost] = []  # of each part so far

    def take_next(self) -> bool:
        """Whether the next part is on disk already; if so it counts."""
        path = self._path("json")
        if not path.exists():
            return False
        self.costs.append(PartCost(**json.loads(path.read_bytes())))
        return True

    def write_next(
        self, episodes: Sequence[Episode], prompts: Mapping[str, str], cost: PartCost, *, num_attempts: int
    ) -> None:
        """`prompts` is the first user message by problem id; rows are of `num_attempts` attempts (`episode_row`)."""
        write_rows(self._path("parquet"), [rows_of(episodes, num_attempts=num_attempts)])
        rows = (transcript_row(episode, prompts[episode.problem.id]) for episode in episodes)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_file(self._path("jsonl.gz"), gzip.compress(lines.encode(), mtime=0))
        write_file(self._path("json"), json.dumps(asdict(cost)).encode())
        self.costs.append(cost)

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
