"""A two-attempt policy small enough to enumerate: every conversation it can have, with its exact probability.

Four tokens (a, b, c and the end), at most two per reply: 13 replies, so 169 conversations. The expected update of a
method is then a finite sum, to be compared with the gradient of the method's objective in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from bench.episode import Attempt, Completion, Episode, Grade, Problem, TrainingSample, Verdict
from bench.models.engine import TransformersEngine
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.policy import TransformersPolicy

END, OPENING, BRIDGE = 3, (0,), (1,)
REPLIES = [(END,), *((x, END) for x in range(3)), *product(range(3), range(3))]
PROBLEM = Problem("p", "?", "!")


def is_correct(reply: Sequence[int]) -> bool:
    """An arbitrary verdict that some replies of each length pass."""
    return reply in ((0, END), (1, 2), (2, 0), (2, 1))


def tiny_lm(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=4,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=16,
        initializer_range=0.7,
    )
    return LlamaForCausalLM(config).double().eval()


class _Tokenizer:
    """As much of a tokenizer as updates need."""

    pad_token_id = END
    unk_token_id = None


class _Renderer:
    stop_ids = frozenset({END})

    @property
    def description(self) -> dict[str, str]:
        return {}

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:  # noqa: ARG002  one problem
        return OPENING

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:  # noqa: ARG002  one instruction
        return BRIDGE


def enumerable_learner(
    *, kl: KLEstimator, base_seed: int = 1, seed: int = 2, batch_tokens: int = 4096
) -> TransformersPolicy:
    """A learner whose base (the KL reference) is another model than its current weights."""
    learner = TransformersPolicy(
        tiny_lm(seed),
        _Tokenizer(),  # pyright: ignore[reportArgumentType]
        _Renderer(),
        lambda: tiny_lm(base_seed),  # pyright: ignore[reportArgumentType]
        TransformersEngine(stop_ids=_Renderer.stop_ids, pad_id=0, batch_tokens=4096, decode=str),
        train_batch_tokens=batch_tokens,
    )
    learner.begin(OptimizerConfig(learning_rate=1e-3), num_updates=10, kl_estimator=kl)
    return learner


@dataclass(frozen=True)
class Conversation:
    """One of the 169, with the log-probability of each attempt under the policy and under the reference."""

    episode: Episode
    logprobs: tuple[torch.Tensor, torch.Tensor]  # with gradients
    reference_logprobs: tuple[torch.Tensor, torch.Tensor]

    @property
    def probability(self) -> float:
        return torch.stack(self.logprobs).sum().exp().item()


def conversations(policy: PreTrainedModel, reference: PreTrainedModel) -> list[Conversation]:
    """All of them; their probabilities sum to 1."""
    episodes = [_episode(first, second) for first, second in product(REPLIES, REPLIES)]
    columns = zip(episodes, _attempt_logprobs(policy, episodes), _attempt_logprobs(reference, episodes), strict=True)
    return [Conversation(*column) for column in columns]


def _episode(first: tuple[int, ...], second: tuple[int, ...]) -> Episode:
    token_ids = (*OPENING, *first, *BRIDGE, *second)
    start = len(OPENING) + len(first) + len(BRIDGE)
    spans = ((1, 1 + len(first)), (start, start + len(second)))
    return Episode(PROBLEM, 0, token_ids, spans, (_attempt(first), _attempt(second)))


def _attempt(reply: tuple[int, ...]) -> Attempt:
    completion = Completion(str(reply), reply, (0.0,) * len(reply), truncated=reply[-1] != END)
    return Attempt(completion, Verdict(Grade.CORRECT if is_correct(reply) else Grade.WRONG, answer=str(reply)))


def _attempt_logprobs(model: PreTrainedModel, episodes: Sequence[Episode]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The plain way: conversations of one length together, without pads; nothing shared with the learner."""
    found: dict[Episode, tuple[torch.Tensor, torch.Tensor]] = {}
    for length in {len(episode.token_ids) for episode in episodes}:
        alike = [episode for episode in episodes if len(episode.token_ids) == length]
        logprobs = model(torch.tensor([episode.token_ids for episode in alike])).logits.log_softmax(-1)
        for row, episode in zip(logprobs, alike, strict=True):
            first, second = (
                torch.stack([row[position - 1, episode.token_ids[position]] for position in range(*span)]).sum()
                for span in episode.spans
            )
            found[episode] = first, second
    return [found[episode] for episode in episodes]


Value = Callable[[Sequence[float]], float]


