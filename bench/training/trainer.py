"""What every stage of training works with."""

from dataclasses import dataclass

from bench.models.interface import Policy
from bench.rollout import NextTurn, RolloutWorker
from bench.runs.folder import Run
from bench.training.config import Training


@dataclass
class Trainer:
    policy: Policy
    rollouts: RolloutWorker
    run: Run
    config: Training
    next_turn: NextTurn  # what the user says in the conversations that are sampled
