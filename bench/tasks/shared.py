"""What the dataclasses of all tasks share: how a problem is posed, and where the problems of a data set come from."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from bench.data_files import ENDINGS, first_file
from bench.episode import Problem
from bench.tasks.hub import HubData, hub_data, require_hub
from bench.tasks.interface import Source
from bench.tasks.prompts import require_slots
from bench.tasks.splits import capped, check_counts


@dataclass(kw_only=True)
class Posed:
    """A task's words, and how many of its problems are used. Without `Published` it is generated."""

    name: ClassVar[str]
    downloads: ClassVar[bool] = False

    prompt_template: str  # the first user message, with {question}
    correction: str  # asks for the next attempt
    stop_strings: list[str]  # end a reply, besides the end of the model's turn
    num_train: int | None = None  # for a quick look: this many, the first of a fixed shuffle
    num_test: int | None = None  # as num_train, of the test split

    def __post_init__(self) -> None:
        if not all(self.stop_strings):
            raise ValueError("task.stop_strings holds an empty text, which would end every reply at once; leave it out")
        check_counts(num_train=self.num_train, num_test=self.num_test)
        require_slots(self.prompt_template, "question", field="task.prompt_template")

    def check(self) -> None: ...

    def revisions(self) -> dict[str, str]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the problems that were read: another process reads its own, so that a plan on its way is small."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def capped(self, problems: Sequence[Problem], split: str) -> tuple[Problem, ...]:
        """As many of a split's problems as are used of it; the dev split is used whole."""
        return capped(tuple(problems), {"train": self.num_train, "test": self.num_test, "dev": None}[split])


@dataclass(kw_only=True)
class Published(Posed):
    """A data set that somebody published."""

    source: Source  # where the problems come from
    hub_id: str  # of the data set; one without a train split is a test split without training problems
    revision: str | None = None  # of the hub's data set: a commit, tag or branch; None: the newest
    path: str | None = None  # for source=local: a folder or a file of it (see the README)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, value, reader in (("path", self.path, Source.local), ("revision", self.revision, Source.hub)):
            if value is not None and self.source is not reader:  # its user believes that it has an effect
                raise ValueError(
                    f"task.{key}={value} is read only with task.source={reader.name}, and task.source is "
                    f"{self.source.name}"
                )

    @property
    def downloads(self) -> bool:
        return self.source is Source.hub

    @property
    def loaded(self) -> Any:
        """The problems, read once."""
        raise NotImplementedError

    def check(self) -> None:
        if self.source is Source.hub:
            require_hub(self.hub_id, revision=self.revision)
        else:
            self.loaded  # noqa: B018  loads and keeps it

    @cached_property
    def hub(self) -> HubData:
        return hub_data(self.hub_id, config=getattr(self, "hub_config", None), revision=self.revision)

    def revisions(self) -> dict[str, str]:
        return self.hub.revisions if "hub" in self.__dict__ else {}

    @property
    def local_path(self) -> Path:
        """The file or folder that `path` names, if it is there."""
        if not self.path:
            raise ValueError(f"task={self.name} with task.source=local needs task.path=<a file or folder>")
        found = Path(self.path).expanduser()
        if not found.exists():
            raise ValueError(f"task.path={self.path} does not exist; give a file or folder with {self.name}'s problems")
        return found

    def local_file(self, *stems: str) -> Path:
        """The file that `path` names, or the first of these that the folder has."""
        path = self.local_path
        files = [path] if path.is_file() else [file for stem in stems if (file := first_file(path, stem))]
        if not files:
            names = " or ".join(f"{stem}.*" for stem in stems)
            raise ValueError(f"task.path={path} holds no {names}, of the endings {', '.join(ENDINGS)}")
        return files[0]
