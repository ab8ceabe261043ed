"""Several processes that compute one step together, through torch.distributed.

Every process makes the same batch from the same seed and computes its share of the kernel rays;
the gradients are added up. So batch, schedule and result do not depend on their number, and
parameters stay equal without ever being sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numba
import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.errors import InputError
from sharpfield.train.interrupt import HeldInterrupt

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: the first one may be rendering pictures."""

LAUNCHER_SECONDS = 2.0
"""Within this time a launcher ends all processes of a machine when one has gone, and says why."""


@dataclass(frozen=True)
class Process:
    """One of the ``size`` processes of a run, ``local_size`` of which are on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def is_worker() -> bool:
    """Whether a launcher, ``torchrun`` or ours, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def this_process() -> Process:
    """What the launcher says in the environment; without one, there is only this process."""
    if not is_worker():
        return Process()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    return Process(rank, size, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


class Group:
    """The processes of a run; this one has the number ``rank`` of ``size``."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Which of ``count`` parts (a multiple of the size) this process computes."""
        each = count // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            torch.distributed.barrier()

    def total(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The sums of ``values`` over all processes."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Take over the first process's ``tensors``."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def of_all(self, values: Sequence[float], device: torch.device) -> list[list[float]]:
        """The ``values`` of every process, in the order of their ranks."""
        if self.size == 1:
            return [list(values)]
        mine = torch.tensor(values, dtype=torch.float64, device=device)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        torch.distributed.all_gather(every, mine)
        return [row.tolist() for row in every]

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes.

        A parameter that no process has reached keeps None, so that Adam leaves it alone.
        """
        if self.size == 1:
            return
        every = list(parameters)
        device = every[0].device
        reached = torch.tensor([float(p.grad is not None) for p in every], device=device)
        counts = self.total(reached).tolist()
        used = [p for p, count in zip(every, counts, strict=True) if count > 0]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in used if p.grad is not None]
        flat = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, total in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(total.view_as(gradient))


ALONE = Group()


@contextmanager
def joined_group(device: torch.device) -> Iterator[Group]:
    """The group that ``torchrun`` started this process in, or this process alone.

    NCCL between CUDA devices, gloo between CPUs, whose cores the processes of a machine share.
    Raises ``InputError`` when the others cannot be reached or one of them has gone.
    """
    process = this_process()
    if process.size == 1:
        yield ALONE
        return
    with _divided_threads(process.local_size if device.type == "cpu" else 1):
        _join(process, device)
        try:
            yield Group(process.rank, process.size)
        except RuntimeError as error:
            if not _is_lost_connection(error):
                raise
            time.sleep(LAUNCHER_SECONDS)
            raise InputError(
                "another process of this run has gone; start the same command again to go on "
                "from the newest checkpoint"
            ) from error
        finally:
            with HeldInterrupt():  # left with its threads alive, a group may abort the process
                torch.distributed.destroy_process_group()


def _join(process: Process, device: torch.device) -> None:
    # Defaults of its functions hold the group that stands when it is imported, and torch.optim
    # imports it: then the group could not be destroyed, and might abort the process at its end.
    import torch.distributed.nn.functional

    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    try:
        torch.distributed.init_process_group(
            "nccl" if cuda else "gloo", timeout=PATIENCE, device_id=device if cuda else None
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"WORLD_SIZE {process.size}: the other processes cannot be reached ({reason}); "
            "start the processes with torchrun"
        ) from error


def _is_lost_connection(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


@contextmanager
def _divided_threads(processes: int) -> Iterator[None]:
    """A share of the cores for each of a machine's processes, where the environment says no number.

    ``torchrun``, unlike `launch`, says one thread of torch where the user says nothing.
    """
    threads, numba_threads = torch.get_num_threads(), numba.get_num_threads()
    if processes > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, threads // processes))
    if processes > 1 and "NUMBA_NUM_THREADS" not in os.environ:
        numba.set_num_threads(max(1, numba_threads // processes))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        numba.set_num_threads(numba_threads)
