"""Whether a model can read a conversation and hold all of it: asked once of what is loaded, and before of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.models.renderer import Renderer, TemplateKind, make_renderer

if TYPE_CHECKING:  # the process that only plans should not wait for transformers
    from transformers import PreTrainedTokenizerBase

_MOST_PER_MESSAGE = 40  # tokens that a chat template puts around one; where it puts more, the model's process refuses
_LOOKED_AT = 50  # of the prompts: the longest ones for their length, and as many for tokens that the model lacks


@dataclass(frozen=True, slots=True)
class Reader:
    """What turns a conversation into ids, and how many of them the model holds. An exact `ConversationCheck`."""

    path: str
    tokenizer: PreTrainedTokenizerBase
    template: Renderer
    context: int | None  # tokens; None: unknown
    _measured: dict[str, tuple[int, bool]] = field(default_factory=dict)  # a prompt's ids, and whether all are known

    def check_can_sample(
        self, prompts: Mapping[str, str], *, follow_up_turns: Sequence[str], max_tokens: int, key: str
    ) -> None:
        measured = {problem: self._prompt(prompt) for problem, prompt in prompts.items()}
        unread = [problem for problem, (_, all_known) in measured.items() if not all_known]
        if len(unread) * 2 > len(measured):
            raise ValueError(
                f"the tokenizer of {self.path} has no tokens for the text of {len(unread)} of {len(measured)} problems "
                f"(first {unread[0]}). The miniature's model reads task=mini_math only: use "
                "task=mini_math, or a real model: model=transformers model.path=<folder or hub id>"
            )
        bridges = {text: self.template.bridge(text, turn_ended=False) for text in follow_up_turns}
        unknown = self.tokenizer.unk_token_id
        strange = [text for text, ids in bridges.items() if unknown is not None and unknown in ids]
        if strange:
            raise ValueError(f"the tokenizer of {self.path} has no tokens for {strange[0]!r}")
        num_replies = 1 + len(follow_up_turns)
        fixed = max(length for length, _ in measured.values()) + sum(len(bridges[text]) for text in follow_up_turns)
        longest = fixed + num_replies * max_tokens
        if self.context is not None and longest > self.context:
            most = (self.context - fixed) // num_replies
            hint = f"set {key}={most}, or less" if most > 0 else "ask for fewer attempts, or use a longer context"
            raise ValueError(
                f"a conversation may need {longest} tokens (longest prompt, the user's turns, {num_replies} replies of "
                f"{max_tokens}), the model holds {self.context}: {hint}"
            )

    def _prompt(self, prompt: str) -> tuple[int, bool]:
        if prompt not in self._measured:
            ids, unknown = self.template.prompt_ids(prompt), self.tokenizer.unk_token_id
            self._measured[prompt] = (len(ids), unknown is None or unknown not in ids)
        return self._measured[prompt]


@dataclass(frozen=True, slots=True)
class Outline:
    """What a model's folder tells of its `Reader`, in milliseconds. Implements `ConversationCheck`.

    Where a conversation clearly fits, nothing more is loaded; in doubt the tokenizer is, and it decides. Without a
    tokenizer.json nothing is known yet.
    """

    folder: Path
    path: str
    kind: TemplateKind
    config: Mapping[str, Any]

    @property
    def context(self) -> int | None:
        text = self.config.get("text_config")
        found = self.config.get("max_position_embeddings")
        return text.get("max_position_embeddings") if found is None and isinstance(text, Mapping) else found

    def check_can_sample(
        self, prompts: Mapping[str, str], *, follow_up_turns: Sequence[str], max_tokens: int, key: str
    ) -> None:
        if (self.folder / "tokenizer.json").is_file() and not self._clearly_fits(prompts, follow_up_turns, max_tokens):
            ends = _json(self.folder / "generation_config.json").get("eos_token_id", self.config.get("eos_token_id"))
            end_ids = tuple(ends) if isinstance(ends, list) else (ends,)
            reader = _reader(self.folder, self.path, self.kind, end_ids, self.context)
            reader.check_can_sample(prompts, follow_up_turns=follow_up_turns, max_tokens=max_tokens, key=key)

    def _clearly_fits(self, prompts: Mapping[str, str], follow_up_turns: Sequence[str], max_tokens: int) -> bool:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        except Exception as error:  # the library raises no narrower type
            raise ValueError(
                f"model.path={self.path}: its tokenizer.json cannot be read ({error}); save the model's tokenizer again"
            ) from None
        tokenizer.no_truncation()
        by_length = sorted(prompts.values(), key=len)
        some = by_length[:: max(1, len(by_length) // _LOOKED_AT)]
        unknown = self._unknown_id(tokenizer)
        if unknown is not None and any(unknown in tokenizer.encode(text).ids for text in (*some, *follow_up_turns)):
            return False
        if self.context is None:
            return True
        words = max(len(tokenizer.encode(text)) for text in by_length[-_LOOKED_AT:])
        words += sum(len(tokenizer.encode(text)) for text in follow_up_turns)
        num_replies = 1 + len(follow_up_turns)
        return words + num_replies * (max_tokens + _MOST_PER_MESSAGE) <= self.context

    def _unknown_id(self, tokenizer: Any) -> int | None:
        token = _json(self.folder / "tokenizer_config.json").get("unk_token")
        token = token.get("content") if isinstance(token, Mapping) else token
        return tokenizer.token_to_id(token) if isinstance(token, str) else None


@lru_cache(maxsize=8)  # a sweep asks of one model many times, mostly of the same prompts
def _reader(folder: Path, path: str, kind: TemplateKind, ends: tuple[int | None, ...], context: int | None) -> Reader:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except OSError as error:
        raise ValueError(f"model.path={path} could not be loaded: {error}") from error
    return Reader(path, tokenizer, make_renderer(tokenizer, kind, stop_ids=stop_ids(list(ends), tokenizer)), context)


def stop_ids(configured: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that end a reply; `configured` is the generation config's eos_token_id: one, several or none."""
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in (*ends, tokenizer.eos_token_id) if isinstance(end, int))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
