"""The miniature's base model: a tiny Llama that learns from the author of `bench.mini.math_world`, twice over.

    python -m bench.mini.pretrain

rebuilds bench/models/mini_math/ from its seed: the same bits on one machine, the same figures on another.

The model sees what a language model would see: the first message and the correction of conf/prompts/math.yaml to the
letter, answers in the form they ask for, a chat template. Only the tokenizer is of the world's size. Its words are
whole phrases, so a conversation of two attempts is about 40 tokens, and any text from outside the world holds a word
that it does not know.
"""

import argparse
import logging
import math
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import yaml
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bench.mini import math_world as world

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "bench" / "mini" / "checkpoint"
TASK = ROOT / "conf" / "prompts" / "math.yaml"

PAD, USER, ASSISTANT, END, UNKNOWN = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", "<|unknown|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

ROLES = ("user", "assistant", "user", "assistant")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What the user says: conf/prompts/math.yaml."""

    opening: str  # before the question, which ends the message
    correction: str

    @classmethod
    def load(cls, path: Path) -> "Prompts":
        conf = yaml.safe_load(path.read_text())
        template = conf["prompt_template"]
        if not template.endswith("{question}"):
            raise ValueError(f"{path}: the miniature's prompt_template must end with {{question}}")
        return cls(template.removesuffix("{question}"), conf["correction"])


@dataclass(frozen=True, slots=True)
class Pretraining:
    steps: int = 1800
    conversations: int = 256  # per step
    learning_rate: float = 3e-3
    warmup: int = 100  # steps; a cosine to nothing follows
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0


def build_tokenizer(prompts: Prompts) -> PreTrainedTokenizerFast:
    """Words are the prompts, the world's phrases and its numbers. The longest phrase at a place is the word there."""
    values = range(world.NUM_VALUES)
    phrases = [
        prompts.opening,
        prompts.correction,
        *world.PHRASES,
        *(f"f_{{{function}}}(" for function in range(world.NUM_FUNCTIONS)),
        *(f"{value}) = " for value in values),  # a guess and what opens its check
        *(str(value) for value in values),
    ]
    special = [PAD, USER, ASSISTANT, END, UNKNOWN]
    vocabulary = {word: index for index, word in enumerate([*special, *phrases])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    whole = [re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True) if not phrase.isdigit()]
    # a number is never cut: "120" is unknown, and not "1" before "20"
    pattern = "|".join([*(rf"(?<!\d){word}" if word[0].isdigit() else word for word in whole), r"\d+"])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    vocabulary = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,  # ten attempts and a critique fit
        tie_word_embeddings=False,  # vLLM's weight update keeps the old head of a tied model
        bos_token_id=None,
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[PAD],
    )
    return LlamaForCausalLM(config)


def conversations(rng: np.random.Generator, lab: world.World, prompts: Prompts, num: int) -> list[list[dict[str, str]]]:
    """Problems with both of the author's attempts, as chat messages. None is a problem of the dev or test split."""
    held_out = {*world.split_keys()["dev"], *world.split_keys()["test"]}
    chats = []
    for level, share in world.LEVEL_SHARES.items():
        exercises = lab.tables.pose(rng, level, round(share * num))
        first = lab.author.attempt(rng, exercises)
        second = lab.author.attempt_again(rng, exercises, first)
        for key, *solutions in zip(exercises.keys, first.texts(exercises), second.texts(exercises), strict=True):
            if key in held_out:
                continue
            said = [prompts.opening + world.question(key), solutions[0], prompts.correction, solutions[1]]
            chats.append([{"role": role, "content": text} for role, text in zip(ROLES, said, strict=True)])
    return chats


def batch(tokenizer: PreTrainedTokenizerFast, chats: list[list[dict[str, str]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, and which of them the assistant wrote: its words and the end of its turns. Both B × T."""
    texts = cast("list[str]", tokenizer.apply_chat_template(chats, tokenize=False))
    encoded = tokenizer(texts, padding=True, padding_side="right", add_special_tokens=False, return_tensors="pt")
    ids_BT = encoded["input_ids"]
    if (ids_BT == tokenizer.unk_token_id).any():
        raise ValueError("the tokenizer lacks a phrase of the world")
    starts_BT = (ids_BT == tokenizer.convert_tokens_to_ids(ASSISTANT)).long()
    ends_BT = (ids_BT == tokenizer.convert_tokens_to_ids(USER)).long()
    inside_BT = (starts_BT.cumsum(1) - starts_BT) - (ends_BT.cumsum(1) - 1)
    return ids_BT, (inside_BT == 1) & encoded["attention_mask"].bool()


def pretrain(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Prompts, plan: Pretraining) -> None:
    rng = np.random.default_rng(plan.seed)
    lab = world.world()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / plan.warmup, 1) * (1 + math.cos(math.pi * step / plan.steps)) / 2,
    )
    started = time.monotonic()
    for step in range(1, plan.steps + 1):
        ids_BT, answers_BT = batch(tokenizer, conversations(rng, lab, prompts, plan.conversations))
        predicted_BT = answers_BT[:, 1:]
        hidden_BTH = model.model(input_ids=ids_BT).last_hidden_state[:, :-1]
        logits_AV = model.lm_head(hidden_BTH[predicted_BT])  # A: the answers' tokens, of all conversations
        loss = torch.nn.functional.cross_entropy(logits_AV, ids_BT[:, 1:][predicted_BT])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip_norm)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == plan.steps:
            log.info("step %d: loss %.4f, %.0f s", step, loss.item(), time.monotonic() - started)


def main() -> None:
    plan = Pretraining()
    parser = argparse.ArgumentParser(description="Rebuild the miniature's base model.")
    parser.add_argument("--output", type=Path, default=CHECKPOINT)
    parser.add_argument("--steps", type=int, default=plan.steps)
    parser.add_argument("--seed", type=int, default=plan.seed)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # tiny tensors: a second thread slows them down, and the result would depend on it
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(arguments.seed)
    prompts = Prompts.load(TASK)
    tokenizer = build_tokenizer(prompts)
    model = build_model(tokenizer)
    pretrain(model, tokenizer, prompts, replace(plan, steps=arguments.steps, seed=arguments.seed))
    model.save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output, save_jinja_files=False)


if __name__ == "__main__":
    main()
