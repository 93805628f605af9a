"""Checkpoints: weights and moments by torch.distributed.checkpoint, the state of a run, and hashes of all of
it.

A checkpoint is written to a temporary directory and renamed, so ``step-N`` is complete or absent. The number of
processes may differ between writing and reading.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import nn, optim
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from .config import CheckpointConfig
from .errors import DataError, TrainError
from .parallel import World

STATE_NAME = "state.json"


class Checkpoints:
    """The checkpoints of a run."""

    def __init__(self, run: Path, keep: CheckpointConfig, world: World) -> None:
        self.directory = run / "checkpoints"
        self._keep, self._world = keep, world

    def steps(self) -> list[int]:
        """Steps of complete checkpoints, ascending."""
        names = (path.name.removeprefix("step-") for path in self.directory.glob("step-*"))
        return sorted(int(name) for name in names if name.isdigit())

    def path(self, step: int) -> Path:
        """Path of one checkpoint."""
        return self.directory / f"step-{step}"

    def is_due(self, step: int, steps: int) -> bool:
        """Whether a checkpoint is saved after ``step`` steps."""
        periods = (self._keep.every, self._keep.keep_every)
        return step in (steps, *self._keep.keep_steps) or any(every > 0 and step % every == 0 for every in periods)

    def save(self, step: int, model: nn.Module, optimizer: optim.Optimizer, state: dict[str, Any]) -> None:
        """Publishes a checkpoint, and removes those that need not be kept."""
        temporary = self.directory / f".step-{step}.tmp"
        if self._world.is_first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        self._world.barrier()
        weights, moments = get_state_dict(model, optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save({"model": weights, "optimizer": moments}, checkpoint_id=temporary)
        if self._world.is_first:
            _write_durably(
                temporary / STATE_NAME, json.dumps({**state, "files": _hashes(temporary)}, indent=1).encode()
            )
            shutil.rmtree(self.path(step), ignore_errors=True)
            os.replace(temporary, self.path(step))
            _sync_directory(self.directory)
            self._retain(step)
        self._world.barrier()

    def _retain(self, newest: int) -> None:
        latest = self.steps()[-self._keep.keep_last :]
        every = self._keep.keep_every
        for step in self.steps():
            is_kept = step in latest or step in self._keep.keep_steps or (every > 0 and step % every == 0)
            if not is_kept and step < newest:
                shutil.rmtree(self.path(step))

    def state(self, step: int) -> dict[str, Any]:
        """State of a checkpoint, after checking its hashes.

        Raises
        ------
        TrainError
            It is missing, or differs from what was written.
        """
        path = self.path(step)
        others = ", ".join(f"step-{other}" for other in self.steps() if other != step) or "none"
        if not path.is_dir():
            raise TrainError(f"{path} does not exist; there are {others}: name one with --resume-from")
        try:
            state: dict[str, Any] = json.loads((path / STATE_NAME).read_text())
            damaged = [name for name, value in state["files"].items() if _hash(path / name) != value]
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path} is not a checkpoint of this trainer ({error}); resume from another ({others})"
            ) from error
        if damaged:
            raise DataError(
                f"{path / damaged[0]} has changed since it was written; resume from another by --resume-from ({others})"
            )
        return state

    def load(self, step: int, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Loads weights and moments of a checkpoint."""
        weights, moments = get_state_dict(model, optimizer)
        parts = {"model": weights, "optimizer": moments}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(parts, checkpoint_id=self.path(step))
        set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=moments)

    def abandon_after(self, step: int) -> list[Path]:
        """Renames later checkpoints, so that this one is the latest."""
        moved = []
        for later in self.steps():
            if later > step:
                names = (f"step-{later}.abandoned{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1 << 16))))
                aside = next(path for path in map(self.directory.joinpath, names) if not path.exists())
                os.replace(self.path(later), aside)
                moved.append(aside)
        return moved


def whole_weights(model: nn.Module) -> dict[str, Any]:
    """Every weight on the CPU of the first process, by its name in the student."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=dist.is_initialized())
    return dict(get_model_state_dict(model, options=options))


def _hashes(directory: Path) -> dict[str, str]:
    return {path.name: _hash(path) for path in sorted(directory.iterdir())}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
