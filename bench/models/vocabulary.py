"""From hidden states to log-probabilities, entropies and divergences, without a tensor of all tokens x vocabulary.

Axes: N sampled tokens, H hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch.nn.functional import linear
from transformers import PreTrainedModel

from bench.models.interface import KLEstimator
from bench.models.loss import estimate_kl, exact_kl

_SMALL = 2**20  # logits that are kept for the way back rather than made again
# Logits that are made at once. The exact KL holds three tensors of them: 0.2 GB on a CPU. A GPU reads and writes the
# head's whole gradient once per chunk, which many positions have to be worth: 1.6 GB.
_CHUNK_LOGITS = {"cpu": 2**24, "cuda": 2**27}


def through_head(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    hidden_NH: torch.Tensor,
    reference_NH: torch.Tensor | None,
    targets_N: torch.Tensor,
    *,
    estimator: KLEstimator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities of `targets_N`, KL(model ‖ reference), zero without one, and entropies, without a gradient.

    Few logits take the plain way, `_whole`; many take `_Chunked`, which computes the same.
    """
    both = reference is not None and reference_NH is not None
    weight_VH = _plain_weight(model)
    small = len(targets_N) * model.config.get_text_config().vocab_size <= _SMALL
    if small or weight_VH is None or (both and _plain_weight(reference) is None):
        return _whole(model, reference, hidden_NH, reference_NH, targets_N, estimator=estimator)
    cap = _cap(model)
    exact = both and estimator is KLEstimator.exact
    others = (reference_NH, _plain_weight(reference)) if exact and reference is not None else (None, None)
    logprobs_N, kl_N, entropy_N = _Chunked.apply(hidden_NH, weight_VH, targets_N, *others, cap)  # pyright: ignore[reportGeneralTypeIssues]
    if both and not exact:
        assert reference is not None
        with torch.no_grad():
            found = _Chunked.apply(reference_NH, _plain_weight(reference), targets_N, None, None, cap)
        kl_N = estimate_kl(logprobs_N=logprobs_N, reference_logprobs_N=found[0], estimator=estimator)  # pyright: ignore[reportOptionalSubscript]
    return logprobs_N, kl_N, entropy_N


