"""What a finished evaluation records of itself: manifest.json, written last, says that its folder is whole."""

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.files import write_file

SCHEMA_VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Mappings are plain data as JSON gives it back."""

    schema_version: int = SCHEMA_VERSION
    evaluation: str
    evaluation_config: dict[str, Any]
    task: dict[str, Any]  # configuration of the task that tests, with its name; `config` has the one of the run
    num_problems: int
    num_rows: int  # of episodes.parquet: problems times samples
    table: dict[str, Any]  # what all methods of a table share (bench.runs.fingerprints)
    row: dict[str, Any]  # what all seeds of a row share
    config: dict[str, Any]  # of the whole experiment, without what the method does not read
    token_unit: str  # what one token id stands for: tokens, or characters
    renderer: dict[str, Any]  # how text becomes ids: the chat template's kind, its digest, a fixed date
    grading: dict[str, Any]  # the grader and what confined it
    usage: dict[str, int]  # of training: bench.rollout.Usage
    training_seconds: float  # of the process that finished training
    seconds: float  # of the evaluation, over its parts
    sampled_tokens: int  # by the evaluation
    prompt_tokens: int | None = None  # before the evaluation's replies; None: a version that did not count them
    start: str  # UTC
    end: str
    model_revision: str | None  # a hub's commit
    data_revisions: dict[str, str]  # hubs' commits by data set
    provenance: dict[str, Any]  # command line, commit, host, hardware and versions (bench.runs.provenance)
    training_sessions: list[dict[str, Any]]  # the same of each start or restart of training, with its times

    @property
    def split(self) -> str:
        return self.evaluation_config["split"]

    @property
    def is_recording(self) -> bool:
        """Whether its attempts were made by some other system."""
        return "recording" in self.table["weights"]

    @property
    def commit(self) -> str:
        """Of the code that evaluated, 7 digits, with "+dirty" where files differed from it; empty where not known."""
        name, mark, dirty = (self.provenance.get("commit") or "").partition("+")
        return name[:7] + mark + dirty


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_file(folder / "manifest.json", json.dumps(asdict(manifest), indent=2).encode())


def read_manifest(folder: Path) -> Manifest | None:
    """None where there is none. Raises ValueError where it is damaged, or another version of this project wrote it."""
    path = folder / "manifest.json"
    if not path.exists():
        return None
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete its folder and run again") from None
    version = record.get("schema_version")
    if not isinstance(version, int):
        raise ValueError(f"{path} is damaged (it has no schema_version); delete its folder and run again")
    if version == 2:
        record, version = _with_task(record, folder), SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        hint = "update the code" if version > SCHEMA_VERSION else "run again with another results=<folder>"
        raise ValueError(f"{folder} has schema version {version}, this code reads {SCHEMA_VERSION}: {hint}")
    lacking = [each.name for each in fields(Manifest) if each.name not in record and each.default is MISSING]
    if lacking:
        raise ValueError(f"{path} is damaged (it has no {lacking[0]}); delete its folder and run again")
    return Manifest(**{each.name: record[each.name] for each in fields(Manifest) if each.name in record})


def _with_task(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A record of version 2, in which every run was tested on the task that named it, as one of version 3."""
    config = dict(record.get("config", {}))
    task = dict(config.get("task", {}))
    if "training" in config and "training" in task:
        raise ValueError(
            f"{folder} has schema version 2, in which a run was named after the task that tests it and not after the "
            "one that it trains on: run again with another results=<folder>"
        )
    return {**record, "task": {"name": "", **task}, "schema_version": SCHEMA_VERSION}
