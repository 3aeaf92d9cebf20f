r"""When two answers are the same answer. `decide` says so without algebra, or says that it cannot (None).

Graders disagree on some of this; here it is decided once:

- **Order.** The order of a bare list does not matter ("10,4,-2" is "4,10,-2": MATH asks for "all solutions, separated
  by commas"), how often a thing occurs does. Lists of words keep their order: they are rankings. `{1,2}` is a set and
  equals the bare list; in `(1,2)` and `[1,2]` order and brackets count: `(0,1)` is not `[0,1]`.
- **Names.** "x = 5" is "5", whichever side says it; "x = 5" is not "y = 5". `x \in [0,1]` is `[0,1]`.
- **Units** may be missing on either side. Named on both, they must not contradict each other (80 cents, 80 dollars);
  nothing is converted. Degree and currency signs are dropped. A time of day is no unit: "4:30" is not "4:30 p.m.".
- **Percent.** 10% is 10 and is 1/10, since MATH leaves the sign out as often as not; "10%" is not "0.1%".
- **Decimals** are exact: 0.5 is 1/2, 0.333 is not 1/3. Six or more places may round or truncate what is not a decimal
  fraction: 0.333333 is 1/3.
- **Mixed numbers.** `2\frac{1}{3}` and "2 1/3" are 7/3; "1 2" is no number, and no answer unless the gold is "1 2".
- **Numerals of other bases** carry their base: 4130_5 is neither 4130 nor 540.
- **Equations and inequalities** are for Math-Verify: an interval and the inequality it solves are the same, whichever
  is the gold, and a gold "y = 2x" is met by "2x".
- **Words** are compared without regard to case; a lone letter may stand in parentheses, "(C)" is "C".
- **Chains.** Of a value and its approximation (`\approx`) the value counts; of "a = b = c" the last, unless the gold is
  an equation too. Of two numbers that an answer names, one counts.
- **Repetition.** "5 or 5.0" is 5.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from bench.grading.answers.forms import Assignment, Form, Items, Matrix, Number, Opaque, Union, Words, read
from bench.grading.answers.numeric import numerically_different, values_of
from bench.grading.answers.units import Measure, split_unit, units_conflict

ROUNDING_PLACES = 6
LONGEST_ANSWER = 2000  # characters of a normalised answer; the longest gold of MATH has 159
LONGEST_LIST = 50  # beyond it, bare lists are compared in their order

_TIME_OF_DAY = re.compile(r"\d[ap]m$")
_NAME = re.compile(r"[A-Za-z]|\\[a-z]+")
# "2 1/3" is a mixed number, and in "2^3 5" the space ends an exponent.
_UNREADABLE = re.compile(r"\\text\{(?!(?:and|or)\})|\\boxed|\\fbox|(?<![\d.^_])[\d.]+ \d+(?![\d/])")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")


def decide(gold: str, answer: str) -> bool | None:
    """Whether two normalised answers are the same; None where only an algebra system can tell."""
    if gold == answer:
        return bool(gold)
    if _TIME_OF_DAY.search(gold) or _TIME_OF_DAY.search(answer):
        return False
    (gold_measure, gold_form), (measure, form) = _read_measure(gold), _read_measure(answer)
    if units_conflict(gold_measure, measure):
        return False
    if _may_be_decimal_comma(gold, gold_form, form) or _may_be_decimal_comma(answer, form, gold_form):
        return True if same(gold_form, form) else None
    return same(gold_form, form)


def _may_be_decimal_comma(text: str, form: Form, other: Form) -> bool:
    """Whether "0,111", set against one number, may be a decimal rather than a list: Math-Verify decides."""
    return isinstance(form, Items) and isinstance(other, Number) and _DECIMAL_COMMA.fullmatch(text) is not None


def strip_unit(answer: str) -> str:
    """What of a normalised answer is left for algebra: without its unit and without an approximation of itself."""
    return _read_measure(answer)[0].quantity


def is_unreadable(answer: str) -> bool:
    r"""Whether words, or numbers with a space between them, stand in an answer without unit: not for Math-Verify.

    It drops `\text{...}` with all that follows, so that `\sqrt{2} \text{ maybe } \sqrt{3}` would be `\sqrt{2}`; and it
    adds up "1 2".
    """
    return _UNREADABLE.search(answer) is not None


@lru_cache(maxsize=8192)
def _read_measure(answer: str) -> tuple[Measure, Form]:
    exact, approximate, rest = answer.partition(r"\approx")
    if approximate:
        answer = rest.strip() if _NAME.fullmatch(exact) or not exact else exact
    measure = split_unit(answer)
    return measure, read(measure.quantity)


def same(gold: Form, answer: Form) -> bool | None:
    """`decide` for two forms."""
    match gold, answer:
        case Assignment(), Assignment():
            if gold.name == answer.name:
                return same(gold.form, answer.form)
            return None if isinstance(gold.form, Opaque) or isinstance(answer.form, Opaque) else False
        case (Assignment(form=value), other) | (other, Assignment(form=value)):
            equal = same(value, other)
            return None if equal and isinstance(value, Opaque) else equal
        case Number(), Number():
            return _same_number(gold, answer)
        case Words(), Words():
            return True if gold.text == answer.text else (None if gold.plain and answer.plain else False)
        case Matrix(), Matrix():
            shapes = [[len(row) for row in matrix.rows] for matrix in (gold, answer)]
            return shapes[0] == shapes[1] and _all_same(
                [entry for row in gold.rows for entry in row], [entry for row in answer.rows for entry in row]
            )
        case Union(), Union():
            return _same_in_any_order(gold.parts, answer.parts)
        case Items(), Items():
            return _same_items(gold, answer)
        case (Items(brackets="") as several, one) | (one, Items(brackets="") as several):
            verdicts = {same(one, item) for item in several.items}
            return verdicts.pop() if len(verdicts) == 1 else (False if False in verdicts else None)
        case (Words(plain=False), _) | (_, Words(plain=False)):
            return False
        case (Number() | Opaque() | Words() as one, Number() | Opaque() | Words() as other):
            one, other = _formula(one), _formula(other)
            return True if one == other else (False if numerically_different(one, other) else None)
        case (Items() | Matrix() | Union() as several, one) | (one, Items() | Matrix() | Union() as several):
            single = isinstance(several, Items) and len(several.items) < 2
            return None if single or not _is_scalar(one) else False
    return None


def _is_scalar(form: Form) -> bool:
    return isinstance(form, Number) or (isinstance(form, Opaque) and bool(values_of(form.text)))


def _formula(form: Number | Opaque | Words) -> str:
    return form.text if isinstance(form, Opaque | Words) else str(form.value)


def _same_number(gold: Number, answer: Number) -> bool:
    if gold.percent != answer.percent:
        percent, plain = (gold, answer) if gold.percent else (answer, gold)
        return plain.value in (percent.value, percent.value / 100)
    if gold.value == answer.value:
        return True
    places = max(gold.places, answer.places)
    rounded = places >= ROUNDING_PLACES and 0 in (gold.places, answer.places)
    return rounded and abs(gold.value - answer.value) * 10**places < 1 and gold.value * answer.value > 0


def _same_items(gold: Items, answer: Items) -> bool | None:
    unordered = {"", "{}"}
    if gold.brackets in unordered and answer.brackets in unordered:
        gold, answer = _flat(gold, unless=answer), _flat(answer, unless=gold)
        if "" in (gold.brackets, answer.brackets) and any(
            isinstance(item, Words) for item in (*gold.items, *answer.items)
        ):
            return len(gold.items) == len(answer.items) and _all_same(gold.items, answer.items)
        return _same_in_any_order(gold.items, answer.items)
    if gold.brackets in unordered or answer.brackets in unordered:
        return None
    if len(gold.items) != len(answer.items):
        return False
    if gold.brackets != answer.brackets and len(gold.items) == 2:
        return False
    return _all_same(gold.items, answer.items)


def _flat(several: Items, *, unless: Items) -> Items:
    """The list of what its bare lists hold ("p=5, q=2; p=7, q=2"), unless the other list consists of groups too."""
    if any(isinstance(item, Items) for item in unless.items):
        return several
    items = [item.items if isinstance(item, Items) and not item.brackets else (item,) for item in several.items]
    return Items(several.brackets, tuple(chain.from_iterable(items)))


def _all_same(golds: Sequence[Form], answers: Sequence[Form]) -> bool | None:
    verdict: bool | None = True
    for gold, answer in zip(golds, answers, strict=True):
        match same(gold, answer):
            case False:
                return False
            case None:
                verdict = None
    return verdict


def _same_in_any_order(golds: Sequence[Form], answers: Sequence[Form]) -> bool | None:
    """Pair each gold with an unused equal answer. What stays unpaired is decided only if all of it is known."""
    if len(golds) > LONGEST_LIST or len(answers) > LONGEST_LIST:
        return len(golds) == len(answers) and _all_same(golds, answers)
    unused, open_golds = list(answers), []
    for gold in golds:
        partner = next((answer for answer in unused if same(gold, answer)), None)
        if partner is None:
            open_golds.append(gold)
        else:
            unused.remove(partner)
    if not open_golds and not unused:
        return True
    undecided = any(same(gold, answer) is None for gold in open_golds for answer in unused)
    several_in_one = any(isinstance(item, Opaque) and r"\pm" in item.text for item in (*golds, *answers))
    return None if undecided or several_in_one else False
