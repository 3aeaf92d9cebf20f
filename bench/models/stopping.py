"""Where a reply ends before the model ends its turn: at the first of the task's stop strings that its text holds."""

from collections.abc import Callable, Sequence


def completed_stop(token_ids: Sequence[int], stop: Sequence[str], decode: Callable[[Sequence[int]], str]) -> str:
    """The stop string that the last of `token_ids` completes; "" for none. To be asked after every token.

    Only a tail is decoded: a stop string of n bytes spans at most n tokens, and one more stands before them, since
    some tokenizers drop the space before the first token of a text.
    """
    if not stop:
        return ""
    longest = max(len(text.encode()) for text in stop)
    return first_stop(decode(token_ids[-longest - 1 :]), stop)


def first_stop(text: str, stop: Sequence[str]) -> str:
    """Which of the stop strings is complete first in `text`; "" where it holds none."""
    found = [each for each in stop if each in text]
    return min(found, key=lambda each: text.index(each) + len(each), default="")


def cut_after(text: str, stop: str) -> str:
    """`text` up to the end of `stop`: the last token of a reply may hold more than the stop string."""
    return text[: text.index(stop) + len(stop)] if stop and stop in text else text
