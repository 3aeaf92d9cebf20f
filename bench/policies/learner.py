"""A transformers causal LM that samples, scores and learns: the policy behind every trained method.

Axes: B episodes, T positions, N sampled tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bench.episode import Completion, Credit, Request, Sampling
from bench.policies.fit import Reader
from bench.policies.generation import generate
from bench.policies.objective import answered_for, others_mean, surrogate
from bench.policies.policy import KLEstimator, NonFiniteGradientError, Optimizer
from bench.policies.precision import Masters, with_float32_head
from bench.policies.scoring import Scores, score
from bench.policies.template import Template
from bench.policies.update_totals import UpdateTotals


class Learner:
    """Implements `Policy`. `model` starts as the base; `load_base` gives it afresh, for resets and as KL reference."""

    token_unit = "tokens"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        template: Template,
        load_base: LoadBase,
        *,
        sample_batch_tokens: int,
        train_batch_tokens: int,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self._load_base = load_base
        self._reference: PreTrainedModel | None = None
        self._sample_batch_tokens = sample_batch_tokens
        self._train_batch_tokens = train_batch_tokens
        self._masters: Masters | None = None  # made when training begins: an evaluation holds no float32 copy
        self._optimizer: torch.optim.Optimizer | None = None

    @property
    def description(self) -> dict[str, str]:
        return self.template.description

    def opening(self, prompt: str) -> tuple[int, ...]:
        return self.template.opening(prompt)

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        return self.template.bridge(text, turn_ended=turn_ended)

    def check_can_play(self, prompts: Mapping[str, str], *, said: Sequence[str], max_tokens: int, key: str) -> None:
        context = getattr(self.model.config, "max_position_embeddings", None)
        reader = Reader(self._load_base.path, self.tokenizer, self.template, context)
        reader.check_can_play(prompts, said=said, max_tokens=max_tokens, key=key)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        self.model.eval()
        return generate(
            self.model,
            requests,
            sampling,
            stop_ids=self.template.stop_ids,
            pad_id=self._pad_id,
            batch_tokens=self._sample_batch_tokens,
            decode=lambda ids: str(self.tokenizer.decode(list(ids), skip_special_tokens=True)),
        )

    def begin(self, optimizer: Optimizer, *, num_updates: int, kl_estimator: KLEstimator) -> None:
        self._settings = optimizer
        self._kl_estimator = kl_estimator
        self._num_updates = num_updates
        self._updates = 0
        self._optimizer = torch.optim.AdamW(
            list(self._weights()),
            lr=optimizer.learning_rate,
            betas=tuple(optimizer.betas),  # pyright: ignore[reportArgumentType]
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
        )

    def update(self, credits: Sequence[Credit]) -> dict[str, float]:
        """One step on all of `credits`; episodes whose weights and coefficients are all zero cost nothing but count.

        Raises ValueError on an empty list, since a step without episodes has no mean, and NonFiniteGradientError as
        `Policy.update` says.
        """
        assert self._optimizer is not None, "begin() comes before update()"
        self._optimizer.zero_grad(set_to_none=True)
        told = self.backward(credits)
        norm = torch.nn.utils.clip_grad_norm_(list(self._weights()), self._settings.max_grad_norm)
        if not torch.isfinite(norm):
            self._optimizer.zero_grad(set_to_none=True)
            raise NonFiniteGradientError(f"the gradient's norm is {norm.item()}")
        rate = self._settings.rate_at(self._updates, num_updates=self._num_updates)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._weights().round()
        self._updates += 1
        return {**told, "grad_norm": norm.item(), "learning_rate": rate}

    def backward(self, credits: Sequence[Credit]) -> dict[str, float]:
        """Add the gradient of the mean objective to the parameters' `.grad`; returns what `update` tells of it."""
        if not credits:
            raise ValueError("an update needs at least one credit")
        # Dropout and the like stay off: the policy that is scored is then the one that was sampled from.
        self.model.eval()
        told = UpdateTotals()
        for batches in self._batches([credit for credit in credits if any(credit.weights) or any(credit.kl)]):
            # A problem that is torn apart is scored once more, ahead: its samples are each other's baseline.
            ahead = self._score_ahead(batches) if len(batches) > 1 else None
            for number, batch in enumerate(batches):
                scores = self._score(batch)
                score_N = answered_for(scores.kl_N, scores.attempts_N, self._kl_estimator)
                baseline_N = ahead[number] if ahead else _kl_baselines([score_N], [scores], [batch])[0]
                weights_N = scores.per_token([credit.weights for credit in batch])
                kl_coefficients_N = scores.per_token([credit.kl for credit in batch])
                loss = surrogate(
                    logprobs_N=scores.logprobs_N,
                    kl_N=scores.kl_N,
                    weights_N=weights_N,
                    kl_coefficients_N=kl_coefficients_N,
                    score_N=score_N - baseline_N,
                    estimator=self._kl_estimator,
                )
                (loss / len(credits)).backward()
                told.add(scores, loss, trained_N=(weights_N != 0) | (kl_coefficients_N != 0))
        return told.means(len(credits))

    def reset(self) -> None:
        self._drop_optimiser()
        self.model = self._load_base()

    def end(self) -> None:
        self._drop_optimiser()
        self._reference = None

    def _drop_optimiser(self) -> None:
        if self._masters is not None:
            self._masters.release()
        self._masters = None
        self._optimizer = None

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, state_dict=self._weights().state_dict())
        self.tokenizer.save_pretrained(folder)

    def restore(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        saved = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._weights().load(dict(saved.named_parameters(remove_duplicate=False)))

    def save_state(self, folder: Path) -> None:
        assert self._optimizer is not None, "begin() comes before save_state()"
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "weights": self._weights().state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "updates": self._updates,
        }
        torch.save(state, folder / "state.pt")

    def restore_state(self, folder: Path) -> None:
        """Takes up after `begin` where `save_state` left off."""
        assert self._optimizer is not None, "begin() comes before restore_state()"
        state = torch.load(folder / "state.pt", map_location=self.model.device, weights_only=True)
        self._weights().load(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._updates = state["updates"]

    def _weights(self) -> Masters:
        if self._masters is None:
            self._masters = Masters(self.model)
        return self._masters

    @property
    def _pad_id(self) -> int:
        """Pads are masked everywhere, so any id does where the tokenizer names none."""
        pad = self.tokenizer.pad_token_id
        return pad if isinstance(pad, int) else min(self.template.stop_ids)

    def _score(self, batch: Sequence[Credit]) -> Scores:
        needs_reference = any(any(credit.kl) for credit in batch)
        return score(
            self.model,
            self._base() if needs_reference else None,
            [credit.episode for credit in batch],
            pad_id=self._pad_id,
            estimator=self._kl_estimator,
        )

    def _base(self) -> PreTrainedModel:
        if self._reference is None:
            self._reference = self._load_base().eval().requires_grad_(requires_grad=False)
        return self._reference

    def _batches(self, credits: Sequence[Credit]) -> Iterator[list[list[Credit]]]:
        """Micro-batches of at most `train_batch_tokens` with padding, of similar length; borders change nothing.

        A problem's samples are compared with each other where a KL is paid for, so those come together: one list of
        micro-batches holds whole problems, and is of more than one only where a problem exceeds the limit by itself.
        """
        groups: dict[object, list[Credit]] = {}
        for number, credit in enumerate(credits):
            groups.setdefault(credit.episode.problem.id if any(credit.kl) else number, []).append(credit)
        waiting = sorted(groups.values(), key=_width)
        while waiting:
            group = waiting.pop()
            size = max(1, self._train_batch_tokens // _width(group))
            while waiting and len(group) + len(waiting[-1]) <= size:
                group = group + waiting.pop()
            yield [group[start : start + size] for start in range(0, len(group), size)]

    @torch.no_grad()
    def _score_ahead(self, batches: Sequence[Sequence[Credit]]) -> list[torch.Tensor]:
        scores = [self._score(batch) for batch in batches]
        found = [answered_for(each.kl_N, each.attempts_N, self._kl_estimator) for each in scores]
        return _kl_baselines(found, scores, batches)


def _width(credits: Sequence[Credit]) -> int:
    return max(len(credit.episode.token_ids) for credit in credits)


def _kl_baselines(
    found: Sequence[torch.Tensor], scores: Sequence[Scores], batches: Sequence[Sequence[Credit]]
) -> list[torch.Tensor]:
    """Per micro-batch, what to subtract from its `found` (see `others_mean`): between them they hold whole problems."""
    numbers: dict[str, int] = {}
    places = 1 + max((len(credit.episode.spans) for batch in batches for credit in batch), default=0)
    groups = []
    for each, batch in zip(scores, batches, strict=True):
        rows = [numbers.setdefault(credit.episode.problem.id, len(numbers)) for credit in batch]
        groups.append(torch.tensor(rows, device=each.rows_N.device)[each.rows_N] * places + each.places_N)
    positions_N = torch.cat([each.positions_N for each in scores])
    baseline_N = others_mean(torch.cat(list(found)), groups_N=torch.cat(groups), positions_N=positions_N)
    return list(baseline_N.split([len(each) for each in found]))


class LoadBase:
    """Loads the base model's weights, each time anew."""

    def __init__(self, path: str, *, revision: str | None = None, dtype: str, device: str, attention: str) -> None:
        self.path = path
        self._revision = revision
        self._dtype, self._device, self._attention = dtype, device, attention

    def __call__(self) -> PreTrainedModel:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(
            self.path,
            revision=self._revision,
            dtype=getattr(torch, self._dtype),
            attn_implementation=self._attention,
        )
        model = with_float32_head(model)
        return model.to(device=torch.device(self._device)).eval()  # pyright: ignore[reportCallIssue]  a torch decorator hides the type
