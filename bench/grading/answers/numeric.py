r"""Whether two formulas certainly differ, by their values at a few points.

A small reader of its own for numbers, letters, `+ - * / ^`, `\frac`, `\sqrt`, `\pi` and brackets computes both formulas
in floating point with fixed values for the letters. Where the values are far apart, the formulas are not equal, and no
algebra is needed to say so; where they are close, nothing is concluded. What the reader does not know (functions,
relations, mixed numbers, subscripts) it leaves to algebra as well. Powers are those of floats: they overflow, they do
not grow.
"""

import cmath
import math
import re
from functools import lru_cache

POINTS = (1, 2)
TOLERANCE = 1e-4  # far above what rounding to six places or floating point can explain
MOST_BRACKETS = 40  # so that no formula nests deeper than Python's stack

# Signs that no formula has come out as tokens too, and are refused where a value is expected.
_TOKEN = re.compile(r"\d+\.\d*|\.\d+|\d+|\\[A-Za-z]+|\S")
_GREEK = {f"\\{name}" for name in ("alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "phi", "omega")}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def numerically_different(one: str, other: str) -> bool:
    """Whether two normalised formulas have different values; False also if that cannot be told."""
    values = values_of(one), values_of(other)
    return all(values) and any(
        abs(a - b) > TOLERANCE * max(1.0, min(abs(a), abs(b))) for a, b in zip(*values, strict=True)
    )


@lru_cache(maxsize=8192)
def values_of(formula: str) -> tuple[complex, ...]:
    """The formula's value at each of POINTS; empty if it is not one that this module reads."""
    tokens = _TOKEN.findall(formula)
    if sum(token in _CLOSING for token in tokens) > MOST_BRACKETS:
        return ()
    try:
        values = tuple(_Reader(tokens, point).read() for point in POINTS)
    except (ArithmeticError, ValueError):
        return ()
    return values if all(map(cmath.isfinite, values)) else ()


class _Reader:
    """Recursive descent with one token of look-ahead: sum of products of powers. Raises ValueError for all else."""

    def __init__(self, tokens: list[str], point: int) -> None:
        self._waiting = tokens[::-1]
        self._last = ""  # the token that was taken last
        self._point = point

    def read(self) -> complex:
        value = self._sum()
        if self._waiting:
            raise ValueError(f"{self._next!r} after the end")
        return value

    @property
    def _next(self) -> str:
        return self._waiting[-1] if self._waiting else ""

    def _take(self, *expected: str) -> str:
        if not self._waiting or (expected and self._next not in expected):
            raise ValueError(f"{self._next!r}, not {expected}")
        self._last = self._waiting.pop()
        return self._last

    def _sum(self) -> complex:
        value = self._signed_product()
        while self._next in ("+", "-"):
            value += self._signed_product()
        return value

    def _signed_product(self) -> complex:
        sign = 1
        while self._next in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        value = self._power()
        while self._next not in ("", "+", "-", ")", "]", "}"):
            if self._next == "/":
                self._take()
                value /= self._power()
                continue
            if self._next in ("*", r"\cdot", r"\times"):
                self._take()
            elif self._next[0].isdigit() or (self._next == r"\frac" and self._last[0].isdigit()):
                raise ValueError("a mixed number, or digits that a space divides")
            value *= self._power()
        return sign * value

    def _power(self) -> complex:
        base = self._atom()
        if self._next != "^":
            return base
        self._take()
        return _power(base, self._atom())

    def _atom(self) -> complex:
        token = self._take()
        if token[0].isdecimal() or token[0] == ".":
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
            raise ValueError(f"{self._next!r}, not a group in braces")
        return self._atom()

    def _letter(self, token: str) -> complex:
        if token in (r"\pi", "e", "i"):
            return {r"\pi": complex(math.pi), "e": complex(math.e), "i": 1j}[token]
        if token not in _GREEK and not (token.isascii() and token.isalpha()):
            raise ValueError(f"{token!r} has no value")
        # case is ignored, as Math-Verify does; positive, so that no branch of a root is told from another
        code = sum(map(ord, token.lower()))
        return complex(0.6 + code * self._point * math.sqrt(5) % 1)


def _power(base: complex, exponent: complex) -> complex:
    """Roots of what is not positive are left to algebra: the real cube root of -8 is not the principal one."""
    if exponent.imag == 0 and exponent.real.is_integer():
        return base ** int(exponent.real)
    if base.imag or base.real <= 0:
        raise ValueError("a root of what is not positive")
    return base**exponent
