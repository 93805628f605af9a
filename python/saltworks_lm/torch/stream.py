"""Batches in the order of `saltworks_lm.order`, resumable from one position."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from itertools import takewhile, tee
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from ..errors import DamagedError, MismatchError
from ..order import Order, Readers, State
from .collate import Batch, hf
from .source import Source, order_of


class LabelStream(IterableDataset[Batch]):
    """Batches of one rank; over all ranks and workers every sequence occurs once per epoch.

    Pass it to a `DataLoader` or torchdata's `StatefulDataLoader` with `batch_size=None`, since it makes the batches
    itself, in each worker. Without workers a thread reads ahead, which is faster on few cores: decoding releases
    Python's GIL, and nothing is copied between processes. Its state is one position in the global order, so a run
    may continue with another number of ranks and workers:

    - with any loader: count the steps that were trained on, save `stream.state_after(n_steps)`, and pass it to
      `load_state_dict` of a new stream;
    - with a `StatefulDataLoader`: save the loader's own `state_dict()`, which needs the same number of workers.

    The rest of an epoch that is less than a step of all ranks is not read, so that all have the same number
    of steps.

    Parameters
    ----------
    source
        `Labels`, `JoinedLabels` or the sequences of a `TokenCorpus`.
    batch_size
        Sequences per batch of this rank.
    collate
        Makes a batch from rows: `hf`, `titan`, `megatron`, a `functools.partial` of them, or your
        own function.
    seed
        Seed of the order.
    rank, world_size
        None: from `torch.distributed` if initialized, else from torchrun's environment, else one
        rank.
    n_epochs
        Epochs per pass, from the current state; None: endless. Workers are copies whose progress does not come back,
        so a second pass over a loader with workers, persistent or not, begins where the first did, unless
        `load_state_dict` or `set_epoch` was called.
    prefetch
        Batches that a thread reads ahead if there are no workers; 0: no thread. Workers have their loader's
        `prefetch_factor`.

    Examples
    --------
    >>> stream = LabelStream(Labels("labels", groups=["topk"]), batch_size=8)
    >>> for batch in DataLoader(stream, batch_size=None, num_workers=2):
    ...     batch["input_ids"].shape, batch["topk_ids"].shape
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        collate: Callable[[Sequence[Any]], Any] = hf,
        *,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        n_epochs: int | None = 1,
        prefetch: int = 2,
    ) -> None:
        if n_epochs is not None and n_epochs < 1:
            raise ValueError(f"n_epochs is {n_epochs}, expected at least 1, or None for no end")
        if prefetch < 0:
            raise ValueError(f"prefetch is {prefetch}, expected 0 or more batches")
        of_torch = _ranks()
        self.source = source
        self.collate = collate
        self.n_epochs = n_epochs
        self.prefetch = prefetch
        self.readers = Readers(
            batch_size,
            of_torch[0] if rank is None else rank,
            of_torch[1] if world_size is None else world_size,
        )
        # Refuses a source that is too small before the first step.
        self.readers.steps(len(source), State(seed))
        self._start = State(seed)
        self._now: dict[str, Any] = self._as_dict(self._start)
        #: Start of a pass, shared with workers that outlive one (`persistent_workers`): seed, epoch, position.
        self._shared = torch.zeros(3, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        #: In a worker: whether a `StatefulDataLoader` loaded its own state.
        self._is_resumed = False
        self._publish(self._start)

    @property
    def n_steps(self) -> int:
        """Steps from the loaded state to the end of its epoch; the same for all ranks."""
        return self.readers.n_steps(len(self.source), self._start.position)

    def __len__(self) -> int:
        """Number of batches in one pass."""
        if self.n_epochs is None:
            raise TypeError("a stream without end has no length: set n_epochs")
        left = self.readers.n_steps(len(self.source), self._now["position"])
        # An epoch with nothing left does not count.
        n_whole = self.n_epochs - 1 if left else self.n_epochs
        return left + n_whole * self.readers.n_steps(len(self.source))

    def require(self, n_steps: int) -> None:
        """Refuses, before the first step, a source with fewer steps left in its epoch.

        Raises
        ------
        MismatchError
            With the number of missing sequences.
        """
        if self.n_steps < n_steps:
            needed = n_steps * self.readers.step_size
            there = len(self.source) - self._start.position
            raise MismatchError(
                f"{n_steps} steps of {self.readers.step_size} sequences need {needed}, but {there} are left: "
                f"{needed - there} are missing (label more, or train stage 1 for {self.n_steps} steps)"
            )

    def state_after(self, n_steps: int) -> dict[str, Any]:
        """The state after this many steps from the loaded one, regardless of prefetching."""
        if n_steps == 0:
            return self._as_dict(self._start)
        epoch, position = self._start.epoch, self._start.position
        n, step, left = len(self.source), self.readers.step_size, self.n_steps
        if n_steps > left:
            whole, n_steps = divmod(n_steps - left - 1, n // step)
            epoch, position, n_steps = epoch + 1 + whole, 0, n_steps + 1
        return self._as_dict(State(self._start.seed, epoch, position + n_steps * step))

    def state_dict(self) -> dict[str, Any]:
        """`seed`, `epoch`, `position` of what has been read here, and the identity of `source`.

        In a worker it also identifies the worker, for its loader.
        """
        return dict(self._now)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state, whatever its number of ranks and workers.

        Raises
        ------
        MismatchError
            It is not a state, is of another source, or is of a worker among a different number of
            workers.
        """
        missing = [name for name in ("seed", "epoch", "position") if not isinstance(state.get(name), int)]
        if missing or state["epoch"] < 0 or not 0 <= state["position"] <= len(self.source):
            raise MismatchError(
                f"{state} is not a state of a stream over {len(self.source)} sequences: expected seed, epoch and "
                "position"
            )
        ours = self._identity
        if None not in (ours, state.get("source")) and state["source"] != ours:
            raise MismatchError(
                f"this is the state of a stream over {state['source']}, the source here is {ours}: its positions are "
                "of other sequences; use the same labels, selection or tokens, or start over"
            )
        if "n_workers" in state and state["n_workers"] != _worker()[1]:
            raise MismatchError(
                f"this is the state of one of {state['n_workers']} workers, but here are {_worker()[1]}: "
                "save stream.state_after(n_steps), which any number of workers can load"
            )
        self._start = State(state["seed"], state["epoch"], state["position"])
        self._now = {**state, "source": ours} if ours is not None else dict(state)
        if get_worker_info() is None:
            self._publish(self._start)
        else:
            self._is_resumed = True

    def set_epoch(self, epoch: int) -> None:
        """Moves to the start of an epoch."""
        self.load_state_dict(self._as_dict(State(self._start.seed, epoch)))

    def __iter__(self) -> Iterator[Batch]:
        """Batches of this rank or, in a worker, of this worker."""
        worker, n_workers = _worker()
        if get_worker_info() is not None and not self._is_resumed:
            # A worker that outlives a pass begins the next where the original stream says.
            self._start = State(*self._shared.tolist())
            self._now = self._as_dict(self._start)
        self._is_resumed = False
        # A worker's own state is where its next step begins, not where dealing among workers began.
        begun = "n_workers" in self._now
        start = State(self._now["seed"], self._now["epoch"], self._now["position"])
        readers = replace(self.readers, worker=worker, n_workers=n_workers)
        # A worker may resume in the next epoch already, so its state records the last epoch.
        said = self._now.get("last_epoch", -1)
        last_epoch = said if said >= 0 else self._last_epoch(start)
        steps = self._own_steps(readers, start) if begun else readers.steps(len(self.source), start)
        own, following = tee(steps)
        step = next(following)
        wanted = takewhile(lambda step: last_epoch is None or step.epoch <= last_epoch, own)
        n_ahead = self.prefetch if get_worker_info() is None else 0
        for done, batch in _read_ahead(partial(self._batch, readers, {}), wanted, n_ahead):
            step = next(following)
            # The state is requested after the batch was returned, so it must point at the next one.
            self._move(step if n_workers > 1 else readers.after(done))
            if n_workers > 1:
                last = -1 if last_epoch is None else last_epoch
                self._now |= {"worker": worker, "n_workers": n_workers, "last_epoch": last}
            yield batch
        self._move(State(start.seed, step.epoch))

    def _move(self, state: State) -> None:
        """Records what has been read here; a later pass with workers begins there."""
        self._now = self._as_dict(state)
        if get_worker_info() is None:
            self._publish(state)

    def _own_steps(self, readers: Readers, start: State) -> Iterator[State]:
        """The steps of a resumed worker: its next one, then every W-th."""
        return replace(readers, worker=0).steps(len(self.source), start)

    def _last_epoch(self, start: State) -> int | None:
        if self.n_epochs is None:
            return None
        is_over = self.readers.n_steps(len(self.source), start.position) == 0
        return start.epoch + self.n_epochs - (0 if is_over else 1)

    def _batch(self, readers: Readers, orders: dict[int, Order], step: State) -> Batch:
        """The batch of a step. `orders` caches the order of the current epoch."""
        if step.epoch not in orders:
            orders.clear()
            orders[step.epoch] = order_of(self.source, step.seed, step.epoch)
        try:
            rows = orders[step.epoch].rows(*readers.span(step))
            batch: Batch = self.collate([self.source[row] for row in rows.tolist()])
        except DamagedError as error:
            raise DamagedError(
                f"{error}; reading stopped there: everything before {self._as_dict(step)} was read, and "
                "load_state_dict of that state resumes once the file is repaired"
            ) from error
        return batch

    @cached_property
    def _identity(self) -> str | None:
        """Identity of the source, if it has one."""
        return getattr(self.source, "identity", None)

    def _publish(self, state: State) -> None:
        # As signed 64 bits, since the order uses the seed's lowest 64 bits.
        seed = (state.seed + 2**63) % 2**64 - 2**63
        self._shared.copy_(torch.tensor([seed, state.epoch, state.position]))

    def _as_dict(self, state: State) -> dict[str, Any]:
        place: dict[str, Any] = {"seed": state.seed, "epoch": state.epoch, "position": state.position}
        return place if self._identity is None else {**place, "source": self._identity}


def _read_ahead(read: Callable[[State], Batch], steps: Iterator[State], n_ahead: int) -> Iterator[tuple[State, Batch]]:
    """Yields each step with its batch. A thread reads up to `n_ahead` batches ahead."""
    if n_ahead == 0:
        yield from ((step, read(step)) for step in steps)
        return
    thread = ThreadPoolExecutor(1, "saltworks-read-ahead")
    pending: deque[tuple[State, Future[Batch]]] = deque()
    try:
        for step in steps:
            pending.append((step, thread.submit(read, step)))
            if len(pending) > n_ahead:
                done, batch = pending.popleft()
                yield done, batch.result()
        while pending:
            done, batch = pending.popleft()
            yield done, batch.result()
    finally:
        # Also if a pass is abandoned, or a batch cannot be read.
        thread.shutdown(cancel_futures=True)


def _ranks() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _worker() -> tuple[int, int]:
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
