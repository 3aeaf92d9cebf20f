"""Float32 where it decides whether training works, and `model.dtype` everywhere else.

AdamW at the paper's rate of 5e-6 moves a weight by less than half of what bfloat16 can tell apart, so weights and
moments held in bfloat16 hardly move. Therefore the optimiser moves float32 masters, and the model that samples and
scores is their rounding. The other common way, float32 parameters under autocast, costs as much memory (16 bytes per
weight for masters, gradients and moments, 2 for the rounded copy) but computes another function than a bfloat16 model
does: the sampler would pay for its casts at every token, or differ from the learner, and a reference held in bfloat16
would differ from the policy before the first step. Here policy, sampler and reference are one function.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel


def with_float32_head(model: PreTrainedModel) -> PreTrainedModel:
    """Give a model in less than float32 a vocabulary head in float32, which its own forward uses as well.

    A logit of 20 is rounded by 0.06 in bfloat16. Embeddings that were tied to the head stay rounded; `Masters` keeps
    them equal to it.
    """
    head = model.get_output_embeddings()
    assert head is not None, "a causal LM has a vocabulary head"
    if not _is_wide(head.weight):
        head.weight = torch.nn.Parameter(head.weight.detach().float())
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    return model


class Masters:
    """The weights that an optimiser moves: a model's own parameters where they are wide, float32 copies where not.

    Gradients of the narrow ones are added to their copies' as soon as they are made, so sums over micro-batches are
    float32 too. Starts from the model's weights as they are.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        assert head is not None, "a causal LM has a vocabulary head"
        tied = embeddings.weight if model.config.get_text_config().tie_word_embeddings else None
        self._named: dict[str, torch.Tensor] = {}
        self._rounded: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        self._hooks: list[RemovableHandle] = []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:  # the base beside adapters
                continue
            if _is_wide(parameter):
                self._named[name] = parameter
                continue
            master = head.weight if parameter is tied else parameter.detach().float()
            self._named[name] = master
            self._rounded.append((parameter, master))
            self._hooks.append(parameter.register_post_accumulate_grad_hook(_hand_over(master)))

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Each once: tied embeddings and their head are one."""
        return iter({id(master): master for master in self._named.values()}.values())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """By the model's own names."""
        return {name: master.detach() for name, master in self._named.items()}

    @torch.no_grad()
    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, master in self._named.items():
            master.copy_(weights[name])
        self.round()

    @torch.no_grad()
    def round(self) -> None:
        """Bring the model up to its masters."""
        for parameter, master in self._rounded:
            parameter.copy_(master)

    def release(self) -> None:
        """Leave the model to itself; it keeps the rounded weights."""
        for hook in self._hooks:
            hook.remove()


def _is_wide(parameter: torch.Tensor) -> bool:
    return torch.promote_types(parameter.dtype, torch.float32) == parameter.dtype


def _hand_over(master: torch.Tensor) -> Callable[[torch.Tensor], None]:
    def hand_over(parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        gradient, parameter.grad = parameter.grad.float(), None
        master.grad = gradient if master.grad is None else master.grad + gradient

    return hand_over


def allow_tf32(*, allowed: bool) -> None:
    """For the whole process: float32 matrix products on a GPU by TensorFloat-32, or exactly."""
    torch.backends.cuda.matmul.fp32_precision = "tf32" if allowed else "ieee"
