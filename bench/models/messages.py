"""Conversations with a model that is reached by messages: ids are characters, with marks where a message begins.

The marks lie beyond Unicode, so no text can hold one, and messages are read back from the ids as they were said.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

_ROLES = ("system", "user", "assistant")
_MARKS = {role: 0x110000 + place for place, role in enumerate(_ROLES)}


def marked(role: str, text: str) -> tuple[int, ...]:
    """The ids of a message that says `text`."""
    return (_MARKS[role], *map(ord, text))


def open_for_reply(ids: Sequence[int]) -> tuple[int, ...]:
    """`ids`, and the beginning of the assistant's message."""
    return (*ids, _MARKS["assistant"])


def messages_of(ids: Iterable[int]) -> list[dict[str, str]]:
    """The messages of a conversation that waits for a reply, as chat completions take them."""
    messages: list[dict[str, str]] = []
    for is_mark, run in groupby(ids, key=lambda each: each >= _MARKS["system"]):
        if is_mark:
            messages += [{"role": _ROLES[mark - _MARKS["system"]], "content": ""} for mark in run]
        else:
            messages[-1]["content"] = "".join(map(chr, run))
    assert messages[-1] == {"role": "assistant", "content": ""}, "the conversation does not wait for a reply"
    return messages[:-1]
