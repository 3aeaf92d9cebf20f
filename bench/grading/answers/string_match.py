r"""The string comparison of the MATH paper (Hendrycks et al., arXiv 2103.03874), for tables that show both graders.

Two answers are the same if they are the same string once spacing, `\left`/`\right`, fraction variants, degrees, dollar
and percent signs and a unit in `\text{ ...}` are gone, `\frac12` and `\sqrt3` have their braces, "1/2" and "0.5" are
`\frac{1}{2}`, and a short name before "=" is dropped. Nothing else is known to it: "0.25" is not "1/4", and the order
of a list counts. The program is our own, from the description of that comparison.
"""

import re

_REMOVED = re.compile(r"\n|\\!|\\left|\\right|\^\{\\circ\}|\^\\circ|\\\$|\\%")
_DOLLARS = re.compile(r"\s*\$+((?:[^$\\]|\\.)*)\$+\s*", re.DOTALL)
_UNIT = r"\text{ "
_BARE_POINT = re.compile(r"(^|[ {])\.")
_ROOT = re.compile(r"\\sqrt(?!\{)(.)")
_FRACTION = re.compile(r"\\frac(?:(\{[^{}]*\})|([^{}]))(?:(\{[^{}]*\})|([^{}]))")
_SLASH = re.compile(r"(-?\d{1,300})/(-?\d{1,300})")
_SHORT_NAME = 2  # characters before "=" that count as the name of the result


def same_string(gold: str, answer: str) -> bool:
    """Whether the two are one string after the rewriting that the module describes."""
    return _rewrite(gold) == _rewrite(answer)


def _rewrite(answer: str) -> str:
    if enclosed := _DOLLARS.fullmatch(answer):  # the paper's closing sentence has the answer between dollars
        answer = enclosed[1]
    text = _REMOVED.sub("", answer.replace("\\\\", "\\").replace(r"\tfrac", r"\frac").replace(r"\dfrac", r"\frac"))
    if text.count(_UNIT) == 1:
        text = text.partition(_UNIT)[0]
    text = _BARE_POINT.sub(r"\g<1>0.", text)
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name.strip()) <= _SHORT_NAME:
        text = value
    text = _ROOT.sub(r"\\sqrt{\1}", text).replace(" ", "")
    text = _FRACTION.sub(_brace_fraction, text)
    if text == "0.5":
        return r"\frac{1}{2}"
    slash = _SLASH.fullmatch(text)
    return rf"\frac{{{slash[1]}}}{{{slash[2]}}}" if slash else text


def _brace_fraction(match: re.Match[str]) -> str:
    above = match[1] or f"{{{match[2]}}}"
    below = match[3] or f"{{{match[4]}}}"
    return rf"\frac{above}{below}"
