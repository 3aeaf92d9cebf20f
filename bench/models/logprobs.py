"""Log-probabilities of sampled tokens under a model: one forward over whole conversations, for all replies at once.

Only sampled positions go through the vocabulary head (`vocabulary.py`), so no [B, T, V] tensor ever exists.

Axes: B episodes, T positions, P tokens of all episodes, N sampled tokens of all replies of all episodes, H hidden size.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from bench.episode import Episode
from bench.models.interface import KLEstimator
from bench.models.lora import without_adapters
from bench.models.packing import Packing, hidden_states
from bench.models.vocabulary import head, through_head


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Everything the objective needs, token by token; `kl_N` is zero where no reference was given."""

    logprobs_N: torch.Tensor
    kl_N: torch.Tensor
    entropy_N: torch.Tensor  # no gradient
    sampled_logprobs_N: torch.Tensor  # what the sampler said
    is_new_N: torch.Tensor  # whether the policy sampled it for this update, which it did not what was prefilled
    replies_N: torch.Tensor  # number of the reply within the batch, ascending
    labels: tuple[str, ...]  # of the batch's replies: t1, t2, ... (Episode.labels)
    labels_N: torch.Tensor  # of the token's reply: an index into `labels`
    rows_N: torch.Tensor  # number of the episode within the batch
    positions_N: torch.Tensor  # of the token within its reply

    @property
    def importance_N(self) -> torch.Tensor:  # noqa: N802  carries its axis
        """learner/sampler, the ratio of a token's probabilities; no gradient."""
        return (self.logprobs_N.detach() - self.sampled_logprobs_N).exp()

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
    packed_attention: str | None = None,
) -> TokenLogprobs:
    """Of every reply's tokens at temperature 1, end-of-turn included; prompts, bridges and pads have none.

    A `reference` that is `model` itself means it without its adapters. With `packed_attention`, what `packing.packed`
    yields, there are no pads; without, rows are padded to one length.
    """
    device = model.device
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
    layout = (
        _padded(episodes, pad_id, device) if packed_attention is None else _packed(episodes, packed_attention, device)
    )
    at_N = layout.starts_B[rows_N] + columns_N
    targets_N = layout.ids_P[at_N]
    # The token at a position is predicted by the hidden state one before it.
    hidden_NH = layout.hidden(model)[at_N - 1]
    reference_NH = None
    if reference is not None:
        with torch.no_grad(), without_adapters(model) if reference is model else nullcontext():
            reference_NH = layout.hidden(reference)[at_N - 1]
    logprobs_N, kl_N, entropy_N = through_head(
        model, reference, hidden_NH, reference_NH, targets_N, estimator=estimator
    )
    sampled = [value for episode in episodes for reply in episode.replies for value in reply.completion.logprobs]
    return TokenLogprobs(
        logprobs_N=logprobs_N,
        kl_N=kl_N,
        entropy_N=entropy_N,
        sampled_logprobs_N=torch.tensor(sampled, device=device),
        is_new_N=places_N >= torch.tensor([episode.num_prefilled for episode in episodes], device=device)[rows_N],
        replies_N=replies_N,
        labels=labels,
        labels_N=torch.tensor(numbers, device=device, dtype=torch.long)[replies_N],
        rows_N=rows_N,
        positions_N=positions_N,
    )


@dataclass(frozen=True)
class _Layout:
    """Episodes as a model takes them; all their positions, pads included, are numbered from 0."""

    ids_P: torch.Tensor
    starts_B: torch.Tensor  # of each episode
    hidden: Callable[[PreTrainedModel], torch.Tensor]  # [P, H], of the last layer


def _padded(episodes: Sequence[Episode], pad_id: int, device: torch.device) -> _Layout:
    width = max(len(episode.token_ids) for episode in episodes)
    lengths = torch.tensor([len(episode.token_ids) for episode in episodes], device=device)
    ids_BT = torch.tensor(
        [list(episode.token_ids) + [pad_id] * (width - len(episode.token_ids)) for episode in episodes], device=device
    )
    mask_BT = (torch.arange(width, device=device)[None] < lengths[:, None]).long()
    starts_B = torch.arange(len(episodes), device=device) * width
    return _Layout(ids_BT.flatten(), starts_B, lambda model: _hidden(model, ids_BT, mask_BT).flatten(0, 1))


def _packed(episodes: Sequence[Episode], attention: str, device: torch.device) -> _Layout:
    packing = Packing([len(episode.token_ids) for episode in episodes], attention=attention)
    ids_1P = torch.tensor([[token for row in packing.order for token in episodes[row].token_ids]], device=device)
    starts_B = torch.tensor(packing.starts, device=device)
    return _Layout(ids_1P[0], starts_B, lambda model: hidden_states(model, ids_1P, packing))


def _hidden(model: PreTrainedModel, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    return model.base_model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state


def check_head(model: PreTrainedModel) -> None:
    """Compare `head` with the model's own logits on three tokens; raises ValueError for a model that scales them."""
    ids_BT = torch.tensor([[0, 1, 2]], device=model.device)
    with torch.no_grad():
        own_NV = model(input_ids=ids_BT, use_cache=False).logits[0].float()
        ours_NV = head(model, _hidden(model, ids_BT, torch.ones_like(ids_BT))[0])
    if not torch.allclose(own_NV, ours_NV, atol=1e-2, rtol=1e-2):
        raise ValueError(
            f"{type(model).__name__} changes its logits after the vocabulary head in a way this harness does not know; "
            "add its rule to bench.models.vocabulary.head"
        )
