r"""What a text says that is an answer itself, not an attempt at a problem: a gold, or another system's "prediction".

Such a text may still be a sentence ("The distance is $125$ miles"). Boxes or the paper's closing sentence count first;
boxes joined by nothing but a comma, "and" or "or" are one list, and so are formulas. Then comes the last formula
between delimiters, if there are words around it; then, in a sentence without formulas, its last number. Otherwise the
whole text is the answer. None of this is done to attempts, from which only `extraction.extract_answer` takes an answer.
"""

import re

from bench.grading.answers.extraction import Statement, find_statements

_FORMULA = re.compile(
    r"\$\$([^$]{1,500})\$\$|(?<!\\)\$((?:[^$\\]|\\.){1,500})\$|\\\[((?:[^\\]|\\[^\]]){1,500})\\\]"
    r"|\\\(((?:[^\\]|\\[^)]){1,500})\\\)",
    re.DOTALL,
)
_TEXT = re.compile(r"\\[A-Za-z]+\s?\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"(?<![\w\\])[^\W\d_]{2,}(?![\w(^])")
_LETTER_BEYOND_LATIN = re.compile(r"[\u0590-\u06ff\u3040-\u9fff\uac00-\ud7af]")
_NUMBER = re.compile(r"\\frac\{\d+\}\{\d+\}|(?<![A-Za-z0-9_.])[-+]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:/\d+)?\s?\\?%?")

_JOINT_NOISE = re.compile(r"\\[()\[\],;:! ]|\\q?quad|\\text|[\s${}]")
_JOINTS = {",", ";", "and", "or", ",and", ",or"}

LONGEST_JOINT = 40  # characters between two answers; more is prose, and the last one counts alone
FEWEST_WORDS = 3  # of a sentence; "5 square feet" is an answer with its unit


def stated_answer(text: str) -> str | None:
    """The answer that the text is or states; None if there is nothing in it, or in its last box."""
    if statements := find_statements(text):
        return _join_last(statements, text) or None
    return _last_formula(text) or _last_number(text) or text.strip() or None


def _join_last(found: list[Statement], text: str) -> str:
    """The last of the answers, with those before it that only a joint separates from it; a repeated one counts once."""
    answers = [found[-1].answer(text)]
    for left, right in zip(reversed(found[:-1]), reversed(found), strict=False):
        between = text[left.end : right.start]
        if left.end > right.start or len(between) > LONGEST_JOINT:
            break
        if between and _JOINT_NOISE.sub("", between) not in _JOINTS:
            break
        answers.append(left.answer(text))
    return ", ".join(dict.fromkeys(reversed(answers)))


def _last_formula(text: str) -> str | None:
    formulas = [Statement(*match.span(), *match.span(match.lastindex or 0)) for match in _FORMULA.finditer(text)]
    around = _FORMULA.sub(" ", text)
    return _join_last(formulas, text) if formulas and _WORD.search(around) else None


def _last_number(text: str) -> str | None:
    plain = _TEXT.sub(" ", text)
    if len(_WORD.findall(plain)) < FEWEST_WORDS and not _LETTER_BEYOND_LATIN.search(plain):
        return None
    numbers = _NUMBER.findall(text)
    return numbers[-1].strip() if numbers else None
