"""Log-probabilities of sampled tokens under a model: one forward over whole conversations, for all replies at once.

Only sampled positions go through the vocabulary head, in chunks, so no [B, T, V] tensor ever exists.

Axes: B episodes, T positions, N sampled tokens of all replies of all episodes, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from bench.episode import Episode
from bench.models.interface import KLEstimator
from bench.models.loss import estimate_kl, exact_kl

_CHUNK_LOGITS = 2**25  # through the head at a time: 0.13 GB in float32, of which the exact KL holds about eight


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Everything the objective needs, token by token; `kl_N` is zero where no reference was given."""

    logprobs_N: torch.Tensor
    kl_N: torch.Tensor
    entropy_N: torch.Tensor  # no gradient
    sampled_logprobs_N: torch.Tensor  # what the sampler said
    replies_N: torch.Tensor  # number of the reply within the batch, ascending
    labels: tuple[str, ...]  # of the batch's replies: t1, t2, ... (Episode.labels)
    labels_N: torch.Tensor  # of the token's reply: an index into `labels`
    rows_N: torch.Tensor  # number of the episode within the batch
    positions_N: torch.Tensor  # of the token within its reply

    def per_token(self, values: Sequence[Sequence[float]]) -> torch.Tensor:
        """`values[episode][reply]`, spread over the replies' tokens."""
        flat = [value for row in values for value in row]
        return torch.tensor(flat, device=self.replies_N.device, dtype=self.logprobs_N.dtype)[self.replies_N]


def compute_logprobs(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    episodes: Sequence[Episode],
    *,
    pad_id: int,
    estimator: KLEstimator,
) -> TokenLogprobs:
    """Of every reply's tokens at temperature 1, end-of-turn included; prompts, bridges and pads have none."""
    device = model.device
    width = max(len(episode.token_ids) for episode in episodes)
    lengths = [len(episode.token_ids) for episode in episodes]
    ids_BT = torch.tensor(
        [list(episode.token_ids) + [pad_id] * (width - len(episode.token_ids)) for episode in episodes], device=device
    )
    mask_BT = (torch.arange(width, device=device)[None] < torch.tensor(lengths, device=device)[:, None]).long()
    where = [
        (row, place, position, position - start)
        for row, episode in enumerate(episodes)
        for place, (start, stop) in enumerate(episode.spans)
        for position in range(start, stop)
    ]
    rows_N, places_N, columns_N, positions_N = torch.tensor(where, device=device).reshape(-1, 4).unbind(1)
    labels = tuple(sorted({label for episode in episodes for label in episode.labels}))
    numbers = [labels.index(label) for episode in episodes for label in episode.labels]
    firsts = torch.tensor([0] + [len(episode.spans) for episode in episodes], device=device).cumsum(0)
    replies_N = firsts[rows_N] + places_N
    targets_N = ids_BT[rows_N, columns_N]
    # The token at a position is predicted by the hidden state one before it.
    hidden_NH = _hidden(model, ids_BT, mask_BT)[rows_N, columns_N - 1]
    reference_NH = None
    if reference is not None:
        with torch.no_grad():
            reference_NH = _hidden(reference, ids_BT, mask_BT)[rows_N, columns_N - 1]
    logprobs_N, kl_N, entropy_N = _through_head(
        model, reference, hidden_NH, reference_NH, targets_N, estimator=estimator
    )
    sampled = [value for episode in episodes for reply in episode.replies for value in reply.completion.logprobs]
    return TokenLogprobs(
        logprobs_N=logprobs_N,
        kl_N=kl_N,
        entropy_N=entropy_N,
        sampled_logprobs_N=torch.tensor(sampled, device=device),
        replies_N=replies_N,
        labels=labels,
        labels_N=torch.tensor(numbers, device=device, dtype=torch.long)[replies_N],
        rows_N=rows_N,
        positions_N=positions_N,
    )


def _hidden(model: PreTrainedModel, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    return model.base_model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state


def _through_head(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    hidden_NH: torch.Tensor,
    reference_NH: torch.Tensor | None,
    targets_N: torch.Tensor,
    *,
    estimator: KLEstimator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    def chunk(hidden: torch.Tensor, targets: torch.Tensor, other: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        logits = head(model, hidden)
        logprobs = _gather(logits, targets)
        with torch.no_grad():
            distribution = logits.log_softmax(dim=-1)
            entropy = -(distribution.exp() * distribution).sum(dim=-1)
        if other is None or reference is None:
            return logprobs, torch.zeros_like(logprobs), entropy
        with torch.no_grad():
            other_logits = head(reference, other)
        if estimator is KLEstimator.exact:
            return logprobs, exact_kl(logits, other_logits), entropy
        kl = estimate_kl(logprobs_N=logprobs, reference_logprobs_N=_gather(other_logits, targets), estimator=estimator)
        return logprobs, kl, entropy

    size = max(1, _CHUNK_LOGITS // model.config.get_text_config().vocab_size)
    several = len(targets_N) > size and torch.is_grad_enabled()
    others = (None,) * len(hidden_NH.split(size)) if reference_NH is None else reference_NH.split(size)
    pieces: list[tuple[torch.Tensor, ...]] = []
    for part in zip(hidden_NH.split(size), targets_N.split(size), others, strict=True):
        if several:  # logits are made again on the way back rather than kept
            pieces.append(checkpoint(chunk, *part, use_reentrant=False))  # pyright: ignore[reportArgumentType]
        else:
            pieces.append(chunk(*part))
    logprobs_N, kl_N, entropy_N = (torch.cat(column) for column in zip(*pieces, strict=True))
    return logprobs_N, kl_N, entropy_N


def head(model: PreTrainedModel, hidden_NH: torch.Tensor) -> torch.Tensor:
    """Logits in at least float32, as the model's own forward makes them, soft cap included."""
    vocabulary_head = model.get_output_embeddings()
    assert vocabulary_head is not None, "a causal LM has a vocabulary head"
    logits_NV = vocabulary_head(hidden_NH)
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    cap = getattr(model.config, "final_logit_softcapping", None)
    return torch.tanh(logits_NV / cap) * cap if cap else logits_NV


def check_head(model: PreTrainedModel) -> None:
    """Compare `head` with the model's own logits on three tokens; raises ValueError for a model that scales them."""
    ids_BT = torch.tensor([[0, 1, 2]], device=model.device)
    with torch.no_grad():
        own_NV = model(input_ids=ids_BT, use_cache=False).logits[0].float()
        ours_NV = head(model, _hidden(model, ids_BT, torch.ones_like(ids_BT))[0])
    if not torch.allclose(own_NV, ours_NV, atol=1e-2, rtol=1e-2):
        raise ValueError(
            f"{type(model).__name__} changes its logits after the vocabulary head in a way this harness does not know; "
            "add its rule to bench.models.logprobs.head"
        )


def _gather(logits_NV: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    return logits_NV.gather(1, targets_N[:, None])[:, 0] - logits_NV.logsumexp(dim=-1)
