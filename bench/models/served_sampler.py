"""Replies of a server, through OpenAI's official client: it retries, waits as the server says, and pools connections.

The server sees chat messages and applies its own template; ids are characters (see `messages.py`), and tokens are
counted as the server counts them.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import openai  # pyright: ignore[reportMissingImports]  the extra `served`

from bench.episode import Completion, Request, SamplingParams, TokenCounts
from bench.models.interface import OnDone
from bench.models.messages import marked, messages_of, open_for_reply
from bench.models.reply_cache import ReplyCache
from bench.models.served import Served
from bench.models.stopping import cut_after, first_stop
from bench.runs.fingerprints import digest

_NO_KEY = "none"  # the client insists on one, and a server of one's own asks for none
_LARGEST_SEED = 2**31  # some servers read 32 bits
_AGAIN = "what was answered is kept: the same command goes on from there"


class ServedSampler:
    """Implements `Sampler`. Raises ValueError, in one line, for what the server refuses or does not answer."""

    def __init__(self, model: Served) -> None:
        self.token_unit = "tokens"
        self._model = model
        self._cache = ReplyCache(Path(model.cache))
        self._reported: dict[str, set[str]] = {"models": set(), "system_fingerprints": set()}

    @property
    def description(self) -> dict[str, str]:
        reported = {key: ", ".join(sorted(values)) for key, values in self._reported.items()}
        return {"kind": "messages", "base_url": self._model.base_url, "openai": openai.__version__, **reported}

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        system = marked("system", self._model.system) if self._model.system else ()
        return open_for_reply((*system, *marked("user", prompt)))

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:  # noqa: ARG002  the server ends turns
        return open_for_reply(marked("user", text))

    def check_can_sample(
        self, prompts: Mapping[str, str], *, follow_up_turns: Sequence[str], max_tokens: int, key: str
    ) -> None: ...

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, on_done: OnDone | None = None
    ) -> list[Completion]:
        found: dict[int, Completion] = {}
        with ThreadPoolExecutor(self._model.concurrency) as pool:
            replies = {pool.submit(self._reply, request, sampling): place for place, request in enumerate(requests)}
            for reply in as_completed(replies):
                if reply.exception():
                    break
                place = replies[reply]
                found[place] = self._completion(requests[place], reply.result())
                if on_done is not None:
                    on_done(place, found[place])
            pool.shutdown(cancel_futures=True)  # those under way are waited for, and kept
            failed = (error for each in replies if not each.cancelled() and (error := each.exception()))
            if error := next(failed, None):
                raise error
        completions = [found[place] for place in range(len(requests))]
        if any(completion.counts is None for completion in completions):
            self.token_unit = "characters"
        return completions

    @cached_property
    def _client(self) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self._model.base_url,
            api_key=os.environ.get(self._model.api_key_env) or _NO_KEY,
            max_retries=self._model.retries,
            timeout=self._model.timeout,
        )

    def _reply(self, request: Request, sampling: SamplingParams) -> dict[str, Any]:
        """The server's answer as JSON, from the cache where it is there."""
        body = self._body(request, sampling)
        # Where the seed is not sent, it still tells the samples of a problem apart.
        key = digest({"base_url": self._model.base_url, "seed": request.seed, **body})
        if (reply := self._cache.get(key)) is None:
            try:
                answer = self._client.chat.completions.create(**body)
            except openai.OpenAIError as error:
                raise ValueError(self._mistake(error)) from None
            reply = answer.model_dump(mode="json")
            if not reply.get("choices"):
                raise ValueError(f"{self._model.base_url} sent no reply but {str(reply)[:300]}; {_AGAIN}")
            self._cache.put(key, answer.model_dump_json())
        return reply

    def _body(self, request: Request, sampling: SamplingParams) -> dict[str, Any]:
        sent: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": request.seed % _LARGEST_SEED,
        }
        if request.stop:
            sent["stop"] = list(request.stop)
        extra = ({"top_k": sampling.top_k} if sampling.top_k else {}) | self._model.extra_body
        return {
            "model": self._model.model_id,
            "messages": messages_of(request.token_ids),
            **{key: value for key, value in sent.items() if key not in self._model.leave_out},
            **({"extra_body": extra} if extra else {}),
        }

    def _completion(self, request: Request, reply: Mapping[str, Any]) -> Completion:
        self._reported["models"].add(str(reply.get("model")))
        self._reported["system_fingerprints"].add(str(reply.get("system_fingerprint")))
        choice, usage = reply["choices"][0], reply.get("usage")
        text = choice["message"].get("content") or ""
        # Servers take the stop string out of a reply; vLLM says which one it was.
        if (reason := choice.get("stop_reason")) in request.stop and not first_stop(text, request.stop):
            text += reason
        stop = first_stop(text, request.stop)
        text = cut_after(text, stop)
        return Completion(
            text=text,
            token_ids=tuple(map(ord, text)),
            logprobs=(0.0,) * len(text),
            truncated=not stop and choice.get("finish_reason") == "length",
            stop=stop,
            counts=TokenCounts(usage["prompt_tokens"], usage["completion_tokens"]) if usage else None,
        )

    def _mistake(self, error: openai.OpenAIError) -> str:
        """What went wrong and what to do, in one line; never with the key, which a server may repeat."""
        url, name, variable = self._model.base_url, self._model.model_id, self._model.api_key_env
        said = " ".join(str(getattr(error, "message", error)).split())[:300]
        match error:
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                held = "holds a key that it does not take" if os.environ.get(variable) else "is not set"
                return f"{url} refused the key ({error.status_code}): {variable} {held}; set it, or model.api_key_env"
            case openai.NotFoundError():
                return f"{url} has no model {name}{self._served_instead()}; set model.name ({said})"
            case openai.RateLimitError():
                return (
                    f"{url} still refuses requests as too many after {self._model.retries} retries ({said}); set "
                    f"model.concurrency lower or model.retries higher; {_AGAIN}"
                )
            case openai.APITimeoutError():
                return f"{url} gave no reply in {self._model.timeout:g} s; set model.timeout higher; {_AGAIN}"
            case openai.APIConnectionError():
                return f"{url} cannot be reached ({error.__cause__ or said}): start it, or set model.base_url; {_AGAIN}"
            case openai.InternalServerError():
                return f"{url} fails ({said}): see its log; {_AGAIN}"
        return (
            f"{url} refused a request ({said}): model.leave_out and model.extra_body change what is sent, "
            "model.max_tokens how long a reply may be"
        )

    def _served_instead(self) -> str:
        """The names of what the server has, the likeliest first; "" where it does not tell."""
        try:
            names = [model.id for model in self._client.with_options(max_retries=0).models.list()]
        except openai.OpenAIError:
            return ""
        near = get_close_matches(self._model.model_id, names, n=5, cutoff=0.0)
        return f"; it has {', '.join(near)}" if near else ""
