"""What rollouts may ask of a model (`Sampler`) and what methods may ask of one (`Policy`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from bench.episode import Completion, Request, SamplingParams, TrainingSample

OnDone = Callable[[int, Completion], None]  # hears of each request, by its place, when it is complete


class Schedule(Enum):
    """What the learning rate does over a training stage, after the warm-up: names of `transformers.get_scheduler`."""

    constant = "constant_with_warmup"
    linear = "linear"  # down to 0 at the stage's last update
    cosine = "cosine"  # the same, along half a cosine


class NonFiniteGradientError(ArithmeticError):
    """An update's gradient held an infinity or a NaN; no weight and no optimiser state was touched."""


class KLEstimator(Enum):
    """How KL(policy ‖ reference) of an attempt is estimated; all have the same expectation (see loss.py).

    `exact` has the least variance and costs little more: the reference's logits are made for the other two as well.
    """

    exact = "exact"  # at each position over the whole vocabulary; only which positions come is left to chance
    k1 = "k1"  # log(policy/reference) of the sampled token: negative at times, and its tails are those of a logarithm
    # reference/policy − 1 − log(reference/policy) of the sampled token: never negative, and less noisy than k1 while
    # the two agree. Its tail is that of the ratio, uncapped: a token of probability 0.0001 to which the reference gives
    # 0.5 counts 4,990 nats where the KL is 0.7; var(k3) is then 2,490, and var(k1) 0.008.
    k3 = "k3"


@dataclass(kw_only=True)
class OptimizerConfig:
    """How weights follow a gradient. The paper's Table 5 fixes Adam and the learning rate only; the rest is choice."""

    learning_rate: float  # its highest value
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW's decay rates of the two moments
    eps: float = 1e-8  # AdamW's
    weight_decay: float = 0.0  # AdamW's
    max_grad_norm: float = 1.0  # a longer gradient is scaled down to it
    schedule: Schedule = Schedule.constant  # of the learning rate, over a stage's updates
    warmup_updates: int = 0  # over which the learning rate rises from 0

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if self.max_grad_norm <= 0:
            raise ValueError(
                f"max_grad_norm must be positive, not {self.max_grad_norm}; use a large one to switch it off"
            )


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """What one update looked like. The mappings are by the reply's label (Episode.labels): t1, critique1, t2, ..."""

    loss: float  # of the surrogate, mean over episodes
    trained_tokens: int  # that carried an advantage or a KL coefficient
    kl: Mapping[str, float] = field(default_factory=dict)  # nats, mean over episodes of the sum over a reply's tokens
    entropy: Mapping[str, float] = field(default_factory=dict)  # nats, mean over tokens
    # Of the tokens that were sampled for this update: how far the sampler's log-probabilities are from the learner's,
    # |Δ| in nats, mean over tokens; the effective sample size of the importance weights w = learner/sampler, as a
    # fraction, (Σw)² / (n Σw²); and the fraction of tokens whose weight the cap cut, or would at 2 where there is none.
    logprob_diff: Mapping[str, float] = field(default_factory=dict)
    effective_sample_size: Mapping[str, float] = field(default_factory=dict)
    clipped: Mapping[str, float] = field(default_factory=dict)
    grad_norm: float = 0.0  # before it is cut
    learning_rate: float = 0.0
    num_tokens: int = 0  # that went through the model, prompts included
    seconds: float = 0.0
    flops: float = 0.0  # that the model needs for it, see flops.py
    mfu: float | None = None  # the part of what the device could have done meanwhile; None where that is not known
    peak_memory_gib: float = 0.0  # of the GPU so far, or of the process where there is none


class ConversationCheck(Protocol):
    """What can say whether conversations can be sampled: a sampler, or what is known of one before it is loaded."""

    def check_can_sample(
        self, prompts: Mapping[str, str], *, follow_up_turns: Sequence[str], max_tokens: int, key: str
    ) -> None:
        """Raise ValueError, before anything expensive, if conversations on `prompts` (by problem id) cannot be sampled.

        A conversation has a reply of at most `max_tokens` to its prompt and to each text that the user says after it;
        `key` is the key of the configuration that sets `max_tokens`, for saying what to change.
        """
        ...


class Sampler(ConversationCheck, Protocol):
    """A source of replies. A conversation is token ids from its first prompt to its last reply."""

    token_unit: str  # what one id stands for: "tokens", or "characters" for recorded attempts

    @property
    def description(self) -> dict[str, str]:
        """What a manifest says of how replies are made: template, engine; complete once one has been sampled."""
        ...

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        """The ids of a conversation that waits for its first reply."""
        ...

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        """The ids between a reply and the next one, when the user says `text`.

        They end the turn of a reply that did not end it itself: see `Completion.turn_ended`.
        """
        ...

    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingParams,
        on_done: OnDone | None = None,
    ) -> list[Completion]:
        """One completion per request, in order; each a function of its own request, not of its neighbours.

        A reply ends with the model's turn, at the first stop string of its request, or after `sampling.max_tokens`.
        `on_done` hears of each as soon as it is complete, so that it is graded while others are sampled; a sampler
        whose replies take no time need not call it.
        """
        ...


class Policy(Sampler, Protocol):
    """A sampler whose weights can move."""

    @property
    def push_seconds(self) -> float:
        """Spent so far on giving weights to an engine that holds a copy of them; part of the time of `generate`."""
        ...

    def begin(
        self,
        optimizer: OptimizerConfig,
        *,
        num_updates: int,
        kl_estimator: KLEstimator,
        importance_cap: float | None = None,
    ) -> None:
        """Start a stage of training: fresh optimiser state, from the weights as they are.

        With `importance_cap` a token's loss is multiplied by its importance weight, learner/sampler, cut at the cap
        (truncated importance sampling): for samplers that compute in another way than the learner.
        """
        ...

    def update(self, samples: Sequence[TrainingSample]) -> UpdateStats:
        """One optimiser step on all samples together; returns what the step looked like.

        Raises NonFiniteGradientError, and leaves everything as it was, if there is no finite step to make.
        """
        ...

    def reset(self) -> None:
        """Back to the base model's weights. The reference of the KL terms always is the base model."""
        ...

    def end(self) -> None:
        """Training is over: let go of whatever only training needs. The weights stay as they are sampled from."""
        ...

    def save(self, folder: Path) -> None:
        """Write the weights in the form that `restore` and any transformers user can read."""
        ...

    def restore(self, folder: Path) -> None: ...

    def save_state(self, folder: Path) -> None:
        """Write what an exact resume needs: weights, optimiser state, position in the schedule."""
        ...

    def restore_state(self, folder: Path) -> None: ...
