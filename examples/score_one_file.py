"""SCoRe (Kumar et al., arXiv 2409.12917) in one file: reinforcement learning of self-correction, in two stages.

`python examples/score_one_file.py` trains the miniature's model of 102,000 parameters on a CPU in minutes; of the
benchmark it takes the generated problems and the checkpoint alone. Axes, as suffixes: B conversations (P
problems, G samples of each side by side), A attempts (two), L tokens up to an attempt's end, T its own, V vocabulary.
"""

import argparse
import re
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, get_cosine_schedule_with_warmup

from bench.mini import math_world

CHECKPOINT = Path(math_world.__file__).parent / "checkpoint"
FORM = 'in the form "Final Answer: The final answer is $answer$. I hope it is correct."'
PROMPT = f"""You are a math expert. When you respond, respond only with the Solution of the final Problem, \
thinking step by step. At the end of the Solution, when you give your final answer, write it {FORM}\n\nProblem: """
CORRECTION = f"""There might be an error in the solution above because of lack of understanding of the question. \
Please correct the error, if any, and rewrite the solution. Only output the final solution! At the end of the \
Solution, when you give your final answer, write it {FORM}"""
NUM_STEPS, STAGE1_FRACTION, PROBLEMS_PER_STEP, GROUP_SIZE, CHECKPOINT_EVERY = 300, 0.667, 16, 8, 20
LEARNING_RATE, BETAS, MAX_GRAD_NORM = 5e-4, (0.9, 0.95), 1.0
SAMPLED = GenerationConfig(do_sample=True, top_k=0, max_new_tokens=48)  # the whole distribution, so on-policy
GREEDY = GenerationConfig(do_sample=False, max_new_tokens=48)
ALPHA, BETA1, BETA2 = 10.0, 0.05, 0.5
STAGES = {  # from r(y1), r(y2) to the rewards of the two attempts, and the KL coefficients of the two
    # Eq. 3: the second attempt is rewarded, and the first held to the base model by β2.
    "Stage I": (lambda r1_B, r2_B: (0 * r1_B, r2_B), (BETA2, BETA1)),
    # Eq. 4, with the bonus α (r2 − r1) for progress. At discount 0 it goes to the second attempt alone.
    "Stage II": (lambda r1_B, r2_B: (r1_B, r2_B + ALPHA * (r2_B - r1_B)), (BETA1, BETA1)),
}


class Attempt(NamedTuple):
    """The first or the second attempt of every conversation; its T tokens are the last of the L."""

    ids_BL: torch.Tensor  # padded before the prompt, and after the attempt's end of turn
    mask_BL: torch.Tensor  # 1 where there is a token, 0 where there is padding
    mask_BT: torch.Tensor  # the same of the attempt alone
    rewards_B: torch.Tensor  # r(y): 1 where the final answer is right, else 0


@torch.no_grad()
def converse(model, tokenizer, problems: list[math_world.Problem], generation: GenerationConfig) -> list[Attempt]:
    def user_turn(text: str) -> list[int]:  # this chat template renders a later turn as it renders the first
        messages = [{"role": "user", "content": text}]
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)

    attempts, end = [], tokenizer.eos_token_id
    contexts = [user_turn(PROMPT + problem.question) for problem in problems]
    for _ in range(2):
        context = tokenizer.pad({"input_ids": contexts}, return_tensors="pt")
        ids_BL = model.generate(**context, generation_config=generation)
        reply_BT = ids_BL[:, context["input_ids"].shape[1] :]
        mask_BT = ((reply_BT == end).cumsum(1) <= (reply_BT == end)).long()  # up to the end of turn, which is included
        mask_BL = torch.cat([context["attention_mask"], mask_BT], dim=1)
        found = [re.search(r"The final answer is \$(\d+)\$", text) for text in tokenizer.batch_decode(reply_BT)]
        right = [bool(match) and match[1] == problem.gold for match, problem in zip(found, problems, strict=True)]
        attempts.append(Attempt(ids_BL, mask_BL, mask_BT, torch.tensor(right).float()))
        contexts = [ids_L[mask_L == 1].tolist() for ids_L, mask_L in zip(ids_BL, mask_BL, strict=True)]
        contexts = [ids + [end] * (ids[-1] != end) + user_turn(CORRECTION) for ids in contexts]
    return attempts


def minus_others_mean(values_B: torch.Tensor, mask_B: torch.Tensor) -> torch.Tensor:
    """Leave-one-out: values less the mean of the problem's other samples, where present; more axes may follow B."""
    # The gradient stays unbiased: what the others drew does not depend on the sample's own tokens.
    values_PG, mask_PG = (each.unflatten(0, (-1, GROUP_SIZE)) for each in (values_B * mask_B, mask_B))
    others_PG, count_PG = (each.sum(1, keepdim=True) - each for each in (values_PG, mask_PG))
    return (values_PG - others_PG / count_PG.clamp(min=1)).flatten(0, 1)


