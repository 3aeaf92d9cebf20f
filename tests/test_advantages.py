"""From rewards to weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.training.advantages import last_attempt_reward, leave_one_out, progress_reward, returns
from bench.training.reinforce import Stage, assign
from tests.made_episodes import episode

rewards = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=4).map(tuple)
groups = st.integers(2, 4).flatmap(
    lambda attempts: st.lists(
        st.lists(st.sampled_from([0.0, 1.0]), min_size=attempts, max_size=attempts).map(tuple), min_size=2, max_size=9
    )
)


@pytest.mark.parametrize(
    ("first", "second", "earned"), [(0.0, 0.0, 0.0), (0.0, 1.0, 11.0), (1.0, 1.0, 1.0), (1.0, 0.0, -10.0)]
)
def test_the_four_cases_of_the_bonus_are_the_papers(first, second, earned):
    assert progress_reward((first, second), alpha=10.0) == (first, earned)


@given(rewards, st.floats(0, 20), st.floats(0, 20))
def test_the_bonus_never_reaches_the_first_attempt(row, alpha, other_alpha):
    first = returns(progress_reward(row, alpha=alpha), discount=0.0)[0]
    assert first == returns(progress_reward(row, alpha=other_alpha), discount=0.0)[0] == row[0]


@given(rewards)
def test_stage_one_rewards_nothing_but_the_last_attempt(row):
    assert last_attempt_reward(row) == (0.0,) * (len(row) - 1) + (row[-1],)


@given(groups)
def test_the_advantages_of_a_group_sum_to_zero_for_every_attempt(group):
    for column in zip(*leave_one_out(group), strict=True):
        assert sum(column) == pytest.approx(0)


@given(groups)
def test_a_baseline_is_the_mean_of_the_other_samples(group):
    advantages = leave_one_out(group)
    for index, row in enumerate(group):
        others = [other for place, other in enumerate(group) if place != index]
        for attempt, value in enumerate(row):
            baseline = sum(other[attempt] for other in others) / len(others)
            assert advantages[index][attempt] == pytest.approx(value - baseline)


def test_one_sample_has_no_others_and_is_refused():
    with pytest.raises(ValueError, match="at least two samples"):
        leave_one_out([(1.0, 0.0)])


@given(rewards)
def test_without_discount_an_attempt_answers_for_its_own_reward_alone(row):
    assert returns(row, discount=0.0) == row


def test_with_discount_later_rewards_reach_earlier_attempts():
    assert returns((0.0, 1.0, 1.0), discount=0.5) == (0.75, 1.5, 1.0)


def test_credits_compare_samples_of_one_problem_and_of_no_other():
    played = [episode((0, 1), problem="a"), episode((1, 1), problem="a", sample=1)]
    played += [episode((1, 0), problem="b"), episode((1, 0), problem="b", sample=1)]
    stage = Stage("s", num_steps=1, next_turn=ASK_AGAIN, num_attempts=1, reward=lambda row: progress_reward(row, alpha=10.0), kl=(0.1, 0.01))
    credits = assign(played, stage, samples=2)
    assert [credit.advantages for credit in credits] == [(-1.0, 10.0), (1.0, -10.0), (0.0, 0.0), (0.0, 0.0)]
    assert {credit.kl_coefs for credit in credits} == {(0.1, 0.01)}
