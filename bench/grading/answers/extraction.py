r"""Where in an attempt the answer stands. Only the attempt's own text is read, in linear time.

Two places count:

- the last *balanced* `\boxed{...}` (or `\fbox{...}`, or `\boxed 2` without braces);
- the paper's closing sentence, "Final Answer: The final answer is $answer$. I hope it is correct.", with or without the
  dollars. Without "Final Answer:" before it or "I hope it is correct" after it, the sentence counts only if something
  that looks like mathematics follows: "I checked that the final answer is correct" states no answer.

Where both stand, the one that begins later wins, so a box inside the closing sentence is its answer. An empty box or
sentence is no answer: an earlier one does not stand in for it.
"""

import re
from itertools import pairwise
from typing import NamedTuple

_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s{0,8}")
_UNBRACED = re.compile(r"[^\s$]{1,200}")
_UNBRACED_END = re.compile(r"\\[)\]]|[.,;:]*$")
_SENTENCE = re.compile(r"(?P<announced>final answer\W{1,12})?the final answer is(?![a-z])[\s:]{0,8}", re.IGNORECASE)
_HOPE = re.compile(r"I hope it is correct", re.IGNORECASE)
_FULL_STOP = re.compile(r"\.(?=\s|\*|$)|\n|<\|")
_MATHEMATICS = re.compile(r"[*]{0,2}[-+$\\\d(\[{.|]")
_DELIMITER = re.compile(r"[*]{0,2}(\$\$|\$|\\\[|\\\()")
_CLOSER = {"$$": "$$", "$": "$", r"\[": r"\]", r"\(": r"\)"}
_ANSWER_LINE = re.compile(r"^[ \t]{0,8}(?:A:|####)([^\n]*)$", re.MULTILINE)


class Statement(NamedTuple):
    """Where in a text an answer is stated, and which part of that is the answer. Offsets, since boxes may nest."""

    start: int
    end: int
    answer_start: int
    answer_end: int

    def answer(self, text: str) -> str:
        return text[self.answer_start : self.answer_end].strip()


def extract_answer(text: str) -> str | None:
    """The answer that an attempt states, or None. The module's docstring says what counts."""
    statements = find_statements(text)
    return (statements[-1].answer(text) or None) if statements else None


def extract_answer_line(text: str) -> str | None:
    """The answer of a solution in GSM8K's manner, its last line "A: 3" or "#### 3"; else as `extract_answer`."""
    lines = _ANSWER_LINE.findall(text)
    return (lines[-1].strip() or None) if lines else extract_answer(text)


def find_statements(text: str) -> list[Statement]:
    """Every box, in order; or the closing sentence alone, if it begins after the last of them."""
    boxes = _boxes(text)
    sentence = _last_sentence(text)
    return [sentence] if sentence and (not boxes or sentence.start > boxes[-1].start) else boxes


def _boxes(text: str) -> list[Statement]:
    starts = list(_BOX.finditer(text))
    closing = _closing_braces(text) if starts else {}
    found = []
    for match in starts:
        start, opening = match.span()
        if text[opening : opening + 1] == "{":
            if opening in closing:  # otherwise the text broke off inside the box
                found.append(Statement(start, closing[opening] + 1, opening + 1, closing[opening]))
        elif token := _UNBRACED.match(text, opening):
            end = _UNBRACED_END.search(token.group())
            end = opening + end.start() if end else token.end()
            found.append(Statement(start, end, opening, end))
    return found


def _closing_braces(text: str) -> dict[int, int]:
    r"""Position of each balanced `{` -> position of its `}`. Escaped braces (`\{`) are text."""
    closing, open_braces = {}, []
    for match in _BRACE.finditer(text):
        if match.group() == "{":
            open_braces.append(match.start())
        elif match.group() == "}" and open_braces:
            closing[open_braces.pop()] = match.start()
    return closing


def _last_sentence(text: str) -> Statement | None:
    """The last closing sentence. Each one is looked at up to where the next begins, hence linear time."""
    sentences = list(_SENTENCE.finditer(text))
    bounds = pairwise([*(match.start() for match in sentences), len(text)])
    for match, (start, bound) in reversed(list(zip(sentences, bounds, strict=True))):
        hope = _HOPE.search(text, match.end(), bound)
        if hope or match.group("announced") or _MATHEMATICS.match(text, match.end()):
            end = hope.start() if hope else _end_of_statement(text, match.end())
            answer_end = match.end() + len(text[match.end() : end].rstrip().rstrip("."))
            return Statement(start, end, match.end(), answer_end)
    return None


def _end_of_statement(text: str, start: int) -> int:
    """Where a sentence without "I hope it is correct" ends: the first full stop or line end outside its formula."""
    if delimiter := _DELIMITER.match(text, start):
        closed = text.find(_CLOSER[delimiter.group(1)], delimiter.end())
        start = closed if closed >= 0 else start
    stop = _FULL_STOP.search(text, start)
    return stop.start() if stop else len(text)
