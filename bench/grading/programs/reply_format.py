"""The format of a reply: which part of it answers the prompt, and what stands in code fences in there.

The prompts of conf/task end in `[BEGIN]` and teach that a program ends with `[DONE]`. So a reply's own part may begin
at once, with a fence that is never opened, or with a `[BEGIN]` of its own, after the task's text or other prose; it
ends at the first `[DONE]` after code, or where the reply goes on to invent a further task.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache

# [/DONE] is a slip of small models; [PYTHON] and [/PYTHON] are what Code Llama was taught.
_MARKER = re.compile(
    r"(?P<opens>\[(?:BEGIN|PYTHON)\][ \t]*\n?)|(?P<closes>\[/?DONE\]|\[/PYTHON\])"
    r"|(?P<task>You are an expert Python programmer, and here is your task)"
    # Markers in string literals are none. A quote after a letter is an apostrophe.
    r"""|(?<!\w)[rbfuRBFU]{0,2}(?P<quote>\"{3}|'{3}|"|')""",
)
# All that may stand in a literal before its closing quote, or before what shows that there is none.
_INSIDE = {
    quote: re.compile(pattern, re.DOTALL)
    for quote, pattern in (
        ('"', r'(?:\\.|[^"\\\n])*+'),
        ("'", r"(?:\\.|[^'\\\n])*+"),
        ('"""', r'(?:\\.|(?!""")[^\\])*+'),
        ("'''", r"(?:\\.|(?!''')[^\\])*+"),
    )
}
_MARKER_NAME = re.compile(r"(?<![\[/])\b(?:DONE|BEGIN|PYTHON)\b")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$")
_CODE_BEFORE_FENCE = re.compile(r"^([^`\n]*[^`\s])[ \t]*```[ \t]*$", re.MULTILINE)
_CODE_AFTER_FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?:(?:python3?|py)[ \t]+)?(?=(?:def|class|import|from|return)[ \t]|@\w)",
    re.MULTILINE | re.IGNORECASE,
)
_PROMPT = re.compile(r"^[ \t]*(>>>|\.\.\.)(?: |$)")
PYTHON_TAGS = {"", "py", "py3", "python", "python2", "python3", "code"}


def unix_text(reply: str) -> str:
    """The reply with "\\n" line ends, no NUL, and fences on lines of their own."""
    text = reply.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    return _CODE_BEFORE_FENCE.sub(r"\1\n```", _CODE_AFTER_FENCE.sub("```python\n", text))


def own_part(text: str, holds_code: Callable[[str], bool], answers: Callable[[str], bool]) -> str:
    """The part of a reply that answers the prompt, without the markers around it.

    `holds_code` says whether there is code in a part, right or wrong, and `answers` whether it defines what is tested.
    Each is asked once about the text between two markers, so that a reply full of markers is read in linear time.
    """
    start, quotes_task = 0, False
    markers = list(_markers(text))
    ends = [*(marker.start() for marker in markers), len(text)]

    @cache
    def answers_after(place: int) -> bool:
        return answers(text[markers[place].end() : ends[place + 1]])

    ahead, previous_end = 0, 0
    for place, marker in enumerate(markers):
        part, has_code = text[start : ends[place]], holds_code(text[previous_end : ends[place]])
        previous_end = marker.end()
        if marker["closes"]:
            if has_code:
                return part
            start = marker.end()
        elif marker["task"]:
            if has_code:  # what follows is a further task; otherwise the reply repeats its own
                return part
            quotes_task = True
        elif quotes_task or not has_code:
            start, quotes_task = marker.end(), False
        else:  # code before [BEGIN] is quoted (a first attempt), unless what follows answers something else
            ahead = max(ahead, place)
            while not answers_after(ahead) and ahead + 1 < len(markers) and not markers[ahead + 1]["closes"]:
                ahead += 1
            if not answers_after(ahead):
                return part
            start = marker.end()
    return text[start:]


def readings(text: str) -> Iterator[list[str]]:
    """The ways to tell code from prose by fences, likeliest first, each as its blocks in order.

    Fences come in pairs; or the first one closes what the prompt opened, and pairs follow; or all of them hold
    demonstrations, and the program stands outside.
    """
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if _FENCE.match(line)]
    if not fences:
        yield [text]
        return
    inside = fenced_blocks(text)
    yield inside
    before = "\n".join(lines[: fences[0]])
    yield [before, *fenced_blocks("\n".join(lines[fences[0] + 1 :]))]
    yield [outside_fences(text), *inside]


def fenced_blocks(text: str, tags: set[str] | None = PYTHON_TAGS) -> list[str]:
    """The insides of the fences tagged so, or of all; one never closed (a reply cut short) reaches to the end."""
    return ["\n".join(lines) for tag, lines in _fenced(text) if tag is not None and (tags is None or tag in tags)]


def outside_fences(text: str) -> str:
    return "\n".join("\n".join(lines) for tag, lines in _fenced(text) if tag is None)


def session_input(text: str) -> str | None:
    """What was typed in an interactive session (`>>> def f(x):`), or None if the text shows none."""
    lines = [line for line in text.split("\n") if _PROMPT.match(line)]
    return "\n".join(_PROMPT.sub("", line, count=1) for line in lines) if lines else None


def _fenced(text: str) -> Iterator[tuple[str | None, list[str]]]:
    """The text in pieces: the lines of each fenced block with its tag, and those outside with None."""
    opened, tag = "", None
    lines: list[str] = []
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        closes = fence is not None and not fence[2] and fence[1].startswith(opened)
        if fence and (closes or not opened):
            yield tag, lines
            opened, tag, lines = ("", None, []) if opened else (fence[1], fence[2].lower(), [])
        else:
            lines.append(line)
    yield tag, lines


def _markers(text: str) -> Iterator[re.Match[str]]:
    """The markers that are neither in a string literal nor code nor part of a longer comment."""
    named = _MARKER_NAME.search(text)
    for match in _outside_literals(text):
        if match["opens"] or match["closes"]:
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
            if before and named and named.end() <= match.start():
                continue  # `queue = [DONE]` of a program that has such a name
            if "#" in before and not before.endswith("#"):
                continue
        yield match


def _outside_literals(text: str) -> Iterator[re.Match[str]]:
    """What looks like a marker and stands in no string literal; each character is read a bounded number of times.

    Where a literal is never closed, the quotes of its kind that follow in its reach are escaped ones, and those close
    nothing either: so they are not followed to its end again.
    """
    place, reach = 0, dict.fromkeys(_INSIDE, 0)
    while match := _MARKER.search(text, place):
        place, quote = match.end(), match["quote"]
        if not quote:
            yield match
        elif place >= reach[quote]:
            inside = _INSIDE[quote].match(text, place)
            reach[quote] = end = inside.end() if inside else place
            if text.startswith(quote, end):
                place = end + len(quote)
                continue
        if quote and len(quote) == 3:
            place -= 1  # not closed: an empty literal, and whatever its third quote begins
