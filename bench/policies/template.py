"""Between text and token ids: how a conversation opens, and how the user's next turn is joined to a reply.

Replies are sampled as ids and stay ids: nothing sampled is decoded and tokenised again. Only what the *user* says is
tokenised, once per text.
"""

from __future__ import annotations

from dataclasses import dataclass
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


class Template(Protocol):
    """See `bench.policies.policy.Sampler` for what the two methods promise."""

    stop_ids: frozenset[int]

    def opening(self, prompt: str) -> tuple[int, ...]: ...

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]: ...


def make_template(tokenizer: PreTrainedTokenizerBase, kind: TemplateKind, *, stop_ids: frozenset[int]) -> Template:
    """The template for a tokenizer; `stop_ids` are the ids at which the model's generation config stops.

    Raises ValueError where the tokenizer has no chat template and `plain` was not asked for.
    """
    if kind is TemplateKind.plain:
        return PlainTemplate(tokenizer, stop_ids=stop_ids)
    if not tokenizer.chat_template:
        raise ValueError(
            "the model's tokenizer has no chat template; set model.template=plain to separate turns by blank lines, "
            "or use an instruction-tuned model"
        )
    return ChatTemplate(tokenizer, stop_ids=stop_ids)


class ChatTemplate:
    """The tokenizer's own chat template, rendered in two parts: the opening, and the bridge after a reply.

    The bridge is cut from a rendered dummy conversation and checked on a second one: a template that rewrites earlier
    turns (drops them, strips thinking) cannot be played as one growing sequence of ids, and is refused.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._bridge_after = lru_cache(maxsize=None)(self._cut_bridge)
        self._end_id = self._bridge_after("?")[0]
        self.stop_ids = stop_ids | {self._end_id}

    def opening(self, prompt: str) -> tuple[int, ...]:
        return self._render([{"role": "user", "content": prompt}])

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        bridge = self._bridge_after(text)
        return bridge[1:] if turn_ended else bridge

    def _render(self, messages: list[dict[str, str]]) -> tuple[int, ...]:
        ids = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return tuple(ids)  # pyright: ignore[reportReturnType]  ids, because tokenize is left on

    def _cut_bridge(self, text: str) -> tuple[int, ...]:
        bridges = {self._cut_from(prompt, reply, text) for prompt, reply in (("1", "2"), ("3", "45"))}
        if len(bridges) != 1 or not next(iter(bridges)):
            raise ValueError(
                "the chat template renders what follows a reply differently from conversation to conversation; "
                "set model.template=plain"
            )
        return bridges.pop()

    def _cut_from(self, prompt: str, reply: str, text: str) -> tuple[int, ...]:
        opening = self.opening(prompt)
        answer = tuple(self._tokenizer.encode(reply, add_special_tokens=False))
        whole = self._render(
            [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": reply},
                {"role": "user", "content": text},
            ]
        )
        if whole[: len(opening) + len(answer)] != opening + answer:
            raise ValueError(
                "the chat template changes earlier turns when a new one is added, so a conversation is not a growing "
                "sequence of token ids; set model.template=plain"
            )
        return whole[len(opening) + len(answer) :]


class PlainTemplate:
    """Turns separated by blank lines; a reply ends with the tokenizer's end-of-text id."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, stop_ids: frozenset[int]) -> None:
        end_id = tokenizer.eos_token_id
        if not isinstance(end_id, int):
            raise ValueError("the tokenizer names no end-of-text token (eos_token), so replies could never end")
        self._tokenizer = tokenizer
        self._end_id = end_id
        self.stop_ids = stop_ids | {end_id}

    def opening(self, prompt: str) -> tuple[int, ...]:
        start = self._tokenizer.bos_token_id
        prefix = (start,) if isinstance(start, int) else ()
        return (*prefix, *self._tokenizer.encode(f"{prompt}\n\n", add_special_tokens=False))

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:
        ids = tuple(self._tokenizer.encode(f"\n\n{text}\n\n", add_special_tokens=False))
        return ids if turn_ended else (self._end_id, *ids)


@dataclass(frozen=True, slots=True)
class CharacterTemplate:
    """For samplers that play text and know no tokens: one id per character, so that counts are honest characters."""

    stop_ids: frozenset[int] = frozenset({0})

    def opening(self, prompt: str) -> tuple[int, ...]:
        return tuple(map(ord, prompt))

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:  # noqa: ARG002  a template takes both
        return tuple(map(ord, text))
