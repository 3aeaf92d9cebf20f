"""What the dataclasses of all tasks share: how a problem is posed, and where the problems of a data set come from."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.episode import Problem
from bench.tasks.interface import Source, check_path_is_read, check_revision_is_read, check_stop_strings
from bench.tasks.prompts import require_slots
from bench.tasks.splits import capped, check_counts


@dataclass(kw_only=True)
class Posed:
    """A task's words, and how many of its problems are used."""

    prompt_template: str  # the first user message, with {question}
    correction: str  # asks for the next attempt
    stop_strings: list[str]  # end a reply, besides the end of the model's turn
    num_train: int | None = None  # for a quick look: this many, the first of a fixed shuffle
    num_test: int | None = None  # as num_train, of the test split

    def __post_init__(self) -> None:
        check_stop_strings(self.stop_strings)
        check_counts(num_train=self.num_train, num_test=self.num_test)
        require_slots(self.prompt_template, "question", field="task.prompt_template")

    def capped(self, problems: Sequence[Problem], split: str) -> tuple[Problem, ...]:
        """As many of a split's problems as are used of it; the dev split is used whole."""
        return capped(tuple(problems), {"train": self.num_train, "test": self.num_test, "dev": None}[split])


@dataclass(kw_only=True)
class Published:
    """A data set that somebody published."""

    source: Source  # where the problems come from
    hub_id: str  # of the data set; one without a train split is a test split without training problems
    revision: str | None = None  # of the hub's data set: a commit, tag or branch; None: the newest
    path: str | None = None  # for source=local: a folder or a file of it (see the README)

    def check_source(self) -> None:
        check_path_is_read(self.source, self.path)
        check_revision_is_read(self.source, self.revision)

    @property
    def downloads(self) -> bool:
        return self.source is Source.hub
