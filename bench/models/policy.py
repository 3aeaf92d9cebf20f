"""A transformers causal LM that samples, scores and learns: the policy behind every trained method.

Axes: B episodes, T positions, N sampled tokens, V vocabulary.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_scheduler

from bench.episode import Completion, Request, SamplingParams, TrainingSample
from bench.models.capacity import Reader
from bench.models.engine import Engine
from bench.models.interface import KLEstimator, NonFiniteGradientError, OnDone, OptimizerConfig, UpdateStats
from bench.models.loading import LoadReference, keep_layer_inputs_only
from bench.models.logprobs import TokenLogprobs, compute_logprobs
from bench.models.lora import has_adapters, load_adapters
from bench.models.loss import answered_for, surrogate
from bench.models.microbatches import kl_baselines, micro_batches
from bench.models.packing import can_pack, packed
from bench.models.precision import Masters
from bench.models.renderer import Renderer
from bench.models.update_stats import UpdateTotals, timed


class TransformersPolicy:
    """Implements `Policy`. `model` starts as the base; `load_base` gives it afresh, for resets and as KL reference."""

    token_unit = "tokens"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        template: Renderer,
        load_base: LoadReference,
        engine: Engine,
        *,
        train_batch_tokens: int,
        packing: bool = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self._load_base = load_base
        self._reference: PreTrainedModel | None = None
        self.engine = engine
        self._train_batch_tokens = train_batch_tokens
        self._packing = packing and can_pack(model)
        self._gradient_checkpointing = gradient_checkpointing
        self._masters: Masters | None = None  # made when training begins: an evaluation holds no float32 copy
        self._optimizer: torch.optim.Optimizer | None = None

    @property
    def description(self) -> dict[str, str]:
        return {**self.template.description, **self.engine.description}

    @property
    def push_seconds(self) -> float:
        return self.engine.push_seconds

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        return self.template.prompt_ids(prompt)

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        return self.template.bridge(text, turn_ended=turn_ended)

    def check_can_sample(
        self, prompts: Mapping[str, str], *, follow_up_turns: Sequence[str], max_tokens: int, key: str
    ) -> None:
        context = getattr(self.model.config, "max_position_embeddings", None)
        reader = Reader(self._load_base.path, self.tokenizer, self.template, context)
        reader.check_can_sample(prompts, follow_up_turns=follow_up_turns, max_tokens=max_tokens, key=key)

    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingParams,
        on_done: OnDone | None = None,
    ) -> list[Completion]:
        self.model.eval()
        return self.engine.generate(self.model, requests, sampling, on_done)

    def begin(
        self,
        optimizer: OptimizerConfig,
        *,
        num_updates: int,
        kl_estimator: KLEstimator,
        importance_cap: float | None = None,
    ) -> None:
        self._importance_cap = importance_cap
        self._settings = optimizer
        self._kl_estimator = kl_estimator
        self._optimizer = torch.optim.AdamW(
            list(self._weights()),
            lr=optimizer.learning_rate,
            betas=tuple(optimizer.betas),  # pyright: ignore[reportArgumentType]
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
        )
        self._schedule = get_scheduler(
            optimizer.schedule.value,
            self._optimizer,
            num_warmup_steps=optimizer.warmup_updates,
            num_training_steps=num_updates,
        )

    def update(self, samples: Sequence[TrainingSample]) -> UpdateStats:
        """One step on all `samples`; episodes whose advantages and coefficients are all zero cost nothing but count.

        Raises ValueError on an empty list, since a step without episodes has no mean, and NonFiniteGradientError as
        `Policy.update` says.
        """
        assert self._optimizer is not None, "begin() comes before update()"
        began = time.perf_counter()
        self._optimizer.zero_grad(set_to_none=True)
        stats = self.backward(samples)
        norm = torch.nn.utils.clip_grad_norm_(list(self._weights()), self._settings.max_grad_norm)
        if not torch.isfinite(norm):
            self._optimizer.zero_grad(set_to_none=True)
            raise NonFiniteGradientError(f"the gradient's norm is {norm.item()}")
        (rate,) = self._schedule.get_last_lr()
        self._optimizer.step()
        self._weights().round()
        self._schedule.step()
        stats = replace(stats, grad_norm=norm.item(), learning_rate=rate)
        return timed(stats, time.perf_counter() - began, self.model)

    def backward(self, samples: Sequence[TrainingSample]) -> UpdateStats:
        """Add the gradient of the mean objective to the parameters' `.grad`; returns what `update` reports of it."""
        if not samples:
            raise ValueError("an update needs at least one sample")
        self.engine.make_room()
        # Dropout and the like stay off: the policy that is scored is then the one that was sampled from.
        self.model.eval()
        if self._gradient_checkpointing:
            keep_layer_inputs_only(self.model)
        totals = UpdateTotals(self.model, importance_cap=self._importance_cap)
        trained = [sample for sample in samples if any(sample.advantages) or any(sample.kl_coefs)]
        reference = self._base() if any(any(sample.kl_coefs) for sample in trained) else None
        with packed(self.model, reference) if self._packing else nullcontext() as attention:
            for batches in micro_batches(trained, max_tokens=self._train_batch_tokens, packed=self._packing):
                # A problem that is torn apart is scored once more, ahead: its samples are each other's baseline.
                ahead = self._score_ahead(batches, attention) if len(batches) > 1 else None
                for number, batch in enumerate(batches):
                    scored = self._logprobs(batch, attention)
                    score_N = answered_for(scored.kl_N, scored.replies_N, self._kl_estimator)
                    baseline_N = ahead[number] if ahead else kl_baselines([score_N], [scored], [batch])[0]
                    advantages_N = scored.per_token([sample.advantages for sample in batch])
                    kl_coefs_N = scored.per_token([sample.kl_coefs for sample in batch])
                    weights_N = scored.importance_N.clamp(max=self._importance_cap) if self._importance_cap else 1
                    loss = surrogate(
                        logprobs_N=scored.logprobs_N,
                        kl_N=scored.kl_N,
                        advantages_N=weights_N * advantages_N,
                        kl_coefs_N=weights_N * kl_coefs_N,
                        score_N=score_N - baseline_N,
                        estimator=self._kl_estimator,
                    )
                    (loss / len(samples)).backward()
                    totals.add(
                        scored,
                        loss,
                        trained_N=(advantages_N != 0) | (kl_coefs_N != 0),
                        lengths=[len(sample.episode.token_ids) for sample in batch],
                        num_forwards=(1 + bool(ahead)) * (1 + (reference is not None)),
                    )
        return totals.stats(len(samples))

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
        if has_adapters(self.model):
            self.model.save_pretrained(folder)  # the adapters alone, which transformers puts on their base
        else:
            self.model.save_pretrained(folder, state_dict=self._weights().state_dict())
        self.tokenizer.save_pretrained(folder)

    def restore(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        if has_adapters(self.model):
            self._weights().load(load_adapters(folder))
            return
        saved = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._weights().load(dict(saved.named_parameters(remove_duplicate=False)))

    def save_state(self, folder: Path) -> None:
        assert self._optimizer is not None, "begin() comes before save_state()"
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "weights": self._weights().state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
        }
        torch.save(state, folder / "state.pt")

    def restore_state(self, folder: Path) -> None:
        """Takes up after `begin` where `save_state` left off."""
        assert self._optimizer is not None, "begin() comes before restore_state()"
        state = torch.load(folder / "state.pt", map_location=self.model.device, weights_only=True)
        self._weights().load(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])

    def _weights(self) -> Masters:
        if self._masters is None:
            self._masters = Masters(self.model)
        return self._masters

    def _logprobs(self, batch: Sequence[TrainingSample], packed_attention: str | None) -> TokenLogprobs:
        needs_reference = any(any(sample.kl_coefs) for sample in batch)
        return compute_logprobs(
            self.model,
            self._base() if needs_reference else None,
            [sample.episode for sample in batch],
            pad_id=pad_id(self.tokenizer, self.template.stop_ids),
            estimator=self._kl_estimator,
            packed_attention=packed_attention,
        )

    def _base(self) -> PreTrainedModel:
        if has_adapters(self.model):
            return self.model
        if self._reference is None:
            self._reference = self._load_base().eval().requires_grad_(requires_grad=False)
        return self._reference

    @torch.no_grad()
    def _score_ahead(
        self, batches: Sequence[Sequence[TrainingSample]], packed_attention: str | None
    ) -> list[torch.Tensor]:
        scored = [self._logprobs(batch, packed_attention) for batch in batches]
        found = [answered_for(each.kl_N, each.replies_N, self._kl_estimator) for each in scored]
        return kl_baselines(found, scored, batches)


def pad_id(tokenizer: PreTrainedTokenizerBase, stop_ids: frozenset[int]) -> int:
    """Pads are masked everywhere, so any id does where the tokenizer names none."""
    named = tokenizer.pad_token_id
    return named if isinstance(named, int) else min(stop_ids)
