"""Updates whose gradient is not finite: skipped and counted, until three in a row say that training has broken."""

import logging

from bench.models.interface import NonFiniteGradientError

_LOG = logging.getLogger(__name__)

MOST_IN_A_ROW = 3


class SkippedUpdates:
    """Counts skipped updates; one that succeeds ends a row."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self.in_a_row = 0

    def reset(self) -> int:
        """How many were skipped just before this one."""
        skipped, self.in_a_row = self.in_a_row, 0
        return skipped

    def add(self, error: NonFiniteGradientError, *, step: int) -> None:
        """Raises ValueError at the third in a row: new samples do not help then."""
        self.in_a_row += 1
        if self.in_a_row == MOST_IN_A_ROW:
            raise ValueError(
                f"{self._stage}, step {step}: {MOST_IN_A_ROW} updates in a row had no finite gradient ({error}); the "
                "weights have left the range that the model computes in: lower the optimizer's learning_rate, or use "
                "model.dtype=float32, under another variant=<name>"
            ) from error
        _LOG.warning("%s, step %d: update skipped, %s", self._stage, step, error)
