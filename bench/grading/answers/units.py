r"""The unit at the end of an answer, and whether two units can stand for one another.

A unit is whatever `\text{...}` closes an answer ("125\text{ miles}", "21\text{ dogs}"), or a known unit word after a
number ("5 feet"). One letter after a number is never a unit: "5m" may be five times m.
"""

import re
from typing import NamedTuple

_SIZES = {
    "length": "mm millimeter millimeters millimetre millimetres|cm centimeter centimeters centimetre centimetres|"
    "m meter meters metre metres|km kilometer kilometers kilometre kilometres|in inch inches|ft foot feet|"
    "yd yard yards|mi mile miles",
    "time": "s sec second seconds|min minute minutes|h hr hour hours|day days|week weeks|month months|year years",
    "money": "cent cents|dollar dollars usd",
    "mass": "g gm gram grams|kg kilogram kilograms|oz ounce ounces|lb lbs pound pounds|ton tons",
    "angle": "degree degrees|radian radians",
}
_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
_SIZE_OF = {
    word: (dimension, group.split()[0])
    for dimension, groups in _SIZES.items()
    for group in groups.split("|")
    for word in group.split()
}
_TEXT_UNIT = re.compile(r"(?<=[\w}%)!])\\text\{(?P<unit>[A-Za-z][A-Za-z .'/-]*)\}(?:\^(?P<power>[23]))?$")
_WORD_UNIT = re.compile(r"(?<=[\d}])(?P<unit>[A-Za-z]{2,}(?: [A-Za-z]+)*)(?:\^(?P<power>[23]))?$")
_COUNTED = frozenset(_SIZE_OF) | {"square", "sq", "cubic", "cu", "units", "unit", "mph"}


_NO_UNIT = re.compile(r"\b(?:and|or|not|maybe|either|if|for|where|when)\b|\\text\{(?!(?:and|or)\})")


class Measure(NamedTuple):
    quantity: str
    dimension: str = ""  # "" if no unit is named, or none that we know
    unit: str = ""


def split_unit(answer: str) -> Measure:
    """A normalised answer without its unit, and the unit. An answer that is nothing but words has no unit."""
    match = _TEXT_UNIT.search(answer)
    if match is None:
        match = _WORD_UNIT.search(answer)
        if match is None or match["unit"].split()[0] not in _COUNTED:
            return Measure(answer)
    if _NO_UNIT.search(match["unit"]) or _NO_UNIT.search(answer[: match.start()]):
        return Measure(answer)  # words that change the answer, or words after words
    words = match["unit"].replace(".", "").split()
    power = match["power"] or next((_POWERS[word] for word in words if word in _POWERS), "")
    for word in words:
        if word.casefold() in _SIZE_OF:
            dimension, unit = _SIZE_OF[word.casefold()]
            return Measure(answer[: match.start()], dimension + power, unit)
    return Measure(answer[: match.start()])


def units_conflict(one: Measure, other: Measure) -> bool:
    """Whether both name a unit of the same dimension and not the same: 80 cents against 80 dollars."""
    return bool(one.dimension) and one.dimension == other.dimension and one.unit != other.unit
