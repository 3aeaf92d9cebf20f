"""What a method's training is made of, as data: a list of stages, each reinforcement learning or imitation.

A stage says what is sampled, what it earns or which of it is imitated, and where the weights start. It holds functions
and numbers and no model: `bench.training.run_stages` runs it, and a dry run prints it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.episode import Episode
from bench.training.advantages import Row

BASE, PREVIOUS = "base", "previous"  # what an imitation may start from, beside the name of an earlier stage

# From a problem's conversations, or those of several problems side by side, and the run's seed, to what is imitated.
Choose = Callable[[Sequence[Episode], int], Sequence[Episode]]


@dataclass(frozen=True, kw_only=True)
class Reinforce:
    """On-policy: sample, reward, step. Starts from the weights that the stage before it ended with."""

    name: str
    num_steps: int  # 0: the stage is left out
    # From a conversation to what each reply earned, a bonus included and KL excluded. Their sum is what the rule
    # `best_reward` compares checkpoints by.
    reward: Callable[[Episode], Row]
    kl_coefs: Row  # per reply; the last one holds for all that follow
    num_attempts: int = 2
    discount: float = 0.0  # of later rewards in a reply's return; the paper's is 0
    num_kl_anchored: int = 0  # of the first replies' coefficients, scaled as training goes (AdaptiveKLCoef)
    prefilled_fraction: float = 0.0  # of first attempts: sampled from the base model before training, not on-policy
    # What advantages are made of instead of `reward`: the same expected gradient at discount 0 with less noise.
    advantage_reward: Callable[[Episode], Row] | None = None


@dataclass(frozen=True, kw_only=True)
class Imitate:
    """Sample from the newest weights, choose, and fit the chosen conversations: maximum likelihood, no KL."""

    name: str
    num_conversations: int  # over all training problems
    choose: Choose
    advantages: Callable[[Episode], Row]  # per reply: 1 to imitate it, 0 not to
    num_attempts: int = 2
    start_from: str = PREVIOUS  # whose weights are fitted: BASE, PREVIOUS or the name of an earlier stage
    num_updates: int | None = None  # None: as many as training.sft.num_epochs make
    sampling_seed_key: str | None = None  # None: the name
    probes_corrections: bool = False  # measure corrections of fixed and of own first attempts on the way (Figure 5)

    @property
    def seed_key(self) -> str:
        """What seeds the sampling, with the run's seed."""
        return self.sampling_seed_key or self.name


Stage = Reinforce | Imitate


def check_stages(stages: Sequence[Stage]) -> None:
    """Raise ValueError for two stages of one name, and for a start from a stage that does not come before."""
    earlier = {BASE, PREVIOUS}
    for stage in stages:
        if stage.name in earlier:
            raise ValueError(f"two stages are called {stage.name!r}, or one has a reserved name ({BASE}, {PREVIOUS})")
        if isinstance(stage, Imitate) and stage.start_from not in earlier:
            raise ValueError(f"stage {stage.name!r} starts from {stage.start_from!r}, which is no stage before it")
        earlier.add(stage.name)
