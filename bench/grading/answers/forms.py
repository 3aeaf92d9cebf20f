r"""What a normalised answer is: a number, a list, an interval, a matrix, words, or something only algebra can read.

Reading is a matter of patterns and of one scan for brackets; nothing is evaluated. `read` never fails: what it does not
know is `Opaque`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

LONGEST_NUMBER = 300  # digits; longer ones stay text
DEEPEST_NESTING = 6


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number. `places` counts the digits after a decimal point (0 for integers and fractions)."""

    value: Fraction
    places: int = 0
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    r"""An answer in words, or a numeral with its base, which is a word too: it equals nothing but itself.

    `plain` words stood outside `\text`, and may be a product of variables instead.
    """

    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Items:
    """Several things. `brackets` is "()", "[]", "(]" or "[)" (point or interval), "{}" (set) or "" (bare list)."""

    brackets: str
    items: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Union:
    parts: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple[Form, ...], ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    r"""`x = 5` and `x \in [0, 1]`: a name and what it is."""

    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class Opaque:
    """LaTeX that only an algebra system can compare."""

    text: str


Form = Number | Words | Items | Union | Matrix | Assignment | Opaque

_UNSIGNED = r"(?:[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)(?:"
    rf"(?P<whole>\d+)?\\frac\{{(?P<above>-?{_UNSIGNED})\}}\{{(?P<below>-?{_UNSIGNED})\}}"
    rf"|(?:(?P<whole2>\d+) )?(?P<above2>\d+)/(?P<below2>\d+)"
    rf"|(?P<fixed>\d*)\.(?P<lead>\d*)\\overline\{{(?P<cycle>\d+)\}}"
    rf"|(?P<plain>{_UNSIGNED})(?:(?:\\times|\\cdot|\*)10\^(?:\{{(?P<power>[-+]?\d{{1,3}})\}}|(?P<power2>\d)))?"
    rf")(?P<percent>%|(?:\\text\{{)?(?:percent|pct)\}}?)?"
)
_MATRIX = re.compile(
    r"(?P<open>[(\[])?\\begin\{(?P<kind>[pb]?matrix|array)\}(?:\{[lcr|]*\})?"
    r"(?P<body>.*)\\end\{(?P=kind)\}(?P<close>[)\]])?",
    re.DOTALL,
)
_NAME = re.compile(r"(?:\\[a-z]+|[A-Za-z]+)(?:_\w|_\{\w+\})?(?:\([a-z]\))?|\([a-z](?:,[a-z])+\)")
_AND = re.compile(r",?(?:\\text\{(?:and|or)\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])),?")
_BRACKET = re.compile(r"\\[{}]|[()\[\]{}]")
_SPLIT = re.compile(r"\\[{}]|[()\[\]{},;]")
_NUMBER_WORDS = {
    word: Number(Fraction(value))
    for value, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_NUMERAL = re.compile(r"[0-9A-Z]{0,100}[0-9][0-9A-Z]{0,100}_(?:\d|\{\d+\})")
_INFINITY = re.compile(r"\+?\\infty")


def read(text: str, depth: int = 0) -> Form:
    """The form of a normalised answer (see `normalise.normalise`)."""
    number = _read_number(text)
    if number is not None:
        return number
    if depth >= DEEPEST_NESTING:
        return Opaque(text)
    return (
        _read_matrix(text, depth)
        or _read_assignment(text, depth)
        or _read_items(text, depth)
        or _read_words(text)
        or Opaque(_INFINITY.sub(r"\\infty", text))
    )


def _read_number(text: str) -> Number | None:
    match = _NUMBER.fullmatch(text) if len(text) <= LONGEST_NUMBER else None
    if match is None:
        return None
    sign, percent = (-1 if match["sign"] == "-" else 1), match["percent"] is not None
    if match["plain"] is not None:
        value = _decimal(match["plain"]) * Fraction(10) ** int(match["power"] or match["power2"] or 0)
        return Number(sign * value, len(match["plain"].partition(".")[2]), percent)
    if match["cycle"] is not None:
        return Number(sign * _repeating(match["fixed"], match["lead"], match["cycle"]), 0, percent)
    above, below = _decimal(match["above"] or match["above2"]), _decimal(match["below"] or match["below2"])
    whole = match["whole"] or match["whole2"]
    if below == 0 or (whole and above < 0):
        return None
    return Number(sign * (Fraction(whole or 0) + above / below), 0, percent)


def _repeating(fixed: str, lead: str, cycle: str) -> Fraction:
    """0.1666... is fixed "0", lead "1", cycle "6"."""
    head = Fraction(int(f"{fixed}{lead}" or 0), 10 ** len(lead))
    return head + Fraction(int(cycle), (10 ** len(cycle) - 1) * 10 ** len(lead))


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").rstrip("."))


def _read_matrix(text: str, depth: int) -> Matrix | None:
    match = _MATRIX.fullmatch(text)
    if match is None or r"\begin" in match["body"]:
        return None
    bracketed = match["open"] is not None and match["close"] is not None
    if (match["kind"] == "array") != bracketed:
        return None
    rows = [row for row in match["body"].split(r"\\") if row]
    return Matrix(tuple(tuple(read(entry.strip(), depth + 1) for entry in row.split("&")) for row in rows))


def _read_assignment(text: str, depth: int) -> Assignment | None:
    for relation in ("=", r"\in ", r"\in"):
        name, found, value = text.partition(relation)
        if found and value and _NAME.fullmatch(name) and not re.search(r"[=<>]|\\[lg]e(?![a-z])", value):
            parts = _split(value)
            if len(parts) == 1:
                return Assignment(name, read(value, depth + 1))
    return None


def _read_items(text: str, depth: int) -> Items | Union | None:
    unions = text.split(r"\cup")
    if len(unions) > 1:
        return Union(tuple(read(part.strip(), depth + 1) for part in unions))
    parts = [part for part in _split(_AND.sub(",", text)) if part]
    if len(parts) > 1:
        return Items("", tuple(read(part.strip(), depth + 1) for part in parts))
    for opening, closing in ((r"\{", r"\}"), ("{", "}"), ("(", ")"), ("[", "]"), ("(", "]"), ("[", ")")):
        inside = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and _is_one_group(text):
            parts = [part for part in _split(_AND.sub(",", inside)) if part]
            if len(parts) > 1 or opening == r"\{":
                brackets = {r"\{": "{}", "{": ""}.get(opening, opening + closing)
                return Items(brackets, tuple(read(part.strip(), depth + 1) for part in parts))
    return None


def _is_one_group(text: str) -> bool:
    """Whether the bracket at the start is closed only by the one at the end; intervals may mix ( and ]."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match.group()[-1] in "([{" else -1
        if depth == 0:
            return match.end() == len(text)
    return False


def _split(text: str) -> list[str]:
    """Cut at the semicolons outside brackets, or else at the commas; a number's thousands commas stay."""
    if _read_number(text) is not None:
        return [text]
    cuts: dict[str, list[int]] = {",": [], ";": []}
    depth = 0
    for match in _SPLIT.finditer(text):
        sign = match.group()[-1]
        if sign not in cuts:
            depth += 1 if sign in "([{" else -1
        elif depth == 0:
            cuts[sign].append(match.start())
    places = cuts[";"] or cuts[","]
    return [text[start + 1 : end] for start, end in pairwise([-1, *places, len(text)])]


def _read_words(text: str) -> Number | Words | None:
    if _NUMERAL.fullmatch(text):
        return Words(text, plain=False)
    inside = text.removeprefix(r"\text{").removesuffix("}")
    plain = inside == text
    if plain and (len(text) < 2 or not re.fullmatch(r"[A-Za-z][A-Za-z ]*", text)):
        return None
    if not plain and not (text == f"\\text{{{inside}}}" and "{" not in inside and "}" not in inside):
        return None
    word = " ".join(inside.split()).casefold().rstrip(".")
    return _NUMBER_WORDS.get(word) or Words(word, plain)