def objective_gradient(
    learner: TransformersPolicy,
    reference: PreTrainedModel,
    *,
    rewards: tuple[Value, Value],
    kl: tuple[float, float],
    offline: bool = False,
) -> list[torch.Tensor]:
    """∇ of Σ_i E[reward_i − kl_i log(π/π_ref)(y_i)], each attempt answering for its own terms alone (discount 0).

    `offline`: first attempts come from the reference, so only the second's terms are left.
    """
    total = torch.zeros((), dtype=torch.float64)
    for each in conversations(learner.model, reference):
        row = each.episode.rewards
        first, second = (logprob.exp() for logprob in each.logprobs)
        ratios = [mine - theirs for mine, theirs in zip(each.logprobs, each.reference_logprobs, strict=True)]
        # The second attempt's terms are given the first; the first's are summed over the second, whose mass is 1.
        if not offline:
            total = total + first * second.detach() * (rewards[0](row) - kl[0] * ratios[0])
        before = each.reference_logprobs[0].exp() if offline else first
        total = total + before.detach() * second * (rewards[1](row) - kl[1] * ratios[1])
    return list(torch.autograd.grad(total, list(learner.model.parameters())))


def expected_update(
    learner: TransformersPolicy,
    reference: PreTrainedModel,
    *,
    assign: Callable[[Episode, Episode], TrainingSample],
    offline: bool = False,
) -> list[torch.Tensor]:
    """The learner's gradient, averaged over all pairs of samples of the problem that a group of two can hold.

    `assign` makes training samples of a pair, the first against the second. Ascending, as the objective's.
    """
    enumerated = conversations(learner.model, reference)
    if offline:
        mass = [(each.reference_logprobs[0] + each.logprobs[1]).exp().item() for each in enumerated]
        episodes = [replace(each.episode, num_prefilled=1) for each in enumerated]
    else:
        mass, episodes = [each.probability for each in enumerated], [each.episode for each in enumerated]
    # Each in a group of its own: the KL's baseline compares samples that were drawn together, and these were not.
    episodes = [replace(each, problem=Problem(f"p{i}", "?", "!")) for i, each in enumerate(episodes)]
    # A sample depends on the other one through its rewards only, so samples of the same rewards count together.
    others: dict[tuple[float, ...], tuple[Episode, float]] = {}
    for p, episode in zip(mass, episodes, strict=True):
        others[episode.rewards] = episode, others.get(episode.rewards, (episode, 0.0))[1] + p
    samples = []
    for p, episode in zip(mass, episodes, strict=True):
        versus = [(assign(episode, other), q) for other, q in others.values()]
        # The surrogate is linear in weights and coefficients, so scaling by N·p turns its mean into the expectation.
        scale = len(enumerated) * p
        columns = zip(*(sample.advantages for sample, _ in versus), strict=True)
        weights = tuple(
            scale * sum(weight * q for weight, (_, q) in zip(column, versus, strict=True)) for column in columns
        )
        samples.append(TrainingSample(episode, weights, tuple(scale * value for value in versus[0][0].kl_coefs)))
    learner.model.zero_grad()
    learner.backward(samples)
    return [-parameter.grad for parameter in learner.model.parameters() if parameter.grad is not None]


def expected_update_of_pairs(
    learner: TransformersPolicy,
    reference: PreTrainedModel,
    *,
    assign: Callable[[list[Episode]], list[TrainingSample]],
    offline: bool = False,
) -> list[torch.Tensor]:
    """The same with every pair as one problem's two samples: the KL's baseline compares them as well.

    `assign` makes training samples of both.
    """
    drawn = []
    for each in conversations(learner.model, reference):
        first = each.reference_logprobs[0] if offline else each.logprobs[0]
        drawn.append(((first + each.logprobs[1]).exp().item(), replace(each.episode, num_prefilled=int(offline))))
    samples = []
    num_samples = len(drawn) * (len(drawn) + 1)
    for number, ((p, one), (q, other)) in enumerate(combinations_with_replacement(drawn, 2)):
        problem = Problem(f"p{number}", "?", "!")
        # An unordered pair of two different samples stands for two; the surrogate is linear, see `expected_update`.
        scale = num_samples * p * q / (2 if one is other else 1)
        for sample in assign([replace(one, problem=problem), replace(other, problem=problem)]):
            weights, kl = (tuple(scale * value for value in row) for row in (sample.advantages, sample.kl_coefs))
            samples.append(TrainingSample(sample.episode, weights, kl))
    assert len(samples) == num_samples
    learner.model.zero_grad()
    learner.backward(samples)
    return [-parameter.grad for parameter in learner.model.parameters() if parameter.grad is not None]
