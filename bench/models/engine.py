"""What samples replies for a policy: the learner's own model, or an engine that holds a copy of its weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from bench.episode import Completion, Request, SamplingParams
from bench.models.interface import OnDone

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Decode = Callable[[Sequence[int]], str]  # ids to text, without special tokens


class Engine(Protocol):
    """Samples from a model: the learner's, as its weights are when it is asked."""

    push_seconds: float  # spent so far on copying weights, as part of `generate`

    @property
    def description(self) -> Mapping[str, str]:
        """What a manifest says of it: its version and its flags."""
        ...

    def generate(
        self,
        model: "PreTrainedModel",
        requests: Sequence[Request],
        sampling: SamplingParams,
        on_done: OnDone | None = None,
    ) -> list[Completion]:
        """One completion per request, in order, each from its request's seed.

        `on_done` gets a request's number and its completion as soon as it is complete, in the order in which they are.
        Raises StaleWeightsError if what would sample is not `model`.
        """
        ...

    def make_room(self) -> None:
        """The learner is about to learn: give back the memory that only sampling needs."""
        ...


class StaleWeightsError(RuntimeError):
    """The engine's weights are not the learner's; the message says what may be the cause."""


class TransformersEngine:
    """Implements `Engine` with the learner's own model."""

    description: Mapping[str, str] = {"engine": "transformers"}
    push_seconds = 0.0

    def __init__(self, *, stop_ids: frozenset[int], pad_id: int, batch_tokens: int, decode: Decode) -> None:
        self._stop_ids = stop_ids
        self._pad_id = pad_id
        self.batch_tokens = batch_tokens  # rows x positions at once
        self._decode = decode

    def generate(
        self,
        model: "PreTrainedModel",
        requests: Sequence[Request],
        sampling: SamplingParams,
        on_done: OnDone | None = None,
    ) -> list[Completion]:
        from bench.models.sampler import generate

        return generate(
            model,
            requests,
            sampling,
            stop_ids=self._stop_ids,
            pad_id=self._pad_id,
            batch_tokens=self.batch_tokens,
            decode=self._decode,
            on_done=on_done,
        )

    def make_room(self) -> None: ...
