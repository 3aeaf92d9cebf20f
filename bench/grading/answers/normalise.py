r"""One spelling for answers that differ only in typography.

`normalise` rewrites LaTeX and evaluates nothing. Dollars, spacing, `\left`/`\right`, font and fraction variants, degree
signs, currency signs and closing punctuation go; `\frac12` becomes `\frac{1}{2}`; words stay in `\text{...}`, except
single letters and numbers, which need no such wrapping; spaces between thousands go, and other digits stay apart where
anything but `\!` stood between them (`1\,2` is "1 2"); a time of day ends in `am` or `pm`. The text is cut into tokens
once and put together again: the cost is linear in its length.
"""

import re

_UNICODE = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2013\u2014", "-"), "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u00f7": "/",
        "\u03c0": r"\pi ", "\u221e": r"\infty ", "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2208": r"\in ",
        "\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ", "\u2248": r"\approx ", "\u00b1": r"\pm ",
        "\u221a": r"\sqrt ", "\u00b2": "^2", "\u00b3": "^3", "\u00b0": "", "\u00bd": r"\frac{1}{2}",
        "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}", "\u20ac": r"\$", "\u00a3": r"\$", "\uff0c": ",",
        "\uff1a": ":", "\uff08": "(", "\uff09": ")",
    }
)  # fmt: skip

_TOKEN = re.compile(r"\\\\|\\[A-Za-z]+|\\.|\s+|[A-Za-z]+|[0-9]+|.", re.DOTALL)
_TEXT = re.compile(
    r"\\(?:text(?:normal|rm|bf|it|sf|tt|sc)?|[mh]box|math(?:rm|bf|it|sf|tt|bb|op)|boldsymbol|bm|emph|operatorname)"
    r"(?![A-Za-z])\s?\{([^{}]*)\}"
)
_FUNCTION = re.compile(r"(?:arc)?(?:sin|cos|tan)|cot|sec|csc|log|ln|exp|max|min|gcd|lcm")
_DROPPED = {
    r"\left", r"\right", r"\middle", r"\big", r"\Big", r"\bigg", r"\Bigg", r"\bigl", r"\bigr", r"\Bigl", r"\Bigr",
    r"\displaystyle", r"\textstyle", r"\limits", r"\degree", r"\thinspace", r"\bf", r"\rm", r"\,", r"\!", r"\;", r"\:",
    r"\>", r"\(", r"\)", r"\[", r"\]", "$", r"\$", "~",
}  # fmt: skip
_RENAMED = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\leq": r"\le", r"\leqslant": r"\le", r"\%": "%",
    r"\geq": r"\ge", r"\geqslant": r"\ge", r"\neq": r"\ne", r"\lt": "<", r"\gt": ">", r"\lbrace": r"\{",
    r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\colon": ":", r"\div": "/", r"\ast": "*",
    r"\emptyset": r"\varnothing", r"\quad": " ", r"\qquad": " ", "\\ ": " ", "\\\n": " ",
}  # fmt: skip
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_LEADING_NUMBER = re.compile(r"([0-9][0-9:.,/]*)\s*(.*)", re.DOTALL)
_FRACTION = re.compile(r"\\frac(?:(\d)|\{([^{}]*)\})(?:(\d)|\{([^{}]*)\})")
_ROOT = re.compile(r"\\sqrt(\[[^\[\]]*\])? ?([A-Za-z0-9])")
_BRACED_CHARACTER = re.compile(r"([_^])\{([^{}\\])\}")
_TIME_OF_DAY = re.compile(r"(\d)(?:\\text\{)?([AaPp])\.?[Mm]\.?\}?$")
# "1 000" is a thousand, "1 2" and "1 00" are not numbers, and "2 125/8" may be a mixed one. Typesetters group digits by
# `\,` on both sides of the point, and put none into a mixed number.
_THIN = r"\s*(?:(?:\\[,;:>]|\\thinspace|~)(?:\s|\\!)*)+"
_GROUPED_DIGITS = re.compile(
    rf"(?<![0-9.,^_])[0-9]{{1,3}}(?:(?:\s|\\ |{_THIN})[0-9]{{3}})+(?![0-9/])"
    rf"|(?<![0-9.^_])[0-9]{{1,3}}(?:{_THIN}[0-9]{{3}})+(?![0-9])"
    rf"|(?<=\.)[0-9]{{3}}(?:{_THIN}[0-9]{{3}})*{_THIN}[0-9]{{1,3}}(?![0-9])"
)
_COMMA = re.compile(r"(?<!\\),")
_OPTION = re.compile(r"\(([A-Za-z])\)")


def normalise(answer: str) -> str:
    """The answer in the one spelling that every later tier reads."""
    text = _DEGREES.sub("", answer.translate(_UNICODE).strip(" *").replace("{,}", ","))
    text = _GROUPED_DIGITS.sub(lambda number: re.sub(r"[^0-9]", "", number.group()), text)
    text = _join(_TOKEN.findall(_TEXT.sub(_spell_text, text))).lstrip(" ,;:*").rstrip(" .,;:*\\")
    text = _FRACTION.sub(_spell_fraction, text)
    text = _BRACED_CHARACTER.sub(r"\1\2", _ROOT.sub(r"\\sqrt\1{\2}", text)).replace("} ", "}")
    text = _TIME_OF_DAY.sub(lambda time: f"{time.group(1)}{time.group(2).lower()}m", text)
    option = _OPTION.fullmatch(text)
    return option.group(1) if option else text


def _join(tokens: list[str]) -> str:
    r"""Tokens without their spaces, but for those that mean something: `\pi r`, `two lines`, `5 1/2`, `5\,1/2`."""
    parts: list[str] = []
    last = ""  # what the last part was: command, word, number or sign
    apart = spaced = inside_text = False
    for raw in tokens:
        if raw in _DROPPED:
            apart = apart or raw != r"\!"  # which TeX uses to move things closer
            continue
        token = _RENAMED.get(raw, raw)
        if token.isspace():
            spaced = True
            continue
        kind = _kind(token)
        if inside_text:
            needs_space = spaced and parts[-1] != "{" and token != "}"
            inside_text = token != "}"
        else:
            needs_space = kind == "word" and (last == "command" or (spaced and last == "word"))
            needs_space = needs_space or ((spaced or apart) and kind == last == "number")
            inside_text = token == "{" and bool(parts) and parts[-1] == r"\text"
        if needs_space:
            parts.append(" ")
        parts.append(token)
        last, spaced, apart = kind, False, False
    return "".join(parts)


def _kind(token: str) -> str:
    if token[0] == "\\" and token[1:2].isalpha():
        return "command"
    return "word" if token.isalpha() else "number" if token.isdecimal() else "sign"


def _spell_text(match: re.Match[str]) -> str:
    r"""`\text{A, B}` is "A,B"; `\text{4:30 p.m.}` begins with a number; other words stay wrapped, each for itself."""
    return ",".join(_spell_word(word.strip()) for word in _COMMA.split(match.group(1)))


def _spell_word(word: str) -> str:
    if len(word) <= 1 or word.isdecimal() or (word.startswith("(") and word.endswith(")")):
        return word
    if _FUNCTION.fullmatch(word):
        return f"\\{word} "
    number = _LEADING_NUMBER.fullmatch(word)
    if number:
        return f"{number.group(1)}\\text{{{number.group(2)}}}" if number.group(2) else number.group(1)
    return f"\\text{{{word}}}"


def _spell_fraction(match: re.Match[str]) -> str:
    above, below = match.group(1) or match.group(2) or "", match.group(3) or match.group(4) or ""
    return f"\\frac{{{above}}}{{{below}}}"