def attempt_loss(model, reference, attempt: Attempt, rewards_B: torch.Tensor, kl_coef: float) -> torch.Tensor:
    """Its gradient estimates that of −E[r] + β KL(π ‖ π_ref): REINFORCE with leave-one-out baselines."""
    mask_BT, num_tokens = attempt.mask_BT, attempt.mask_BT.shape[1]
    positions_BL = (attempt.mask_BL.cumsum(1) - 1).clamp(min=0)
    inputs = {"input_ids": attempt.ids_BL, "attention_mask": attempt.mask_BL, "position_ids": positions_BL}
    logits = (lm(**inputs).logits[:, -num_tokens - 1 : -1] for lm in (model, reference))  # each of the next token
    logprobs_BTV, reference_BTV = (logits_BTV.log_softmax(-1) for logits_BTV in logits)
    token_logprobs_BT = logprobs_BTV.gather(-1, attempt.ids_BL[:, -num_tokens:, None])[..., 0]
    # Exact at each position, where the whole distribution is known: Σ_v π(v) (log π(v) − log π_ref(v)).
    kl_BT = (logprobs_BTV.exp() * (logprobs_BTV - reference_BTV)).sum(-1) * mask_BT
    # A token also decides which positions follow, so the gradient of the attempt's KL has a score-function part:
    # ∇log π times the KL at later positions, less the mean of the other samples' at the same position.
    later_kl_BT = kl_BT.detach().flip(1).cumsum(1).flip(1) - kl_BT.detach()
    score_BT = minus_others_mean(later_kl_BT, mask_BT)
    advantages_B1 = minus_others_mean(rewards_B, torch.ones_like(rewards_B))[:, None]
    loss_BT = kl_coef * (kl_BT + score_BT * token_logprobs_BT) - advantages_B1 * token_logprobs_BT
    return (loss_BT * mask_BT).sum() / len(mask_BT)  # sums over tokens: the expectations are over whole responses


def stage_loss(model, reference, attempts: list[Attempt], stage: str) -> tuple[torch.Tensor, float]:
    """The loss of both attempts, and the mean reward of a conversation."""
    shape_rewards, kl_coefs_A = STAGES[stage]
    rewards_AB = torch.stack(shape_rewards(*(attempt.rewards_B for attempt in attempts)))
    losses_A = [attempt_loss(model, reference, *each) for each in zip(attempts, rewards_AB, kl_coefs_A, strict=True)]
    return torch.stack(losses_A).sum(), rewards_AB.sum(0).mean().item()


def metrics(attempts: list[Attempt]) -> str:
    """In percent; Δ^i→c and Δ^c→i are the shares of all problems that the second attempt fixes and breaks."""
    r1_B, r2_B = (attempt.rewards_B for attempt in attempts)
    values = {"Accuracy@t1": r1_B, "Accuracy@t2": r2_B, "Δ": r2_B - r1_B}
    values |= {"Δ^i→c": (1 - r1_B) * r2_B, "Δ^c→i": r1_B * (1 - r2_B)}
    return "  ".join(f"{name} {100 * value_B.mean():.1f}" for name, value_B in values.items())


def train(model, reference, tokenizer, problems: list[math_world.Problem], stage: str, num_steps: int) -> None:
    """`model` ends with the weights before which the mean reward of CHECKPOINT_EVERY steps was highest."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=0)
    schedule = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=0, num_training_steps=num_steps)
    best, rewards = (-torch.inf, model.state_dict()), []
    for step in range(1, num_steps + 1):
        drawn_B = torch.randperm(len(problems))[:PROBLEMS_PER_STEP].repeat_interleave(GROUP_SIZE)
        attempts = converse(model, tokenizer, [problems[index] for index in drawn_B], SAMPLED)
        loss, reward = stage_loss(model, reference, attempts, stage)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        rewards.append(reward)
        if step % CHECKPOINT_EVERY == 0 or step == num_steps:
            now = (sum(rewards) / len(rewards), deepcopy(model.state_dict()))
            best = max(now, best, key=lambda pair: pair[0])  # the paper's rule: the highest training reward
            print(f"{stage}, step {step} of {num_steps}: reward {now[0]:.2f}  {metrics(attempts)}", flush=True)
            rewards.clear()
    model.load_state_dict(best[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="SCoRe's two stages on the miniature")
    parser.add_argument("--steps", type=int, default=NUM_STEPS, help="updates of both stages together")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # fastest for a model as small as this
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    model = AutoModelForCausalLM.from_pretrained(CHECKPOINT)
    reference = deepcopy(model).requires_grad_(False)
    print("before:", metrics(converse(model, tokenizer, math_world.problems("test"), GREEDY)), flush=True)
    first = round(STAGE1_FRACTION * args.steps)
    for stage, num_steps in (("Stage I", first), ("Stage II", args.steps - first)):
        train(model, reference, tokenizer, math_world.problems("train"), stage, num_steps)
    print("after: ", metrics(converse(model, tokenizer, math_world.problems("test"), GREEDY)))
