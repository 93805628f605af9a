"""One process, or several under torchrun with DDP or FSDP2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import ConfigError
from .student import Student

PARALLEL = ("ddp", "fsdp")


@dataclass(frozen=True)
class World:
    """One process among ``size``; ``kind`` is ``single``, ``ddp`` or ``fsdp``."""

    rank: int
    size: int
    device: torch.device
    kind: str

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files of the whole run."""
        return self.rank == 0

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            dist.barrier()

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sums over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def from_first(self, value: Any) -> Any:
        """The value in the first process."""
        box = [value]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of ranks."""
        found: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(found, value)
        return found


def open_world(parallel: str, device: str | None) -> World:
    """The processes that torchrun started, or this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError.of("--device", "an available device", kind, "use --device cpu")
    chosen = torch.device("cuda", local_rank) if kind == "cuda" else torch.device(kind)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # FSDP needs a process group even for one process.
    if size > 1 or parallel == "fsdp":
        if "WORLD_SIZE" not in os.environ:
            raise ConfigError.of("--parallel", "ddp without torchrun", parallel, "start it with torchrun")
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return World(
        int(os.environ.get("RANK", "0")), size, chosen, parallel if size > 1 or parallel == "fsdp" else "single"
    )


def close_world() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def wrap(student: Student, world: World) -> nn.Module:
    """The student on its device, wrapped for its processes."""
    student.to(world.device)
    if world.kind == "single":
        return student
    if world.kind == "ddp":
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(
            student, device_ids=[world.device.index] if world.device.type == "cuda" else None
        )
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in student.blocks():
        fully_shard(block, mesh=mesh)
    fully_shard(student, mesh=mesh)
    return student


def inner(module: nn.Module) -> Student:
    """The student inside its wrapper."""
    return cast(Student, getattr(module, "module", module))


@contextmanager
def gradients_shared(module: nn.Module, world: World, is_last: bool) -> Iterator[None]:
    """Only the last backward pass of a step exchanges gradients."""
    if world.kind == "fsdp":
        cast(Any, module).set_requires_gradient_sync(is_last)
        yield
    elif world.kind == "ddp" and not is_last:
        with cast(Any, module).no_sync():
            yield
    else:
        yield


def grad_norm(parameters: list[nn.Parameter]) -> float:
    """Norm of all gradients together, over all processes."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(grads)
    return float(cast(Any, norm).full_tensor() if hasattr(norm, "full_tensor") else norm)
