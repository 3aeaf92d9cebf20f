"""The numbers that everything is judged by: values by hand, by law, and on recorded attempts."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.episode import Grade
from bench.metrics.bootstrap import NUM_RESAMPLES, compare, contrast, estimate, mcnemar
from bench.metrics.episode_metrics import majority_accuracy, num_attempts, pass_at_k, summarise

RIGHT, WRONG = Grade.CORRECT.value, Grade.WRONG.value


def frame(grades: list[tuple[str, ...]], *, seed: int = 0, sample: int = 0) -> pd.DataFrame:
    """One row per problem; `grades` holds those of its attempts."""
    columns = {f"grade_{t + 1}": [row[t] for row in grades] for t in range(len(grades[0]))}
    ids = [f"math/{number:03}" for number in range(len(grades))]
    return pd.DataFrame({"problem_id": ids, "sample": sample, "seed": seed, **columns})


def from_counts(*, fixed: int, broken: int, both: int, neither: int, seed: int = 0) -> pd.DataFrame:
    cases = {(WRONG, RIGHT): fixed, (RIGHT, WRONG): broken, (RIGHT, RIGHT): both, (WRONG, WRONG): neither}
    return frame([case for case, count in cases.items() for _ in range(count)], seed=seed)


def test_the_papers_score_row_follows_from_its_counts() -> None:
    metrics = summarise(from_counts(fixed=29, broken=7, both=293, neither=171))
    five = ("accuracy@t1", "accuracy@t2", "delta", "delta_i_to_c", "delta_c_to_i")
    assert [round(100 * metrics[name], 1) for name in five] == [60.0, 64.4, 4.4, 5.8, 1.4]


@given(st.lists(st.tuples(*[st.sampled_from(list(Grade))] * 3), min_size=1, max_size=40))
def test_accuracy_gain_is_what_was_fixed_minus_what_was_broken(grades: list[tuple[Grade, ...]]) -> None:
    metrics = summarise(frame([tuple(grade.value for grade in row) for row in grades]))
    for mark, before, after in (("", 1, 2), ("@t3", 2, 3)):
        gain = metrics[f"accuracy@t{after}"] - metrics[f"accuracy@t{before}"]
        assert metrics[f"delta{mark}"] == pytest.approx(gain, abs=1e-12)
        flow = metrics[f"delta_i_to_c{mark}"] - metrics[f"delta_c_to_i{mark}"]
        assert metrics[f"delta{mark}"] == pytest.approx(flow, abs=1e-12)


@given(st.permutations(range(12)), st.integers(0, 2**31))
def test_the_order_of_rows_changes_nothing(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [tuple(rng.choice([RIGHT, WRONG], 2)) for _ in range(12)]
    episodes = frame(rows)
    assert summarise(episodes.iloc[order]) == pytest.approx(summarise(episodes))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("humaneval", (85.4, 90.2, 4.9, 6.7, 1.8)), ("mbpp", (81.6, 78.3, -3.3, 3.8, 7.1))],
)
def test_recorded_attempts_give_their_known_metrics(shared_data: Path, name: str, expected: tuple[float, ...]) -> None:
    lines = (shared_data / "attempts" / f"{name}_two_attempts_gpt4.jsonl").read_text(encoding="utf-8").splitlines()
    passed = [json.loads(line)["passed"] for line in lines]
    metrics = summarise(frame([tuple(RIGHT if ok else WRONG for ok in row) for row in passed]))
    five = ("accuracy@t1", "accuracy@t2", "delta", "delta_i_to_c", "delta_c_to_i")
    assert tuple(round(100 * metrics[metric], 1) for metric in five) == expected


def test_rates_tokens_and_edits_are_means_over_all_episodes() -> None:
    episodes = frame([(RIGHT, WRONG), (Grade.NO_ANSWER.value, Grade.TIMEOUT.value)]).assign(
        truncated_1=[False, True], tokens_2=[10, 20], edit_indel_2=[0.0, 0.5], changed_2=[True, False]
    )
    metrics = summarise(episodes)
    assert metrics["no_answer_rate@t1"] == metrics["timeout_rate@t2"] == metrics["truncation_rate@t1"] == 0.5
    assert (metrics["tokens@t2"], metrics["edit_indel@t2"], metrics["answer_change_rate"]) == (15, 0.25, 0.5)


def test_a_column_known_for_some_episodes_only_is_refused() -> None:
    episodes = frame([(RIGHT, WRONG), (RIGHT, RIGHT)]).assign(edit_indel_2=[0.1, float("nan")])
    with pytest.raises(ValueError, match="edit_indel@t2 is not known for every episode"):
        summarise(episodes)


def test_a_duplicate_problem_is_refused_by_name() -> None:
    episodes = frame([(RIGHT, WRONG), (RIGHT, RIGHT)])
    with pytest.raises(ValueError, match=r"seed 0 has problem math/001, sample 0, twice"):
        summarise(pd.concat([episodes, episodes.iloc[1:]]))


def test_a_problem_that_one_seed_lacks_is_refused_by_name() -> None:
    whole, holed = frame([(RIGHT, WRONG)] * 3, seed=0), frame([(RIGHT, WRONG)] * 3, seed=4).iloc[[0, 2]]
    with pytest.raises(ValueError, match="seed 4 lacks problem math/001"):
        summarise(pd.concat([whole, holed]))


def test_a_sample_that_one_problem_lacks_is_refused_by_name() -> None:
    second = frame([(RIGHT, WRONG)] * 3, sample=1).iloc[:2]
    with pytest.raises(ValueError, match="lacks problem math/002, sample 1"):
        summarise(pd.concat([frame([(RIGHT, WRONG)] * 3), second]))


def test_episodes_with_different_numbers_of_attempts_are_refused_by_name() -> None:
    episodes = frame([(RIGHT, WRONG), (RIGHT, WRONG)])
    episodes.loc[1, "grade_2"] = None
    with pytest.raises(ValueError, match="math/001 has fewer than 2 attempts"):
        num_attempts(episodes)


def test_an_unknown_grade_is_refused() -> None:
    with pytest.raises(ValueError, match="excellent"):
        summarise(frame([("excellent", RIGHT)]))


def test_the_interval_of_a_rate_is_as_wide_as_the_binomial_says() -> None:
    found = estimate(from_counts(fixed=60, broken=40, both=240, neither=160))["accuracy@t2"]
    half_width = 1.96 * np.sqrt(0.6 * 0.4 / 500)
    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx((0.6 - half_width, 0.6 + half_width), abs=0.004)


def test_the_interval_grows_with_the_spread_among_seeds() -> None:
    """Every problem alike within a seed: all spread is among seeds, and S-1 draws give the standard error s/√S."""
    rights = [k % 10 < 4 + k // 20 for k in range(40)]
    seeds = [frame([(RIGHT if right else WRONG,)] * 30, seed=k) for k, right in enumerate(rights)]
    found = estimate(pd.concat(seeds))["accuracy@t1"]
    standard_error = np.std(rights, ddof=1) / np.sqrt(len(rights))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * standard_error, rel=0.15)


def test_of_four_seeds_three_are_drawn() -> None:
    """One of four is right: all of 2 draws are with a chance of 1/16, of 3 with 1/64, which is below 2.5 %."""
    found = estimate(pd.concat([frame([(RIGHT if seed == 3 else WRONG,)] * 5, seed=seed) for seed in range(4)]))
    assert (found["accuracy@t1"].low, found["accuracy@t1"].high) == pytest.approx((0, 2 / 3))


def test_an_interval_is_the_same_whenever_it_is_computed() -> None:
    episodes = pd.concat(
        [from_counts(fixed=5, broken=2, both=6 + seed, neither=7 - seed, seed=seed) for seed in range(3)]
    )
    assert estimate(episodes) == estimate(episodes)
    assert compare(episodes, episodes) == compare(episodes, episodes)


def test_lengths_that_are_all_equal_have_no_bound_to_be_near() -> None:
    same = frame([(RIGHT,)] * 4).assign(tokens_1=7, grading_seconds_1=2.0)
    for name, value in (("tokens@t1", 7), ("grading_seconds@t1", 2)):
        found = estimate(same)[name]
        assert (found.value, found.low, found.high) == (value, value, value)
        difference = contrast([(1.0, same), (-0.5, same)])[name].difference
        assert (difference.low, difference.high) == (value / 2, value / 2)


def test_seeds_that_agree_say_no_more_than_one_of_them() -> None:
    counts = {"fixed": 30, "broken": 20, "both": 120, "neither": 80}
    one = estimate(from_counts(**counts))["delta"]
    three = estimate(pd.concat([from_counts(**counts, seed=seed) for seed in range(3)]))["delta"]
    assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=0.006)


def test_an_event_never_seen_is_not_certain_never_to_happen() -> None:
    estimates = estimate(from_counts(fixed=0, broken=0, both=500, neither=0))
    bound = 1 - 0.025 ** (1 / 500)  # Clopper and Pearson
    assert (estimates["delta_c_to_i"].low, estimates["delta_c_to_i"].high) == pytest.approx((0, bound))
    assert (estimates["accuracy@t1"].low, estimates["accuracy@t1"].high) == pytest.approx((1 - bound, 1))
    assert (estimates["delta"].low, estimates["delta"].high) == pytest.approx((-bound, bound))


@given(st.lists(st.tuples(*[st.sampled_from([RIGHT, WRONG])] * 2), min_size=1, max_size=6))
def test_every_interval_is_finite_and_holds_its_estimate(grades: list[tuple[str, ...]]) -> None:
    for found in estimate(frame(grades)).values():
        assert found.low <= found.value <= found.high


def test_a_method_compared_with_itself_does_not_differ() -> None:
    episodes = from_counts(fixed=10, broken=5, both=20, neither=15)
    comparison = compare(episodes, episodes)["accuracy@t2"]
    assert comparison.difference.value == 0
    assert comparison.difference.low < 0 < comparison.difference.high
    assert comparison.p_value == 1


def test_a_paired_interval_is_narrower_than_unpaired_ones_where_methods_fail_alike() -> None:
    left = from_counts(fixed=20, broken=0, both=100, neither=80)
    right = frame(list(zip(left["grade_1"], left["grade_1"], strict=True)))
    paired = compare(left, right)["accuracy@t2"]
    assert paired.difference.value == pytest.approx(0.1)
    assert paired.p_value < 0.01
    single = estimate(left)["accuracy@t2"]
    assert paired.difference.high - paired.difference.low < single.high - single.low


def test_a_contrast_weighs_its_terms_on_the_same_problems() -> None:
    left = from_counts(fixed=20, broken=0, both=100, neither=80)
    right = frame(list(zip(left["grade_1"], left["grade_1"], strict=True)))
    combined = contrast([(1.0, left), (-0.5, right)])["accuracy@t2"].difference
    assert combined.value == pytest.approx(0.6 - 0.5 * 0.5)
    whole = contrast([(1.0, left), (0.5, left), (-1.5, left)])["accuracy@t2"]
    assert (whole.difference.value, whole.p_value) == (pytest.approx(0), 1)


def test_the_smallest_p_value_is_two_of_the_resamples_and_the_data_themselves() -> None:
    always, never = frame([(RIGHT,)] * 5), frame([(WRONG,)] * 5)
    for left, right in ((always, never), (never, always)):
        assert compare(left, right)["accuracy@t1"].p_value == pytest.approx(2 / (1 + NUM_RESAMPLES))


def test_methods_are_compared_in_the_metrics_that_both_have() -> None:
    plain = frame([(RIGHT, WRONG), (WRONG, RIGHT)])
    longer, shorter = plain.assign(tokens_1=[3, 4], truncated_2=[True, False]), plain.assign(truncated_2=[False, False])
    common = set(estimate(plain)) | {"truncation_rate@t2"}
    for left, right in ((longer, shorter), (shorter, longer)):
        assert set(compare(left, right)) == common
    found = compare(longer, shorter)
    assert found["truncation_rate@t2"].difference.value == 0.5
    assert found["accuracy@t1"].difference.value == 0


def test_a_contrast_of_one_method_is_its_estimate() -> None:
    episodes = pd.concat([from_counts(fixed=20, broken=5, both=100, neither=80, seed=seed) for seed in range(3)])
    alone = contrast([(1.0, episodes)])
    assert {name: found.difference for name, found in alone.items()} == estimate(episodes)


def test_a_contrast_without_any_spread_is_bounded_by_the_weights_of_its_terms() -> None:
    never = from_counts(fixed=0, broken=0, both=0, neither=200)
    bound = 1 - 0.025 ** (1 / 200)
    combined = contrast([(1.0, never), (-0.5, never)])["accuracy@t2"].difference
    assert (combined.low, combined.high) == pytest.approx((-0.5 * bound, bound))


def test_a_comparison_on_different_problems_is_refused_by_name() -> None:
    left, right = frame([(RIGHT, WRONG)] * 3), frame([(RIGHT, WRONG)] * 4)
    with pytest.raises(ValueError, match="same problems; 1 are not in both, as math/003"):
        compare(left, right)


def test_mcnemar_counts_the_problems_that_only_one_has_correct() -> None:
    left = from_counts(fixed=11, broken=3, both=137, neither=13)
    right = frame([(second, first) for first, second in zip(left["grade_1"], left["grade_2"], strict=True)])
    test = mcnemar(left, right, attempt=2)
    assert (test.only_left, test.only_right) == (11, 3)
    assert test.p_value == pytest.approx(0.057373, abs=1e-6)  # 2 · P(Binomial(14, ½) ≤ 3) = 940 / 2^14
    assert mcnemar(left, left, attempt=2).p_value == 1


def test_mcnemar_refuses_several_seeds() -> None:
    episodes = pd.concat([frame([(RIGHT, WRONG)], seed=seed) for seed in (0, 1)])
    with pytest.raises(ValueError, match="one run with one sample per problem"):
        mcnemar(episodes, episodes, attempt=2)


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_all_draws_that_hold_a_correct_sample(num_samples: int, data: st.DataObject) -> None:
    num_correct, k = data.draw(st.integers(0, num_samples)), data.draw(st.integers(1, num_samples))
    draws = list(combinations(range(num_samples), k))
    share = np.mean([min(draw) < num_correct for draw in draws])
    found = pass_at_k(num_samples=num_samples, num_correct=num_correct, k=k)
    assert found == pytest.approx(share)
    assert type(found) is float


@given(st.integers(2, 50), st.data())
def test_pass_at_k_never_falls_with_k(num_samples: int, data: st.DataObject) -> None:
    num_correct = data.draw(st.integers(0, num_samples))
    curve = [pass_at_k(num_samples=num_samples, num_correct=num_correct, k=k) for k in range(1, num_samples + 1)]
    assert all(after >= before - 1e-12 for before, after in pairwise(curve))


def test_pass_at_k_refuses_more_draws_than_samples() -> None:
    with pytest.raises(ValueError, match="pass@5 needs k between 1 and the number of samples, which is 4"):
        pass_at_k(num_samples=4, num_correct=1, k=5)


def test_the_majority_answer_is_graded_and_the_earliest_wins_a_tie() -> None:
    votes = {"a": ["7", "4", "4"], "b": ["7", "4", "7"], "c": [None, None, "4"], "d": ["9", "4", None], "e": [None] * 3}
    rows = [
        {"problem_id": problem, "sample": sample, "answer_1": answer, "grade_1": RIGHT if answer == "4" else WRONG}
        for problem, answers in votes.items()
        for sample, answer in enumerate(answers)
    ]
    assert majority_accuracy(pd.DataFrame(rows), attempt=1) == pytest.approx(2 / 5)  # a and c
