"""A policy that says what it is told to and learns nothing: for testing the plumbing, and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bench.episode import Completion, Request, SamplingParams, TrainingSample
from bench.models.characters import CharacterSampler
from bench.models.interface import ConversationCheck, KLEstimator, OnDone, OptimizerConfig, Sampler, UpdateStats
from bench.models.stopping import cut_after, first_stop
from bench.runs.fingerprints import digest


@dataclass
class Scripted(CharacterSampler):
    """Implements `Model`, and `Policy` as well: there is nothing heavy to build."""

    trainable: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False

    replies: list[str] = field(default_factory=list)  # one is picked by each request's seed; at least one
    name: str = "scripted"  # of the results' folder
    max_tokens: int = 1000  # per reply

    def check(self) -> None:
        if not self.replies:
            raise ValueError("model=scripted needs at least one reply in model.replies")

    def build(self, canonical_id: Callable[[str | int], str]) -> Sampler:  # noqa: ARG002  only recordings have foreign ids
        return self

    def outline(self, canonical_id: Callable[[str | int], str]) -> ConversationCheck | None:  # noqa: ARG002  as for build
        return self

    def contents(self) -> dict[str, Any]:
        return {"replies": digest(self.replies)}

    def check_can_sample(
        self, prompts: Mapping[str, str], *, follow_up_turns: Sequence[str], max_tokens: int, key: str
    ) -> None: ...

    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingParams,
        on_done: OnDone | None = None,  # noqa: ARG002  takes no time
    ) -> list[Completion]:
        return [self._reply(request, sampling) for request in requests]

    push_seconds = 0.0

    def begin(
        self,
        optimizer: OptimizerConfig,
        *,
        num_updates: int,
        kl_estimator: KLEstimator,
        importance_cap: float | None = None,
    ) -> None: ...

    def update(self, samples: Sequence[TrainingSample]) -> UpdateStats:
        tokens = sum(stop - start for sample in samples for start, stop in sample.episode.spans)
        return UpdateStats(loss=0.0, trained_tokens=tokens)

    def reset(self) -> None: ...

    def end(self) -> None: ...

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "replies.txt").write_text("\n".join(self.replies), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        if not (folder / "replies.txt").is_file():
            raise FileNotFoundError(f"{folder} holds no scripted replies")

    def save_state(self, folder: Path) -> None:
        self.save(folder)

    def restore_state(self, folder: Path) -> None:
        self.restore(folder)

    def _reply(self, request: Request, sampling: SamplingParams) -> Completion:
        text = self.replies[request.seed % len(self.replies)]
        stop = first_stop(text[: sampling.max_tokens], request.stop)
        cut = cut_after(text, stop)[: sampling.max_tokens]
        return Completion(
            text=cut,
            token_ids=tuple(map(ord, cut)),
            logprobs=(0.0,) * len(cut),
            truncated=len(cut) < len(text) and not stop,
            stop=stop,
        )
