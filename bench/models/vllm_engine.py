"""Sampling by vLLM, in this process: token ids in, token ids out, under the seeds of the requests.

vLLM refills its batch as replies end, and its prefix cache keeps what a second attempt has in common with the first.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

from transformers import PreTrainedModel

from bench.episode import Completion, Request, SamplingParams
from bench.models.engine import Decode
from bench.models.interface import OnDone
from bench.models.pace import Pace, shown
from bench.models.stopping import cut_after, first_stop
from bench.models.vllm_options import Sleep, VllmOptions
from bench.models.vllm_weights import EngineWeights

_HIGHEST_TEMPERATURE = 2.0


class VllmEngine:
    """Implements `Engine`. It is loaded without weights, and gets the learner's with the first requests."""

    def __init__(
        self,
        path: str,
        options: VllmOptions,
        *,
        revision: str | None,
        dtype: str,
        device: str,
        stop_ids: frozenset[int],
        decode: Decode,
    ) -> None:
        """`path` is of the model's configuration and tokenizer. Raises ValueError where vLLM computes elsewhere."""
        import vllm  # pyright: ignore[reportMissingImports]  an extra, which the checks do without
        from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

        computes_on = current_platform.device_type
        if computes_on != device.partition(":")[0]:
            raise ValueError(
                f"model.device={device}, and the vLLM that is installed computes on {computes_on}: set "
                f"model.device={computes_on} or model.sampler=transformers"
            )
        self._options = options
        self._stop_ids = stop_ids
        self._decode = decode
        on_cpu = current_platform.is_cpu()
        self._flags = engine_flags(options, dtype=dtype, on_cpu=on_cpu)
        self.llm = vllm.LLM(path, revision=revision, tokenizer_revision=revision, **self._flags)
        self._version = vllm.__version__
        self.weights = EngineWeights(self.llm, options.checked_within)
        self._pushed: tuple[Any, list[int]] | None = None  # the model whose weights the engine has, and their versions
        self._asleep = False
        self.push_seconds = 0.0
        self._num_asked = 0
        self.prompt_tokens = 0  # of all requests
        self.cached_tokens = 0  # of them, those whose keys and values were in the prefix cache

    @property
    def description(self) -> Mapping[str, str]:
        return {"engine": f"vllm {self._version}", "engine_flags": json.dumps(self._flags, sort_keys=True)}

    def generate(
        self,
        model: PreTrainedModel,
        requests: Sequence[Request],
        sampling: SamplingParams,
        on_done: OnDone | None = None,
    ) -> list[Completion]:
        if not requests:
            return []
        if sampling.temperature > _HIGHEST_TEMPERATURE:
            raise ValueError(
                f"vLLM samples at temperatures up to {_HIGHEST_TEMPERATURE}, not at {sampling.temperature}: lower it, "
                "or set model.sampler=transformers"
            )
        self._wake(model)
        self._follow(model)
        engine, first = self.llm.llm_engine, self._num_asked
        self._num_asked += len(requests)
        for number, request in enumerate(requests, start=first):
            engine.add_request(
                str(number), {"prompt_token_ids": list(request.token_ids)}, self._params(request, sampling)
            )
        completions: dict[int, Completion] = {}
        pace = Pace(num_rows=len(requests), max_tokens=sampling.max_tokens)
        with shown(pace):
            while engine.has_unfinished_requests():
                for output in engine.step():
                    place = int(output.request_id) - first
                    completions[place] = completion = self._completion(output, requests[place])
                    pace.rows_done += 1
                    pace.tokens += len(completion.token_ids)
                    pace.tokens_done = pace.tokens
                    if on_done is not None:
                        on_done(place, completion)
        return [completions[place] for place in range(len(requests))]

    def make_room(self) -> None:
        if self._options.sleep is Sleep.level1 and not self._asleep:
            self.llm.sleep(level=1)
            self._asleep = True

    def _wake(self, model: PreTrainedModel) -> None:
        if self._asleep:
            self.llm.wake_up()
            self._asleep = False
            if self._has_weights_of(model):
                self.weights.probe(model)

    def _follow(self, model: PreTrainedModel) -> None:
        """Push the weights if any of them was written to since the last push."""
        if not self._has_weights_of(model):
            self._pushed = None  # an engine that failed its check is not to be asked again
            began = time.perf_counter()
            self.weights.push(model)
            self.push_seconds += time.perf_counter() - began
            self._pushed = (ref(model), _versions(model))

    def _has_weights_of(self, model: PreTrainedModel) -> bool:
        return self._pushed is not None and self._pushed[0]() is model and self._pushed[1] == _versions(model)

    def _params(self, request: Request, sampling: SamplingParams) -> Any:
        import vllm  # pyright: ignore[reportMissingImports]
        from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

        return vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_tokens,
            seed=request.seed,
            stop=list(request.stop),
            include_stop_str_in_output=True,
            stop_token_ids=sorted(self._stop_ids),
            ignore_eos=True,  # `stop_ids` holds it where it is to end a reply
            logprobs=0,  # the sampled token's alone
            flat_logprobs=True,
            detokenize=bool(request.stop),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, output: Any, request: Request) -> Completion:
        (sampled,) = output.outputs
        self.prompt_tokens += len(request.token_ids)
        self.cached_tokens += output.num_cached_tokens or 0
        ids, logprobs = tuple(sampled.token_ids), tuple(sampled.logprobs.logprobs)
        length = self._completed(ids, request.stop)
        ids, logprobs = ids[: length or None], logprobs[: length or None]
        turn_ended = not length and ids[-1] in self._stop_ids
        text = self._decode(ids[:-1] if turn_ended else ids)
        stop = first_stop(text, request.stop) if length else ""
        return Completion(
            text=cut_after(text, stop),
            token_ids=ids,
            logprobs=logprobs,
            truncated=not stop and not turn_ended,
            stop=stop,
        )

    def _completed(self, ids: tuple[int, ...], stop: tuple[str, ...]) -> int:
        """How many ids it takes to complete a stop string; 0 for none.

        vLLM decodes as it goes and holds back a token that ends within a character, and sees a stop string in it later.
        """
        if not stop or not first_stop(self._decode(ids), stop):
            return 0
        low, high = 1, len(ids)
        while low < high:
            middle = (low + high) // 2
            if first_stop(self._decode(ids[:middle]), stop):
                high = middle
            else:
                low = middle + 1
        return low


