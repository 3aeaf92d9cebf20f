"""Attempts that somebody recorded, played as if they were sampled now: any system's traces can be graded and compared.

A recording is JSON lines with `problem_id` and `attempts` (a list of texts, in turn order); `sample` (default 0)
tells several conversations about one problem apart. `passed`, a list of true and false, may say which attempts were
right: it grades nothing, and is kept so that labels and verdicts can be compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.data_files import read_lines
from bench.episode import Completion, Request, SamplingParams
from bench.models.characters import CharacterSampler
from bench.models.interface import ConversationCheck, OnDone, Sampler
from bench.runs.fingerprints import file_digest


@dataclass(kw_only=True)
class Replay:
    """Implements `Model`: recorded attempts, played instead of sampled."""

    trainable: ClassVar[bool] = False
    uses_gpu: ClassVar[bool] = False

    path: str  # a JSONL file of recorded attempts
    name: str = ""  # of the results' folder; empty: the file's name
    max_tokens: int = 1  # nothing is sampled, so nothing is cut

    def __post_init__(self) -> None:
        self.name = self.name or Path(self.path).name.removesuffix(".jsonl")

    def check(self) -> None:
        if not Path(self.path).is_file():
            raise ValueError(f"model.path={self.path}: no such file of recorded attempts")

    def build(self, canonical_id: Callable[[str | int], str]) -> Sampler:
        return ReplaySampler(Path(self.path), canonical_id)

    def outline(self, canonical_id: Callable[[str | int], str]) -> ConversationCheck | None:
        return self.build(canonical_id)

    def contents(self) -> dict[str, Any]:
        return {"recording": file_digest([Path(self.path)])}


class ReplaySampler(CharacterSampler):
    """Implements `Sampler`. `canonical_id` maps the recording's ids to the task's."""

    def __init__(self, path: Path, canonical_id: Callable[[str | int], str]) -> None:
        self._path = path
        self._attempts = read_recording(path, canonical_id)

    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingParams,  # noqa: ARG002  recorded
        on_done: OnDone | None = None,  # noqa: ARG002  recorded
    ) -> list[Completion]:
        return [self._recorded_reply(request) for request in requests]

    def check_can_sample(
        self,
        prompts: Mapping[str, str],
        *,
        follow_up_turns: Sequence[str],
        max_tokens: int,  # noqa: ARG002  recorded
        key: str,  # noqa: ARG002  recorded
    ) -> None:
        """Raise ValueError unless every problem was recorded, with enough attempts."""
        missing = [problem for problem in prompts if (problem, 0) not in self._attempts]
        if missing:
            raise ValueError(
                f"{self._path} holds no attempts for {len(missing)} of {len(prompts)} problems, first "
                f"{missing[0]}; its own ids look like {next(iter(self._attempts))[0]}. If its rows carry their own "
                "prompt and test, give the same file as task.path"
            )
        num_replies = 1 + len(follow_up_turns)
        short = [problem for problem in prompts if len(self._attempts[problem, 0]) < num_replies]
        if short:
            raise ValueError(f"{self._path} records fewer than {num_replies} attempts for {short[0]}")

    def _recorded_reply(self, request: Request) -> Completion:
        recorded = self._attempts[request.problem_id, request.sample][request.turn]
        ids = tuple(map(ord, recorded.text))
        return Completion(recorded.text, ids, (0.0,) * len(ids), truncated=False, recorded=recorded.passed)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One attempt of a recording; `passed` is None where it has no labels."""

    text: str
    passed: bool | None


def read_recording(path: Path, canonical_id: Callable[[str | int], str]) -> dict[tuple[str, int], list[Recorded]]:
    """Attempts by (problem id, sample). Raises ValueError with file and line number on a line that cannot be used."""

    def conversation(row: dict[str, Any]) -> tuple[tuple[str, int], list[Recorded]]:
        if not isinstance(row.get("problem_id"), str | int) or not isinstance(row.get("sample", 0), int):
            raise ValueError("no 'problem_id' that is a text or a number, or a 'sample' that is no number")
        texts = row.get("attempts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("'attempts' must be a list of texts")
        labels = row.get("passed", [None] * len(texts))
        if not isinstance(labels, list) or len(labels) != len(texts) or {*map(type, labels)} - {bool, type(None)}:
            raise ValueError("'passed' must be a list of true or false, one per attempt")
        key = (canonical_id(row["problem_id"]), row.get("sample", 0))
        if key in attempts:
            raise ValueError(f"{key[0]} sample {key[1]} was recorded before")
        return key, [Recorded(*pair) for pair in zip(texts, labels, strict=True)]

    attempts: dict[tuple[str, int], list[Recorded]] = {}
    for record in read_lines(path):
        key, recorded = record.read(conversation)
        attempts[key] = recorded
    if not attempts:
        raise ValueError(f"{path} records no attempts")
    return attempts
