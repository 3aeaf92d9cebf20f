"""A policy that says what it is told to and learns nothing: for testing the plumbing, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.episode import Completion, Request, SamplingParams, TrainingSample
from bench.models.interface import KLEstimator, OptimizerConfig, UpdateStats
from bench.models.renderer import CharacterRenderer
from bench.models.stopping import cut_after, first_stop


class Scripted:
    """Implements `Policy`. The reply is picked from `replies` by the request's seed, so that runs repeat exactly."""

    token_unit = "characters"

    def __init__(self, replies: Sequence[str]) -> None:
        if not replies:
            raise ValueError("model=scripted needs at least one reply in model.replies")
        self._replies = tuple(replies)
        self._template = CharacterRenderer()

    @property
    def description(self) -> dict[str, str]:
        return self._template.description

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        return self._template.prompt_ids(prompt)

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        return self._template.bridge(text, turn_ended=turn_ended)

    def check_can_play(self, prompts: Mapping[str, str], *, said: Sequence[str], max_tokens: int, key: str) -> None: ...

    def generate(self, requests: Sequence[Request], sampling: SamplingParams) -> list[Completion]:
        return [self._reply(request, sampling) for request in requests]

    def begin(self, optimizer: OptimizerConfig, *, num_updates: int, kl_estimator: KLEstimator) -> None: ...

    def update(self, samples: Sequence[TrainingSample]) -> UpdateStats:
        tokens = sum(stop - start for sample in samples for start, stop in sample.episode.spans)
        return UpdateStats(loss=0.0, trained_tokens=tokens)

    def reset(self) -> None: ...

    def end(self) -> None: ...

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "replies.txt").write_text("\n".join(self._replies), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        if not (folder / "replies.txt").is_file():
            raise FileNotFoundError(f"{folder} holds no scripted replies")

    def save_state(self, folder: Path) -> None:
        self.save(folder)

    def restore_state(self, folder: Path) -> None:
        self.restore(folder)

    def _reply(self, request: Request, sampling: SamplingParams) -> Completion:
        text = self._replies[request.seed % len(self._replies)]
        stop = first_stop(text[: sampling.max_tokens], request.stop)
        cut = cut_after(text, stop)[: sampling.max_tokens]
        return Completion(
            text=cut,
            token_ids=tuple(map(ord, cut)),
            logprobs=(0.0,) * len(cut),
            truncated=len(cut) < len(text) and not stop,
            stop=stop,
        )