def _whole(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    hidden_NH: torch.Tensor,
    reference_NH: torch.Tensor | None,
    targets_N: torch.Tensor,
    *,
    estimator: KLEstimator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits_NV = head(model, hidden_NH)
    logprobs_N = _gather(logits_NV, targets_N)
    with torch.no_grad():
        distribution_NV = logits_NV.log_softmax(dim=-1)
        entropy_N = -(distribution_NV.exp() * distribution_NV).sum(dim=-1)
    if reference is None or reference_NH is None:
        return logprobs_N, torch.zeros_like(logprobs_N), entropy_N
    with torch.no_grad():
        other_NV = head(reference, reference_NH)
    if estimator is KLEstimator.exact:
        return logprobs_N, exact_kl(logits_NV, other_NV), entropy_N
    other_N = _gather(other_NV, targets_N)
    return logprobs_N, estimate_kl(logprobs_N=logprobs_N, reference_logprobs_N=other_N, estimator=estimator), entropy_N


class _Chunked(torch.autograd.Function):
    """The same in chunks of positions, with its gradient written out: logits are made again on the way back.

    With p the policy's distribution, q the reference's, t the target and z the logits,
    ∂ log p(t) / ∂z = 1[t] − p and ∂ KL / ∂z = p (log p − log q − KL). Sums over chunks are float32 (float64 where the
    head is), and of a token that neither output's gradient reaches no logits are made.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        targets_N: torch.Tensor,
        reference_NH: torch.Tensor | None,
        reference_VH: torch.Tensor | None,
        cap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logprobs_N, kl_N, entropy_N = (
            torch.zeros(len(targets_N), device=hidden_NH.device, dtype=_wide(weight_VH.dtype)) for _ in range(3)
        )
        norms_N, reference_norms_N = torch.zeros_like(kl_N), torch.zeros_like(kl_N)
        for part in _parts(len(targets_N), weight_VH):
            logits = _logits(hidden_NH[part], weight_VH, cap)
            norms_N[part] = logits.logsumexp(dim=-1)
            logprobs_N[part] = logits.gather(1, targets_N[part, None])[:, 0] - norms_N[part]
            p = (logits - norms_N[part, None]).exp_()
            entropy_N[part] = norms_N[part] - torch.linalg.vecdot(p, logits)
            if reference_NH is not None and reference_VH is not None:
                others = _logits(reference_NH[part], reference_VH, cap)
                reference_norms_N[part] = others.logsumexp(dim=-1)
                logits -= others
                kl_N[part] = torch.linalg.vecdot(p, logits) - norms_N[part] + reference_norms_N[part]
        ctx.save_for_backward(
            hidden_NH, weight_VH, targets_N, reference_NH, reference_VH, norms_N, reference_norms_N, kl_N
        )
        ctx.cap = cap
        ctx.mark_non_differentiable(entropy_N)
        return logprobs_N, kl_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_logprobs_N, of_kl_N, _ = grads
        hidden_NH, weight_VH, targets_N, reference_NH, reference_VH, norms_N, reference_norms_N, kl_N = (
            ctx.saved_tensors
        )
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        hidden_grad = torch.zeros_like(hidden_NH) if wants_hidden else None
        weight_grad = torch.zeros_like(weight_VH, dtype=_wide(weight_VH.dtype)) if wants_weight else None
        reached = ((of_logprobs_N != 0) | (of_kl_N != 0)).nonzero()[:, 0]
        for part in _parts(len(reached), weight_VH):
            at = reached[part]
            states = hidden_NH[at].to(weight_VH.dtype)
            logits = _logits(states, weight_VH, ctx.cap)
            slope = 1 - (logits / ctx.cap) ** 2 if ctx.cap else None  # of the soft cap
            p = logits.sub_(norms_N[at, None])
            by_p = -of_logprobs_N[at, None]
            if reference_NH is not None:
                by_p = _logits(reference_NH[at], reference_VH, ctx.cap).neg_().add_(reference_norms_N[at, None])
                by_p.add_(p).sub_(kl_N[at, None]).mul_(of_kl_N[at, None]).sub_(of_logprobs_N[at, None])
            grad = p.exp_().mul_(by_p)
            del by_p
            grad.scatter_add_(1, targets_N[at, None], of_logprobs_N[at, None])
            if slope is not None:
                grad.mul_(slope)
            grad = grad.to(weight_VH.dtype)
            if hidden_grad is not None:
                hidden_grad[at] = (grad @ weight_VH).to(hidden_grad.dtype)
            if weight_grad is not None:
                weight_grad.addmm_(grad.T.to(weight_grad.dtype), states.to(weight_grad.dtype))
        if weight_grad is not None:
            weight_grad = weight_grad.to(weight_VH.dtype)
        return hidden_grad, weight_grad, None, None, None, None


def _parts(count: int, weight_VH: torch.Tensor) -> list[slice]:
    size = max(1, _CHUNK_LOGITS.get(weight_VH.device.type, _CHUNK_LOGITS["cpu"]) // len(weight_VH))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _logits(hidden_NH: torch.Tensor, weight_VH: torch.Tensor, cap: float | None) -> torch.Tensor:
    """A new tensor, which the caller may change."""
    logits_NV = linear(hidden_NH.to(weight_VH.dtype), weight_VH).to(_wide(weight_VH.dtype))
    return logits_NV.div_(cap).tanh_().mul_(cap) if cap else logits_NV


def _plain_weight(model: PreTrainedModel | None) -> torch.Tensor | None:
    """A head's weight, if the head is no more than a product with it."""
    layer = model and model.get_output_embeddings()
    return layer.weight if type(layer) is torch.nn.Linear and layer.bias is None else None


def _cap(model: PreTrainedModel) -> float | None:
    return getattr(model.config, "final_logit_softcapping", None)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def head(model: PreTrainedModel, hidden_NH: torch.Tensor) -> torch.Tensor:
    """Logits in at least float32, as the model's own forward makes them, soft cap included."""
    vocabulary_head = model.get_output_embeddings()
    assert vocabulary_head is not None, "a causal LM has a vocabulary head"
    logits_NV = vocabulary_head(hidden_NH)
    logits_NV = logits_NV.to(_wide(logits_NV.dtype))
    cap = _cap(model)
    return torch.tanh(logits_NV / cap) * cap if cap else logits_NV


def _gather(logits_NV: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    return logits_NV.gather(1, targets_N[:, None])[:, 0] - logits_NV.logsumexp(dim=-1)
