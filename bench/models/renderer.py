"""Between text and token ids: how a conversation opens, and how the user's next turn is joined to a reply.

Replies are sampled as ids and stay ids: nothing sampled is decoded and tokenised again. Only what the *user* says is
tokenised, once per text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # models.py is read by the process that only plans, which should not wait for transformers
    from transformers import PreTrainedTokenizerBase


class TemplateKind(Enum):
    """Which template turns messages into text."""

    auto = "auto"  # the tokenizer's chat template, and an error where it has none
    chat = "chat"
    plain = "plain"  # for models without one: turns separated by blank lines, replies ended by the end-of-text id


DATE = date(2024, 7, 26)  # instead of today; Llama 3's own where the day is not known

_REWRITES = (
    "the chat template changes earlier turns when a new one is added, so a conversation is not a growing sequence of "
    "token ids; set model.template=plain"
)
_REWRITES_THINKING = (
    "the chat template takes the thinking (<think>...</think>) out of earlier turns, so a conversation is not a "
    "growing sequence of token ids; use the model's release without thinking (Qwen3: one named -Instruct-2507), or set "
    "model.template=plain"
)
# What templates are known to treat in a way of their own; each must stand in the conversation as it was said.
_STRANGE_REPLIES = (
    "<think>\nA plan.\n</think>\n\nAn answer.",
    "The plan's end.</think>An answer.",
    "<b>bold</b> & {{ braces }} <reasoning>why</reasoning>\n```python\nf(1)\n```\n[DONE]",
    "  An answer in white space. \n\n",
)


class Renderer(Protocol):
    """See `bench.models.interface.Sampler` for what the two methods promise."""

    stop_ids: frozenset[int]

    @property
    def description(self) -> dict[str, str]:
        """What a manifest says of it: all that decides how a conversation becomes ids, besides the tokenizer."""
        ...

    def prompt_ids(self, prompt: str) -> tuple[int, ...]: ...

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]: ...


def make_renderer(tokenizer: PreTrainedTokenizerBase, kind: TemplateKind, *, stop_ids: frozenset[int]) -> Renderer:
    """The template for a tokenizer; `stop_ids` are the ids at which the model's generation config stops.

    Raises ValueError where the tokenizer has no chat template and `plain` was not asked for.
    """
    if kind is TemplateKind.plain:
        return PlainRenderer(tokenizer, stop_ids=stop_ids)
    if not tokenizer.chat_template:
        raise ValueError(
            "the model's tokenizer has no chat template; set model.template=plain to separate turns by blank lines, "
            "or use an instruction-tuned model"
        )
    return ChatRenderer(tokenizer, stop_ids=stop_ids)


class ChatRenderer:
    """The tokenizer's own chat template, rendered in two parts: the opening, and the bridge after a reply.

    The bridge is cut from rendered dummy conversations, and must be the same after any reply and at any turn. A
    template that rewrites earlier turns (drops them, takes their thinking out) allows no single growing sequence
    of ids, and is refused. One that trims white space around a reply is not: the ids stay as they were sampled.
    A template that inserts today's date gets `DATE`, so that prompts are the same tomorrow.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._dated = False
        self._bridge_after = lru_cache(maxsize=None)(self._cut_bridge)
        self._end_id = self._bridge_after("?")[0]
        if self._end_id not in {*stop_ids, *tokenizer.added_tokens_decoder}:
            raise ValueError(
                "the chat template ends a reply with ordinary text, not with a token that a model could stop at; "
                "set model.template=plain"
            )
        self.stop_ids = stop_ids | {self._end_id}

    @property
    def description(self) -> dict[str, str]:
        digest = hashlib.sha256(str(self._tokenizer.chat_template).encode()).hexdigest()
        dated = {"date": DATE.isoformat()} if self._dated else {}
        return {"kind": TemplateKind.chat.value, "sha256": digest, **dated}

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        return self._render([_user(prompt)])

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        bridge = self._bridge_after(text)
        return bridge[1:] if turn_ended else bridge

    def _render(self, messages: list[dict[str, str]]) -> tuple[int, ...]:
        return tuple(self._apply(messages, tokenize=True))  # pyright: ignore[reportReturnType]  ids

    def _apply(self, messages: list[dict[str, str]], *, tokenize: bool) -> str | list[int]:
        from jinja2 import TemplateError

        try:
            return self._tokenizer.apply_chat_template(  # pyright: ignore[reportReturnType]  one of the two
                messages, add_generation_prompt=True, return_dict=False, tokenize=tokenize, strftime_now=self._date
            )
        except TemplateError as error:
            raise ValueError(
                f"the chat template cannot render a conversation of user and assistant ({error}); "
                "set model.template=plain"
            ) from error

    def _date(self, form: str) -> str:
        self._dated = True
        return DATE.strftime(form)

    def _cut_bridge(self, text: str) -> tuple[int, ...]:
        """The ids that follow a reply when the user says `text`. Raises ValueError if they depend on the reply."""
        bridges = {self._cut_from(replies, text) for replies in (("2",), ("45",), ("2", "45"), ("45", "2", "2"))}
        tails = {self._tail_after(reply, text) for reply in ("2", *_STRANGE_REPLIES)}
        if len(bridges) != 1 or len(tails) != 1 or not next(iter(bridges)):
            raise ValueError(
                "the chat template renders what follows a reply differently from conversation to conversation; "
                "set model.template=plain"
            )
        return bridges.pop()

    def _cut_from(self, replies: Sequence[str], text: str) -> tuple[int, ...]:
        """The ids after the last of `replies`, to each of which the user says `text`."""
        messages = [_user("1")]
        for reply in replies:
            before = self._render(messages) + tuple(self._tokenizer.encode(reply, add_special_tokens=False))
            messages += [_assistant(reply), _user(text)]
            whole = self._render(messages)
            if whole[: len(before)] != before:
                raise ValueError(_REWRITES)
            after = whole[len(before) :]
        return after

    def _tail_after(self, reply: str, text: str) -> str:
        """The text after `reply`, which stands as it was said but for white space around it.

        Text and not ids: a reply that begins with a line end may be joined with the opening's when it is tokenised.
        """
        opening = str(self._apply([_user("1")], tokenize=False))
        whole = str(self._apply([_user("1"), _assistant(reply), _user(text)], tokenize=False))
        for kept in (reply, reply.rstrip(), reply.lstrip(), reply.strip()):
            if whole.startswith(opening + kept):
                return whole.removeprefix(opening + kept)
        raise ValueError(_REWRITES_THINKING if "</think>" in reply else _REWRITES)


class PlainRenderer:
    """Turns separated by blank lines; a reply ends with the tokenizer's end-of-text id."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, stop_ids: frozenset[int]) -> None:
        end_id = tokenizer.eos_token_id
        if not isinstance(end_id, int):
            raise ValueError("the tokenizer names no end-of-text token (eos_token), so replies could never end")
        self._tokenizer = tokenizer
        self._end_id = end_id
        self.stop_ids = stop_ids | {end_id}

    @property
    def description(self) -> dict[str, str]:
        return {"kind": TemplateKind.plain.value}

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        start = self._tokenizer.bos_token_id
        prefix = (start,) if isinstance(start, int) else ()
        return (*prefix, *self._tokenizer.encode(f"{prompt}\n\n", add_special_tokens=False))

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        ids = tuple(self._tokenizer.encode(f"\n\n{text}\n\n", add_special_tokens=False))
        return ids if turn_ended else (self._end_id, *ids)


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
