"""Which experiments may run side by side, and what each of them may use."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one experiment at a time."""

    gpu: str | None  # as CUDA_VISIBLE_DEVICES names it; None: it computes on the CPU
    cores: int  # for its threads and for its graders


class Slots:
    """The places of one sweep.

    Experiments on a GPU get one each; those on the CPU get a core each, of the cores that the former leave (but one
    place at least). `jobs` bounds both together, and where it exceeds the GPUs, they are shared because it was asked
    for. Where there is no GPU, everything computes on the CPU. Cores are divided by the number that run at once.
    """

    def __init__(self, *, num_on_gpu: int, num_on_cpu: int, gpus: Sequence[str], num_cores: int, jobs: int) -> None:
        if not gpus:
            num_on_gpu, num_on_cpu = 0, num_on_gpu + num_on_cpu
        self._has_gpus = bool(gpus)
        gpu_places = min(num_on_gpu, jobs or len(gpus))
        cpu_places = min(num_on_cpu, max(1, (jobs or num_cores) - gpu_places))
        self.at_once = min(jobs or gpu_places + cpu_places, gpu_places + cpu_places)
        self.cores_each = max(1, num_cores // max(1, self.at_once))
        self._free_gpu = deque(Slot(gpus[place % len(gpus)], self.cores_each) for place in range(gpu_places))
        self._free_cpu = deque(Slot(None, self.cores_each) for _ in range(cpu_places))
        self.gpus = tuple(dict.fromkeys(slot.gpu for slot in self._free_gpu))
        self._taken = 0

    def take(self, *, uses_gpu: bool) -> Slot | None:
        """A free place of the kind that the experiment needs; None where it has to wait."""
        free = self._free(on_gpu=uses_gpu and self._has_gpus)
        if not free or self._taken == self.at_once:
            return None
        self._taken += 1
        return free.popleft()

    def give_back(self, slot: Slot) -> None:
        self._taken -= 1
        self._free(on_gpu=slot.gpu is not None).append(slot)

    def _free(self, *, on_gpu: bool) -> deque[Slot]:
        return self._free_gpu if on_gpu else self._free_cpu
