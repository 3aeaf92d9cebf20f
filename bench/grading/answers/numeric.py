r"""Whether two formulas certainly differ, by their values at a few points.

A small reader of its own for numbers, letters, `+ - * / ^`, `\frac`, `\sqrt`, `\pi` and brackets computes both formulas
in floating point with fixed values for the letters. Where the values are far apart, the formulas are not equal, and no
algebra is needed to say so; where they are close, nothing is concluded. What the reader does not know (functions,
relations, mixed numbers, subscripts) it leaves to algebra as well. Powers are those of floats: they overflow, they do
not grow.
"""

from __future__ import annotations

import cmath
import math
import re
from functools import lru_cache

POINTS = (1, 2)
TOLERANCE = 1e-4  # far above what rounding to six places or floating point can explain
DEEPEST_NESTING = 40

_TOKEN = re.compile(r"\s*(\d+\.\d*|\.\d+|\d+|\\[A-Za-z]+|[A-Za-z]|[-+*/^(){}\[\]])")
_GREEK = {f"\\{name}" for name in ("alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "phi", "omega")}
_TIMES = {"*", r"\cdot", r"\times"}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class _UnknownError(Exception):
    """The reader met something that is none of its business."""


def differ(one: str, other: str) -> bool:
    """Whether two normalised formulas have different values; False also if that cannot be told."""
    values = values_of(one), values_of(other)
    return all(values) and any(
        abs(a - b) > TOLERANCE * max(1.0, min(abs(a), abs(b))) for a, b in zip(*values, strict=True)
    )


@lru_cache(maxsize=8192)
def values_of(formula: str) -> tuple[complex, ...]:
    """The formula's value at each of POINTS; empty if it is not one that this module reads."""
    try:
        values = tuple(_Reader(formula, point).read() for point in POINTS)
    except (_UnknownError, ArithmeticError, ValueError):
        return ()
    return values if all(map(cmath.isfinite, values)) else ()


class _Reader:
    """Recursive descent with one token of look-ahead: sum of products of powers."""

    def __init__(self, formula: str, point: int) -> None:
        self._tokens = _tokenise(formula)
        self._place = 0
        self._depth = 0
        self._point = point

    def read(self) -> complex:
        value = self._sum()
        if self._next:
            raise _UnknownError
        return value

    @property
    def _next(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self, token: str = "") -> str:
        taken = self._next
        if not taken or (token and taken != token):
            raise _UnknownError
        self._place += 1
        return taken

    def _sum(self) -> complex:
        self._depth += 1
        if self._depth > DEEPEST_NESTING:
            raise _UnknownError
        value = self._signed_product()
        while self._next in ("+", "-"):
            value += self._signed_product()
        self._depth -= 1
        return value

    def _signed_product(self) -> complex:
        sign = 1
        while self._next in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        value = self._power()
        while self._next and self._next not in ("+", "-", ")", "]", "}"):
            if self._next == "/":
                self._take()
                value /= self._power()
            else:
                if self._next in _TIMES:
                    self._take()
                elif self._next[0].isdigit() or (self._next == r"\frac" and self._tokens[self._place - 1][0].isdigit()):
                    raise _UnknownError  # a mixed number, or digits that a space divides
                value *= self._power()
        return sign * value

    def _power(self) -> complex:
        base = self._atom()
        if self._next != "^":
            return base
        self._take()
        return _power(base, self._group() if self._next == "{" else self._atom())

    def _atom(self) -> complex:
        token = self._take()
        if token[0].isdigit() or token[0] == ".":
            return complex(float(token))
        if token in _CLOSING:
            value = self._sum()
            self._take(_CLOSING[token])
            return value
        if token == r"\frac":
            return self._group() / self._group()
        if token == r"\sqrt":
            degree = self._atom() if self._next == "[" else 2
            radicand = self._group()
            return cmath.sqrt(radicand) if degree == 2 else _power(radicand, 1 / degree)
        return self._letter(token)

    def _group(self) -> complex:
        if self._next != "{":
            raise _UnknownError
        return self._atom()

    def _letter(self, token: str) -> complex:
        if token == r"\pi":
            return complex(math.pi)
        if token in ("e", "i"):
            return complex(math.e) if token == "e" else 1j
        if token not in _GREEK and not token.isalpha():
            raise _UnknownError
        # case is ignored, as Math-Verify does; positive, so that no branch of a root is told from another
        code = sum(map(ord, token.lower()))
        return complex(0.6 + code * self._point * math.sqrt(5) % 1)


def _power(base: complex, exponent: complex) -> complex:
    """Roots of what is not positive are left to algebra: the real cube root of -8 is not the principal one."""
    if exponent.imag == 0 and exponent.real.is_integer():
        return base ** int(exponent.real)
    if base.imag or base.real <= 0:
        raise _UnknownError
    return base**exponent


def _tokenise(formula: str) -> list[str]:
    tokens, place = [], 0
    while place < len(formula):
        match = _TOKEN.match(formula, place)
        if match is None:
            raise _UnknownError
        tokens.append(match.group(1))
        place = match.end()
    return tokens