def engine_flags(options: VllmOptions, *, dtype: str, on_cpu: bool) -> dict[str, Any]:
    """vLLM's own arguments; a manifest records them."""
    overrides: dict[str, Any] = {"tie_word_embeddings": False} if options.untie_head else {}
    if options.float32_head and dtype != "float32" and not on_cpu:
        overrides["head_dtype"] = "float32"
    flags: dict[str, Any] = {
        "dtype": dtype,
        "load_format": "dummy",  # no weights: the learner's are pushed
        "hf_overrides": overrides,
        "generation_config": "vllm",  # nothing of the model's own sampling defaults
        "logprobs_mode": "processed_logprobs",  # of the distribution sampled from
        "enable_prefix_caching": True,
        "max_num_seqs": 1 if options.deterministic and on_cpu else options.max_replies,
        "tensor_parallel_size": options.tensor_parallel,
        "gpu_memory_utilization": options.memory_share,
        "enable_sleep_mode": options.sleep is not Sleep.never and not on_cpu,
        "enforce_eager": options.eager or on_cpu,  # compiling for a CPU takes a minute and gains a tenth
        "seed": 0,
    }
    if options.context:
        flags["max_model_len"] = options.context
    if on_cpu:
        # vLLM 0.32 cannot go on with a seeded request whose prompt it has read in part on a CPU.
        flags["enable_chunked_prefill"] = False
    return flags


def _versions(model: PreTrainedModel) -> list[int]:
    """torch counts the writes to each tensor, whoever makes them."""
    return [parameter._version for parameter in model.parameters()]
