"""An update's samples, cut into parts that a machine's memory holds; where the cuts are changes nothing.

Axis: N sampled tokens.
"""

from collections.abc import Iterator, Sequence

import torch

from bench.episode import TrainingSample
from bench.models.logprobs import TokenLogprobs
from bench.models.loss import others_mean


def micro_batches(
    samples: Sequence[TrainingSample], *, max_tokens: int, packed: bool
) -> Iterator[list[list[TrainingSample]]]:
    """Micro-batches of at most `max_tokens`, padding included unless `packed`, of episodes of similar length.

    A problem's samples are compared with each other where a KL is paid for, so those come together: one list of
    micro-batches holds whole problems, and is of more than one only where a problem exceeds the limit by itself. An
    episode that exceeds it comes alone.
    """

    def fits(batch: Sequence[TrainingSample]) -> bool:
        return len(batch) == 1 or num_tokens(batch, packed=packed) <= max_tokens

    groups: dict[object, list[TrainingSample]] = {}
    for number, sample in enumerate(samples):
        groups.setdefault(sample.episode.problem.id if any(sample.kl_coefs) else number, []).append(sample)
    waiting = sorted(groups.values(), key=_width)
    while waiting:
        group = waiting.pop()
        while waiting and fits(group + waiting[-1]):
            group = group + waiting.pop()
        if fits(group):
            yield [group]
            continue
        batches = [[group[0]]]
        for sample in group[1:]:
            if fits([*batches[-1], sample]):
                batches[-1].append(sample)
            else:
                batches.append([sample])
        yield batches


def num_tokens(samples: Sequence[TrainingSample], *, packed: bool) -> int:
    if packed:
        return sum(len(sample.episode.token_ids) for sample in samples)
    return len(samples) * _width(samples)


def _width(samples: Sequence[TrainingSample]) -> int:
    return max(len(sample.episode.token_ids) for sample in samples)


def kl_baselines(
    found: Sequence[torch.Tensor], scored: Sequence[TokenLogprobs], batches: Sequence[Sequence[TrainingSample]]
) -> list[torch.Tensor]:
    """Per micro-batch, what to subtract from its `found` (see `others_mean`): between them they hold whole problems."""
    numbers: dict[tuple[str, str], int] = {}
    groups = []
    for each, batch in zip(scored, batches, strict=True):
        table = [
            [numbers.setdefault((sample.episode.problem.id, label), len(numbers)) for label in each.labels]
            for sample in batch
        ]
        groups.append(torch.tensor(table, device=each.rows_N.device)[each.rows_N, each.labels_N])
    positions_N = torch.cat([each.positions_N for each in scored])
    baseline_N = others_mean(torch.cat(list(found)), groups_N=torch.cat(groups), positions_N=positions_N)
    return list(baseline_N.split([len(each) for each in found]))
