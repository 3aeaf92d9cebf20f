"""When two answers are the same: the rules that bench/grading/answers/equivalence.py writes down, and its tiers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.grading.answers.equivalence import decide
from bench.grading.answers.normalise import normalise
from bench.grading.answers.numeric import numerically_different
from bench.grading.answers.string_match import same_string

SPACES = [r"\,", r"\;", r"\:", r"\>", r"\thinspace ", "~"]

EQUAL = {
    "typography": [
        (r"\frac{1}{2}", r"\dfrac12"), (r"\frac 34", r"\tfrac{3}{4}"), (r"\sqrt2", r"\sqrt{2}"), ("5", " $5$. "),
        (r"\left( 1, 2 \right)", "(1,2)"), (r"5 \, \text{cm}", r"5\text{ cm}"), (r"12 \pi", "12\u03c0"),
        (r"x^{2}", "x^2"), (r"\text{E}", r"\mathrm{E}"), ("**5**", "5"),
    ],
    "numbers": [
        ("5", "5.0"), (".5", "0.5"), (r"\frac{1}{2}", "0.5"), ("1/2", r"\frac{2}{4}"),
        (r"-\frac{1}{2}", r"\frac{-1}{2}"),
        ("1,000", "1000"), ("10{,}000", "10000"), ("1 000", "1000"), (r"1\,000", "1000"), (r"1\ 000", "1000"),
        (r"1\,234.567\,89", "1234.56789"), (r"\frac{1\,000}{3}", r"\frac{1000}{3}"), (r"1 \, 000", "1000"),
        (r"(1,200\,000)", "(1,200000)"), ("1\u2009000", "1000"),
        ("12\u202f345\u202f678", "12345678"), ("1 000.5", "1000.5"), ("-1 000", "-1000"),
        (r"900,\!000", "900000"), (r"9\times 10^8", "900000000"),
        (r"0.1\overline{6}", "1/6"), (r"\mbox{four}", "4"), (r"\$5", "5"), (r"48^\circ", "48"),
    ],
    "mixed numbers": [
        (r"2\frac{1}{3}", r"\frac{7}{3}"), ("2 1/3", "7/3"), (r"2\,1/3", "7/3"),
        (r"-1\frac{1}{2}", "-1.5"),
    ],
    "percent": [(r"10\%", "10"), ("10", r"10\%"), (r"25\%", "0.25"), ("28 percent", r"28\%")],
    "decimals of six places": [("1/3", "0.333333"), ("2/3", "0.666666"), ("2/3", "0.666667")],
    "units": [
        (r"125\text{ miles}", "125"), ("5", "5 feet"), (r"5\text{ ft}", "5 feet"), (r"12\text{ cm}^2", "12"),
        (r"25\text{\,km}", r"25\text{ km}"), (r"\text{25\,km}", r"25\text{ km}"),
        (r"\frac{68}{3}\text{ pounds}", r"\frac{68}{3}"), (r"8\sqrt{3}\text{ square inches}", r"8\sqrt3"),
    ],
    "names": [("5", "x=5"), ("x = 5", "5"), ("x=5", "x = 5.0"), (r"x \in [-2,7]", "[-2,7]"), ("(x,y)=(1,2)", "(1,2)")],
    "order of a bare list": [
        ("10,4,-2", "4,10,-2"), (r"2 \text{ or } 3", "3, 2"), ("1, 2 and 3", "3,2,1"), (r"\text{A,B}", "B, A"),
        ("1,2", r"\{2,1\}"), ("x=1, y=2", "2, 1"),
        ("p=5, q=2; p=7, q=2", r"p=5, q=2 \quad\text{and}\quad p=7, q=2"),
    ],
    "intervals": [(r"(-\infty, 2]", r"(-\infty,2.0]"), (r"(-\infty,0)\cup(1,2)", r"(1,2)\cup (-\infty,0)")],
    "matrices": [(r"\begin{pmatrix} 1 \\ 1/2 \end{pmatrix}", r"\begin{bmatrix}1\\0.5\end{bmatrix}")],
    "words": [(r"\text{Even}", "even"), (r"\text{(C)}", "C"), (r"\text{4:30 p.m.}", r"4:30 \text{ PM}")],
    "bases": [("4130_5", "4130_{5}"), ("4130_5", "x = 4130_5")],
    "semicolons": [("(1,2);(3,4)", "(3,4), (1,2)")],
    "chains and repetition": [(r"\frac{\sqrt3}{3} \approx 0.577", r"\frac{\sqrt{3}}{3}"), ("5", r"5 \text{ or } 5.0")],
}  # fmt: skip

DIFFERENT = {
    "numbers": [("5", "5.001"), ("5", "-5"), ("1/2", "1/3"), ("1", "1.0000001"), ("0", "0.0000001"), ("10%", "0.1%")],
    "rounded decimals": [("1/3", "0.33"), ("1/3", "0.33333"), ("10000", "9999.857142857143")],
    "units": [(r"80\text{ cents}", r"80\text{ dollars}"), ("5 feet", "5 inches")],
    "names": [("x=5", "y=5"), ("x=5", "6")],
    "lists": [("1,2,3", "1"), ("1,2,3", "1,2,3,3"), ("1,1,2", "1,2"), ("4,12,2", "10,4,2")],
    "order in brackets": [("(1,2)", "(2,1)"), ("(1,2,3)", "(1,3,2)")],
    "order of words": [(r"\text{Softball, Kickball}", r"\text{Kickball, Softball}")],
    "intervals": [("[0,1)", "(0,1)"), ("[0,1]", "[0,2]"), (r"(0,1)\cup(2,3)", r"(0,1)\cup(2,4)")],
    "matrices": [(r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}")],
    "words": [(r"\text{even}", "odd"), (r"\text{two lines}", "2")],
    "time of day": [(r"\text{4:30 p.m.}", "4:30"), (r"9\text{ a.m.}", "9"), (r"9\text{ a.m.}", r"9\text{ p.m.}")],
    "formulas": [("x+1", "x+2"), (r"\sqrt{2}", r"\sqrt{3}"), (r"2\pi", "6.28"), ("y=x+1", "x+2"), ("(1,2)", "x+1")],
    "bases": [("4130_5", "4130"), ("4130_5", "540"), ("4130_5", "4130_6")],
}

ONLY_ALGEBRA_KNOWS = [
    ("(x+1)^2", "x^2+2x+1"), (r"11\sqrt{2}", r"\sqrt{242}"), ("y=2x", "2x"), (r"\pm 2", "2,-2"), ("0,111", "0.111"),
    (r"x \ge 5", r"[5,\infty)"), ("(1,3)", "{1,3}"), ("C", "c"), ("y=2x", "x=y/2"), (r"\sin x", r"\cos x"),
    ("p=5, q=2; p=7, q=2", "(5,2),(7,2)"), *(("12", f"1{space}2") for space in (*SPACES, r"\,\,", r"\ ", r"\quad ")),
]  # fmt: skip


def pairs(table):
    return [pytest.param(*pair, id=f"{rule}: {pair}") for rule, several in table.items() for pair in several]


@pytest.mark.parametrize(("gold", "answer"), pairs(EQUAL))
def test_these_are_the_same_whichever_is_the_gold(gold, answer):
    assert decide(normalise(gold), normalise(answer)) is True
    assert decide(normalise(answer), normalise(gold)) is True


@pytest.mark.parametrize(("gold", "answer"), pairs(DIFFERENT))
def test_these_differ_whichever_is_the_gold(gold, answer):
    assert decide(normalise(gold), normalise(answer)) is False
    assert decide(normalise(answer), normalise(gold)) is False


@pytest.mark.parametrize(("gold", "answer"), ONLY_ALGEBRA_KNOWS)
def test_what_needs_algebra_is_left_to_algebra(gold, answer):
    assert decide(normalise(gold), normalise(answer)) is None


def test_nothing_is_not_equal_to_nothing():
    assert decide("", "") is False


PIECES = [
    *("1", "2", "07", "1.5", "1/2", ",", ";", "(", ")", "[", "]", "{", "}", r"\{", r"\}", "x", "=", "-", "+", "^", "_"),
    *(r"\frac", r"\sqrt", r"\cup", r"\infty", r"\text{cm}", r"\text{ and }", r"\begin{pmatrix}", r"\end{pmatrix}", "&"),
    *(
        r"\\",
        "%",
        r"\%",
        r"\approx",
        r"\in",
        r"\pm",
        " ",
        "$",
        r"\left",
        r"\right",
        r"\overline{3}",
        "pm",
        "p.m.",
        "or",
    ),
]
answers = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)


@given(answers, answers)
def test_the_cheap_tiers_do_not_care_which_side_is_the_gold(one, other):
    one, other = normalise(one), normalise(other)
    assert decide(one, other) == decide(other, one)


@given(answers)
def test_every_answer_equals_itself(answer):
    assert decide(normalise(answer), normalise(answer)) is bool(normalise(answer))


@given(st.fractions(), st.fractions())
def test_fractions_are_compared_exactly(one, other):
    spelled = rf"\frac{{{other.numerator}}}{{{other.denominator}}}"
    assert decide(normalise(f"{one.numerator}/{one.denominator}"), normalise(spelled)) is (one == other)


terms = st.recursive(
    st.sampled_from(["x", "y", "2", "3.5", r"\pi", "7"]),
    lambda inner: st.builds(
        lambda shape, one, other: shape.replace("A", one).replace("B", other),
        st.sampled_from(["(A+B)", "(A-B)", r"A \cdot B", r"\frac{A}{B}", r"\sqrt{A}", "(A)^2", "(A)(B)"]),
        inner,
        inner,
    ),
    max_leaves=6,
)


@given(terms, terms, terms)
def test_equal_formulas_are_never_taken_for_different_ones(a, b, c):
    for one, other in [
        (f"({a})(({b})+({c}))", f"({b})({a})+({a})({c})"),
        (f"(({a})+({b}))^2", rf"({a})^2+2({a})({b})+({b})\cdot({b})"),
        (rf"\frac{{{a}}}{{2}}-({b})", rf"-({b})+0.5\cdot({a})"),
    ]:
        assert not numerically_different(normalise(one), normalise(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [("-2", r"\sqrt[3]{-8}"), ("x", "2k_1"), ("1", "9^{9^{9^9}}"), ("1", r"2\frac{1}{3}x"), ("1", "1/0")],
)
def test_what_floating_point_cannot_tell_is_not_told(one, other):
    assert not numerically_different(normalise(one), normalise(other))


@given(st.lists(st.integers(-999, 999), min_size=2, max_size=6, unique=True), st.randoms())
def test_a_bare_list_may_be_shuffled_and_a_tuple_may_not(numbers, random):
    shuffled = list(numbers)
    random.shuffle(shuffled)
    one, other = "; ".join(map(str, numbers)), "; ".join(map(str, shuffled))
    assert decide(normalise(one), normalise(other)) is True
    assert decide(normalise(f"({one})"), normalise(f"({other})")) is (numbers == shuffled)


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        (r"\frac{1}{2}", r"\dfrac12", True), ("1/2", r"\frac{1}{2}", True), ("0.5", r"\frac12", True),
        (r"10\%", "10", True), (r"10\text{ units}", "10 ", True), ("x = 5", "5", True), (r"\sqrt3", r"\sqrt{3}", True),
        (r"90^\circ", "90", True), (".5", r"\frac{1}{2}", True), (r"\left(1,2\right)", "(1, 2)", True),
        ("0.25", "1/4", False), ("10,4,-2", "4,10,-2", False), ("5.0", "5", False), ("1000", "1,000", False),
    ],
)  # fmt: skip
def test_the_string_match_of_the_math_paper_knows_typography_only(gold, answer, same):
    assert same_string(gold, answer) is same


def test_rules_do_not_overlap():
    equal, different = (set(itertools.chain(*table.values())) for table in (EQUAL, DIFFERENT))
    assert not equal & different


def test_the_string_match_reads_an_answer_between_dollars():
    assert same_string("12", "$12$")
    assert same_string(r"\frac{1}{2}", r" $\frac{1}{2}$ ")
    assert not same_string("12", "$1$ or $2$")


@given(st.integers(1000, 10**15), st.sampled_from([*SPACES, " ", "\\ ", "\u2009", "\u202f", "\u00a0", "{,}", ","]))
def test_any_spacing_of_thousands_is_the_number(number, space):
    assert normalise(f"{number:,}".replace(",", space)).replace(",", "") == str(number)


@pytest.mark.parametrize("space", SPACES)
def test_a_space_of_latex_that_divides_digits_which_are_no_thousands_stays_a_space(space):
    for spaced in ("1_2", "1_00", "1_0000", "1000_000", "x^2_100", "3.14_15", "1_2_3"):
        assert normalise(spaced.replace("_", space)) == spaced.replace("_", " "), spaced


@pytest.mark.parametrize("text", ["1 2", "1 00", "1 0000", "1000 000", "2 125/8", "x^2 100"])
def test_a_space_that_parts_no_thousands_stays(text):
    assert normalise(text).count(" ") == text.count(" ")
