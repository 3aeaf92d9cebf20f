"""Data sets of a hub, read with `datasets`: every split of one at one commit."""

import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.data_files import Record

HINT_WITHOUT_HUB = "use task.source=local with task.path=..., or task=mini_math, which needs no network"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubData:
    """A data set's rows by split. `revision` is its commit; None where it came from a folder, which has none."""

    hub_id: str
    splits: Mapping[str, list[Record]]
    revision: str | None
    num_bytes: int = 0  # as prepared for reading

    def split(self, name: str) -> list[Record]:
        if name not in self.splits:
            raise ValueError(f"{self.hub_id} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    @property
    def revisions(self) -> dict[str, str]:
        """For a manifest; empty where no commit is known."""
        return {self.hub_id: self.revision} if self.revision else {}


def require_hub(hub_id: str, *, revision: str | None) -> None:
    """Raise ValueError for what can be seen to be wrong without a network."""
    if importlib.util.find_spec("datasets") is None:
        raise ValueError(
            f"loading {hub_id} from the hub needs the package `datasets`; install it, or {HINT_WITHOUT_HUB}"
        )
    if revision is not None and Path(hub_id).is_dir():
        raise ValueError(f"task.revision={revision} is of a hub's data set, and {hub_id} is a folder: drop it")


def hub_data(hub_id: str, *, config: str | None = None, revision: str | None = None) -> HubData:
    """All splits of a data set: a hub's (from the local cache where it is there already), or a folder's in its layout.

    `revision` is a commit, tag or branch; None: the newest.
    """
    require_hub(hub_id, revision=revision)
    from datasets import load_dataset_builder  # seconds to import, and only this source needs it
    from datasets.exceptions import DatasetsError

    try:
        builder = load_dataset_builder(hub_id, config, revision=revision)
        commit = str(builder.hash) if _COMMIT.fullmatch(str(builder.hash)) else None
        from_cache = type(builder).__module__.startswith("datasets.packaged_modules.cache")
        if revision is not None and from_cache and not (commit or "").startswith(revision):
            # Without a network `datasets` takes whatever the cache holds.
            raise ValueError(f"the cache holds revision {commit}, and task.revision asks for {revision}")
        builder.download_and_prepare()
        loaded = cast("dict[str, Iterable[Any]]", builder.as_dataset())
    except (OSError, ValueError, DatasetsError) as error:  # no network, offline mode, no such data set or config
        raise ValueError(
            f"cannot load {hub_id} from the hub ({error.__cause__ or error}); check the network, or {HINT_WITHOUT_HUB}"
        ) from error
    splits = {
        str(name): [Record(f"{hub_id}, {name} row {number}", dict(row)) for number, row in enumerate(rows, start=1)]
        for name, rows in loaded.items()
    }
    return HubData(hub_id, splits, commit, builder.info.dataset_size or 0)
