"""The adaptive β2: how strongly Stage I holds attempts to the base model, in proportion to what it pays for the last.

The paper offers, as an option, a coefficient that balances the first attempt's divergence against the second attempt's
objective, and says no more. Here the coefficient is scaled by the ratio of the two, both averaged over the
latest steps, so that β2 says how much of the reward the divergence costs: with β2 = 0.5 half of it, at any scale.
"""

from dataclasses import dataclass

from bench.training.advantages import Row

EMA_DECAY = 0.9  # weight of the past in both moving averages
MAX_SCALE = 10.0  # the scale stays between 1/10 and 10: at first there is no divergence, and its ratio is no number


@dataclass(slots=True)
class AdaptiveKLCoef:
    """Running averages of a stage. `num_anchored` attempts, from the first on, have their coefficients scaled."""

    num_anchored: int = 0
    reward: float = 0.0  # of the last attempt
    divergence: float = 0.0  # nats per episode, mean of the anchored attempts
    steps: int = 0

    @property
    def scale(self) -> float:
        """What the anchored attempts' coefficients are multiplied by at the next step; 1 before the first."""
        if not self.num_anchored or not self.steps:
            return 1.0
        ratio = self.reward / self.divergence if self.divergence > 0 else MAX_SCALE
        return min(max(ratio, 1 / MAX_SCALE), MAX_SCALE)

    def coefficients(self, kl: Row) -> Row:
        return (*(value * self.scale for value in kl[: self.num_anchored]), *kl[self.num_anchored :])

    def observe(self, *, reward: float, divergences: Row) -> None:
        """`divergences` are of all attempts, as the learner measured them at this step."""
        if not self.num_anchored:
            return
        # Estimates from samples (k1) may be negative, a divergence is not.
        divergence = max(0.0, sum(divergences[: self.num_anchored]) / self.num_anchored)
        past = EMA_DECAY if self.steps else 0.0
        self.reward = past * self.reward + (1 - past) * reward
        self.divergence = past * self.divergence + (1 - past) * divergence
        self.steps += 1
