"""A method of one's own, in a file of its own: it revises only where its own verification says "wrong"."""

from dataclasses import dataclass
from functools import partial
from typing import cast

from bench.episode import ATTEMPT, Attempt, Dialogue, Episode, Request, Turn
from bench.launch.catalogue import compose_spec
from bench.methods.interface import Method
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.advantages import Row
from bench.training.config import Training
from bench.training.stages import Reinforce, Stage
from tests.made_episodes import Riddles
from tests.test_training_loops import PROBLEMS, Counting, run, trained  # noqa: F401  run is a fixture


@dataclass(kw_only=True)
class Verify(Method):
    """Answer, say whether the answer is right, and answer again only if it is said to be wrong."""

    def stages(self, task: Task, training: Training) -> list[Stage]:  # noqa: ARG002
        return [Reinforce(name="verify", num_steps=training.rl.num_steps, reward=truth, kl_coefs=(training.beta1,))]

    def next_turn(self, task: Task, dialogue: Dialogue) -> Turn | None:
        if dialogue.kinds[-1] == ATTEMPT:
            return Turn("Is it right?", asks_for="verification")
        return Turn(task.correction) if dialogue.texts[-1] == "wrong" else None


def truth(episode: Episode) -> Row:
    """1 for a right attempt, and for a verification that is true of the attempt before it."""
    earned, correct = [], False
    for reply in episode.replies:
        if isinstance(reply, Attempt):
            correct = reply.correct
        earned.append(float(correct if isinstance(reply, Attempt) else (reply.completion.text == "right") == correct))
    return tuple(earned)


def test_a_method_may_revise_only_where_it_judged_itself_wrong_and_be_rewarded_for_the_judgement(run: Run):  # noqa: F811
    def answer(_: int, request: Request) -> str:
        return "wrong" if request.turn == 1 and request.sample else "right"

    policy, method, task = Counting(answer), Verify(), cast(Task, Riddles(PROBLEMS))
    config = compose_spec(["training=paper", "training.rl.num_steps=1"]).experiment.training
    trained(run, policy, method.stages(task, config), next_turn=partial(method.next_turn, task))
    ((_, samples),) = policy.updates
    kept, revised = samples[:2]
    assert kept.episode.labels == ("t1", "verification1")
    assert revised.episode.labels == ("t1", "verification1", "t2")
    assert (kept.advantages, revised.advantages) == ((0.0, 1.0), (0.0, -1.0, 1.0))
    assert (kept.kl_coefs, revised.kl_coefs) == ((0.01,) * 2, (0.01,) * 3)
