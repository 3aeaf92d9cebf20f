"""An untrained causal LM of a few thousand weights that reads any bytes: `python -m tests.tiny_model FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


# What tells the families apart: Qwen2 ties its embeddings and groups its queries, Gemma-2 caps logits and attention.
FAMILIES = {
    "llama": (LlamaConfig, {"num_key_value_heads": 2, "tie_word_embeddings": False}),
    "qwen2": (Qwen2Config, {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "gemma2": (
        Gemma2Config,
        {
            "num_key_value_heads": 1,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 16,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 3.0,
        },
    ),
}


def save_tiny_model(
    folder: Path,
    *,
    chat: bool = True,
    seed: int = 0,
    context: int = 4096,
    family: str = "llama",
    initializer_range: float = 0.5,
    hidden_size: int = 16,
    **changes: Any,
) -> Path:
    """Write weights and tokenizer to `folder`; without `chat` the tokenizer has no chat template.

    By default weights are large enough that an untrained model has opinions, and tests something to compare; a real
    model's stand around 0.02. `changes` are of the family's own configuration.
    """
    tokenizer = byte_tokenizer(chat=chat)
    torch.manual_seed(seed)
    bos, end, pad = (tokenizer.vocab[token] for token in ("<|bos|>", "<|end|>", "<|pad|>"))
    make_config, own = FAMILIES[family]
    config = make_config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        initializer_range=initializer_range,
        bos_token_id=bos,
        eos_token_id=end,
        pad_token_id=pad,
        **{**own, **changes},
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def byte_tokenizer(*, chat: bool) -> PreTrainedTokenizerFast:
    special = ["<|bos|>", "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


if __name__ == "__main__":
    print(save_tiny_model(Path(sys.argv[1])))
