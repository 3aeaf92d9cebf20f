"""A model behind an OpenAI-compatible server (vLLM's, llama.cpp's, a provider's): evaluated, and not trained."""

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from bench.models.interface import ConversationCheck, Sampler

_SENT = ("temperature", "top_p", "max_tokens", "seed", "stop")


@dataclass(kw_only=True)
class Served:
    """Implements `Model`: one that is sampled by a server."""

    trainable: ClassVar[bool] = False
    uses_gpu: ClassVar[bool] = False

    base_url: str  # of the server, as in http://localhost:8000/v1
    name: str  # what the server calls the model; the results' folder has _ for what a path may not hold
    model_id: str = ""  # what the server calls it, where model.name is to name the results alone; empty: model.name
    system: str = ""  # the system message that begins each conversation; empty: there is none
    max_tokens: int = 1024  # per reply
    # More keys of each request, as {top_k: -1, repetition_penalty: 1.0} for vLLM, which takes those that are not sent
    # from the model's generation config
    extra_body: dict[str, Any] = field(default_factory=dict)
    # Keys that are not sent, for a server that refuses them: temperature, top_p, max_tokens, seed, stop
    leave_out: list[str] = field(default_factory=list)
    api_key_env: str = "OPENAI_API_KEY"  # the environment variable that holds the server's key, which is never written
    cache: str = "replies.sqlite"  # the file that keeps replies, by request, so that none is paid for twice
    concurrency: int = 16  # requests at once, of each run
    retries: int = 10  # of a request, at growing intervals or when the server says (Retry-After)
    timeout: float = 600.0  # seconds that a reply may take
    input_price: float | None = None  # of a million tokens of prompts, for the table of costs
    output_price: float | None = None  # of a million tokens of replies

    def __post_init__(self) -> None:
        self.model_id = self.model_id or self.name
        self.name = re.sub(r"[^A-Za-z0-9._+=-]+", "_", self.name).strip("_")  # a folder's path may be a name
        for count in ("max_tokens", "concurrency"):
            if getattr(self, count) < 1:
                raise ValueError(f"model.{count} must be at least 1, not {getattr(self, count)}")
        if self.retries < 0 or self.timeout <= 0:
            raise ValueError("model.retries must not be negative, and model.timeout must be positive")
        if unknown := set(self.leave_out) - set(_SENT):
            raise ValueError(f"model.leave_out={min(unknown)} is none of {', '.join(_SENT)}")

    def check(self) -> None:
        if importlib.util.find_spec("openai") is None:
            raise ValueError('model=served needs the package `openai`: pip install -c constraints.txt -e ".[served]"')
        url = urlsplit(self.base_url)
        if url.username or url.password or url.query:  # the configuration is written to the results
            raise ValueError(
                "model.base_url holds a user name, a password or a query: give the address alone, and the key in the "
                f"environment variable {self.api_key_env}"
            )
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"model.base_url={self.base_url} is no address such as http://localhost:8000/v1")

    def build(self, canonical_id: Callable[[str | int], str]) -> Sampler:  # noqa: ARG002  only recordings have foreign ids
        from bench.models.served_sampler import ServedSampler

        return ServedSampler(self)

    def outline(self, canonical_id: Callable[[str | int], str]) -> ConversationCheck | None:  # noqa: ARG002  as for build
        return None  # only the server knows its tokenizer

    def contents(self) -> dict[str, Any]:
        return {"served": self.model_id, "base_url": self.base_url}
