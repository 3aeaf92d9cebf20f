"""How methods, metrics, test sets and numbers are labelled and ordered."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MethodStyle:
    label: str
    colour: str


# The order of tables and panels. Colours are Okabe and Ito's, which the colour-blind tell apart, one hue per family:
# darker means "+", and ablations share a hue, because they are always labelled directly.
METHODS = {
    "base": MethodStyle("Base", "#767676"),
    "self_refine": MethodStyle("Self-Refine", "#333333"),
    "star": MethodStyle("STaR (D)", "#E69F00"),
    "star_plus": MethodStyle("STaR (D+)", "#A87400"),
    "pair_sft": MethodStyle("Pair-SFT (D)", "#009E73"),
    "pair_sft_plus": MethodStyle("Pair-SFT (D+)", "#006B4F"),
    "single_turn_rl": MethodStyle("Single-turn RL (SCoRe w/o multi-turn training)", "#56B4E9"),
    "multi_turn_rl": MethodStyle("Multi-turn RL", "#CC79A7"),
    "score": MethodStyle("SCoRe", "#D55E00"),
    "score_stage1": MethodStyle("SCoRe, Stage I alone", "#0072B2"),
    "score_wo_stage1": MethodStyle("SCoRe w/o Stage I", "#0072B2"),
    "score_wo_reward_shaping": MethodStyle("SCoRe w/o reward shaping", "#0072B2"),
    "score_star_stage2": MethodStyle("SCoRe, STaR in Stage II", "#0072B2"),
    "score_wo_online_turn1": MethodStyle("SCoRe w/o online first attempts", "#0072B2"),
}
UNKNOWN_COLOUR = "#7A5195"
FIXED_COLOUR, BROKEN_COLOUR = "#0072B2", "#D55E00"  # wrong then right; right then wrong
FIRST_COLOUR, SECOND_COLOUR = "#767676", "#0072B2"  # attempts 1 and 2 in one panel
QUIET = "#767676"

MINUS = "\N{MINUS SIGN}"
NOT_PRINTED = "\N{EN DASH}"  # where the paper gives a row but not this number

METRIC_LABELS = {
    "accuracy_t1": "Accuracy@t1",
    "accuracy_t2": "Accuracy@t2",
    "delta": "Δ",
    "delta_i_to_c": "Δ i→c",
    "delta_c_to_i": "Δ c→i",
}
METRICS = {column: column.replace("_t", "@t") if "accuracy" in column else column for column in METRIC_LABELS}


def method_style(method: str) -> MethodStyle:
    """A method that this file does not know is labelled by its name: `my_method` is "My method"."""
    words = method.replace("_", " ")
    return METHODS.get(method) or MethodStyle(words[:1].upper() + words[1:], UNKNOWN_COLOUR)


def method_order(method: str) -> tuple[int, str]:
    """Sort key: the known methods in the order above, then the others by name."""
    known = list(METHODS)
    return (known.index(method) if method in METHODS else len(known), method)


TEST_SETS = {  # what each task is tested on in full
    "math": (500, "MATH500's 500 problems"),
    "mbpp": (500, "MBPP's 500 test problems"),
    "humaneval": (164, "HumanEval's 164 problems"),
}


def problems_label(task: str, *, split: str, num_problems: int) -> str:
    """What the problems are where they are not the whole test set; empty where they are, and for a generated task."""
    size, whole = TEST_SETS.get(task, (0, ""))
    if split != "test":
        return f"{num_problems} problems of the {split} split"
    return f"{num_problems} of {whole}" if num_problems < size else ""


def show_number(value: float, digits: int = 1) -> str:
    """With a true minus sign; what rounds to nothing has no sign."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)
