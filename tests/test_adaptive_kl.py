"""The adaptive β2: laws of its scale, and that it reaches the learner and a resumed run."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.conduct import conduct
from bench.launch.catalogue import compose_spec
from bench.runs.finished import find_runs, log_of
from bench.training.adaptive_kl import MAX_SCALE, AdaptiveKLCoef

QUICK = ["tracking=none", "task.num_test=2", "training.rl.num_steps=6", "training.rl.problems_per_step=2"]
QUICK += ["training.rl.checkpoint_every=2", "training.stage1_fraction=0.5"]


@given(
    beta2=st.floats(0.01, 10),
    reward=st.floats(0.05, 1),
    ratio=st.floats(0.2, 5),
    steps=st.integers(1, 40),
)
def test_the_anchored_attempts_divergence_costs_beta2_of_the_reward(
    beta2: float, reward: float, ratio: float, steps: int
):
    divergence = reward / ratio
    coef = AdaptiveKLCoef(num_anchored=1)
    for _ in range(steps):
        coef.observe(reward=reward, divergences=(divergence, 7.0))
    anchored, free = coef.coefficients((beta2, 0.01))
    assert anchored * divergence == pytest.approx(beta2 * reward)
    assert free == 0.01


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1e6)), max_size=20))
def test_the_scale_stays_within_its_bounds_whatever_is_observed(seen: list[tuple[float, float]]):
    coef = AdaptiveKLCoef(num_anchored=1)
    for reward, divergence in seen:
        coef.observe(reward=reward, divergences=(divergence, 0.0))
    assert 1 / MAX_SCALE <= coef.scale <= MAX_SCALE


def test_nothing_is_scaled_before_the_first_step_nor_where_nothing_is_anchored():
    assert AdaptiveKLCoef(num_anchored=2).coefficients((0.5, 0.5, 0.1)) == (0.5, 0.5, 0.1)
    idle = AdaptiveKLCoef(num_anchored=0)
    idle.observe(reward=1, divergences=(3.0, 3.0))
    assert idle.coefficients((0.5, 0.1)) == (0.5, 0.1)


def test_stage_1_is_trained_with_the_scaled_coefficient_and_stage_2_is_not(tmp_path: Path):
    weights = {}
    for adaptive in ("true", "false"):
        results = tmp_path / adaptive
        conduct(compose_spec(["method=score", f"method.adaptive_beta2={adaptive}", f"results={results}", *QUICK]))
        (run,) = find_runs(results)
        weights[adaptive] = (run.path / "weights" / "model.safetensors").read_bytes()
        log = log_of(run)
        if adaptive == "true":
            scales = log.set_index(["stage", "step"])["train/kl_scale"]
            assert scales["stage1", 1] == 1
            assert scales["stage1", 2] == MAX_SCALE  # the first step's policy is the base: it has not diverged
            assert scales["stage2"].isna().all()
        else:
            assert "train/kl_scale" not in log
    assert weights["true"] != weights["false"]
