"""From rewards to weights."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.training.advantages import last_attempt_reward, leave_one_out, per_attempt, progress_reward, returns
from bench.training.reinforce import training_samples
from bench.training.stages import Reinforce
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


def test_advantages_compare_samples_of_one_problem_and_of_no_other():
    sampled = [episode((0, 1), problem="a"), episode((1, 1), problem="a", sample=1)]
    sampled += [episode((1, 0), problem="b"), episode((1, 0), problem="b", sample=1)]
    reward = per_attempt(partial(progress_reward, alpha=10.0))
    stage = Reinforce(name="s", num_steps=1, reward=reward, kl_coefs=(0.1, 0.01))
    samples = training_samples(sampled, stage, group_size=2)
    assert [sample.advantages for sample in samples] == [(-1.0, 10.0), (1.0, -10.0), (0.0, 0.0), (0.0, 0.0)]
    assert {sample.kl_coefs for sample in samples} == {(0.1, 0.01)}


def test_conversations_of_different_lengths_are_compared_reply_by_reply_where_both_have_one():
    sampled = [episode((0, 1)), episode((1,), sample=1), episode((0, 0), sample=2)]
    stage = Reinforce(name="s", num_steps=1, reward=per_attempt(tuple), kl_coefs=(0.1, 0.01))
    samples = training_samples(sampled, stage, group_size=3)
    assert [sample.advantages for sample in samples] == [(-0.5, 1.0), (1.0,), (-0.5, -1.0)]
    assert [sample.kl_coefs for sample in samples] == [(0.1, 0.01), (0.1,), (0.1, 0.01)]


def test_a_reply_that_no_other_sample_has_is_compared_with_nothing():
    assert leave_one_out([(1.0, 3.0), (0.0,)], labels=[("t1", "t2"), ("t1",)]) == [(1.0, 3.0), (-1.0,)]
