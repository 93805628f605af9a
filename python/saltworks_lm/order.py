"""The order of reading: which sequence is read at which global position, a pure function of seed and position.

Row groups are shuffled and dealt to `LANES` lanes; a lane is the concatenation of its row groups, with the rows of
each shuffled. Positions take `run` rows from each lane in turn, and lanes that have ended drop out. So a reader of
every R-th batch needs only some of the lanes if R divides `LANES`, every lane is read front to back, and each reader
that needs a lane decodes its row groups once, whatever the number of readers.

Nothing here depends on ranks, workers or batches, so a run may resume with others from the same
position.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

#: Number of lanes: row groups that a single reader has open at a time, about 16 MiB each.
LANES = 16
#: Consecutive rows from one lane, if rows are already in random order.
RUN = 4
#: Number of row groups whose shuffled rows are cached.
_MAX_CACHED_GROUPS = 4 * LANES

Ints = npt.NDArray[np.int64]


def splitmix64(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 of each number: the same on every machine and with every version of NumPy."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _shuffled(n: int, *key: int) -> Ints:
    """0 to n - 1 in an order determined by `key`: sorted by a hash of each."""
    state = np.zeros(1, np.uint64)
    for part in key:
        state = splitmix64(state ^ np.array([part & (2**64 - 1)], np.uint64))
    return np.argsort(splitmix64(state ^ splitmix64(np.arange(n, dtype=np.uint64))), kind="stable").astype(np.int64)


class Order:
    """The order of one epoch.

    Parameters
    ----------
    group_sizes : [row groups] integers
        Rows of each row group, as in `Labels.group_sizes`.
    seed, epoch
        Together they determine the order.
    run
        Consecutive rows from one lane: `RUN`, or 1 for labels in the order of the corpus (`--order-seed none`),
        whose neighbours should not share a batch.
    """

    def __init__(self, group_sizes: npt.ArrayLike, seed: int, epoch: int = 0, run: int = RUN) -> None:
        sizes = np.asarray(group_sizes, np.int64)
        self._sizes, self._run, self._key = sizes, run, (seed, epoch)
        self._starts: Ints = np.concatenate([[0], sizes.cumsum()]).astype(np.int64)
        groups = _shuffled(len(sizes), seed, epoch)
        groups = groups[sizes[groups] > 0]
        self._lanes = [groups[lane::LANES] for lane in range(min(LANES, len(groups)))]
        self._ends = [sizes[lane].cumsum() for lane in self._lanes]
        self._rows: OrderedDict[int, Ints] = OrderedDict()
        self._split_into_phases()

    def _split_into_phases(self) -> None:
        """Phases, in each of which the same lanes give runs in turn, then the rest: under a run per lane."""
        self._phases: list[tuple[int, Ints]] = []
        self._phase_starts = [0]
        left = np.array([ends[-1] for ends in self._ends], np.int64)
        totals, taken = left.copy(), 0
        while (left >= self._run).any():
            live = np.flatnonzero(left >= self._run)
            rounds = int(left[live].min()) // self._run
            self._phases.append((taken, live))
            self._phase_starts.append(self._phase_starts[-1] + rounds * self._run * len(live))
            taken += rounds * self._run
            left[live] -= rounds * self._run
        self._rest_lane = np.repeat(np.arange(len(left)), left)
        rests = [np.arange(total - rest, total) for total, rest in zip(totals, left, strict=True)]
        self._rest_at = np.concatenate([*rests, np.empty(0, np.int64)]).astype(np.int64)

    def __len__(self) -> int:
        """Number of sequences."""
        return int(self._starts[-1])

    def rows(self, start: int, stop: int) -> Ints:
        """[stop - start] int64: the rows read at the positions `start` to `stop`."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"positions {start} to {stop} of {len(self)}")
        return np.array([self._row(*self._place(position)) for position in range(start, stop)], np.int64)

    def _place(self, position: int) -> tuple[int, int]:
        """The lane of a position, and the index in it."""
        phase = int(np.searchsorted(self._phase_starts, position, side="right")) - 1
        offset = position - self._phase_starts[phase]
        if phase == len(self._phases):
            return int(self._rest_lane[offset]), int(self._rest_at[offset])
        taken, live = self._phases[phase]
        turn, within = divmod(offset, self._run)
        rounds, turn = divmod(turn, len(live))
        return int(live[turn]), taken + rounds * self._run + within

    def _row(self, lane: int, at: int) -> int:
        number = int(np.searchsorted(self._ends[lane], at, side="right"))
        group = int(self._lanes[lane][number])
        within = at - int(self._ends[lane][number] - self._sizes[group])
        return int(self._starts[group] + self._rows_of(group)[within])

    def _rows_of(self, group: int) -> Ints:
        rows = self._rows.get(group)
        if rows is None:
            rows = self._rows[group] = _shuffled(int(self._sizes[group]), *self._key, group + 1)
            while len(self._rows) > _MAX_CACHED_GROUPS:
                self._rows.popitem(last=False)
        self._rows.move_to_end(group)
        return rows


@dataclass(frozen=True)
class State:
    """Position of reading: sequences before `position` of epoch `epoch` have been read, by any ranks and workers."""

    seed: int
    epoch: int = 0
    position: int = 0


@dataclass(frozen=True)
class Readers:
    """The reader: rank `rank` of `world_size`, and in it worker `worker` of `n_workers`, `batch_size` at a
    time.

    A step takes `batch_size * world_size` positions, including the rank's batch. Worker w of W takes every W-th
    step. The rest of an epoch that is less than a step is skipped, so all ranks have the same number of steps.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1
    worker: int = 0
    n_workers: int = 1

    def __post_init__(self) -> None:
        """Refuses impossible numbers."""
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}, expected at least 1")
        for name, value, of in [("rank", self.rank, self.world_size), ("worker", self.worker, self.n_workers)]:
            if not 0 <= value < of:
                raise ValueError(f"{name} {value} of {of}: expected 0 to {of - 1}")

    @property
    def step_size(self) -> int:
        """Positions per step over all ranks."""
        return self.batch_size * self.world_size

    def n_steps(self, n: int, position: int = 0) -> int:
        """Steps of every rank in an epoch of n sequences, from `position` on."""
        return max(n - position, 0) // self.step_size

    def steps(self, n: int, start: State) -> Iterator[State]:
        """The states at which this worker's steps begin, endlessly; the first of worker w is the w-th from
        `start`.

        Raises
        ------
        ValueError
            There are not enough sequences for one step.
        """
        if n < self.step_size:
            raise ValueError(
                f"{n} sequences are fewer than a step of {self.world_size} ranks at batch {self.batch_size} "
                f"({self.step_size}): {self.step_size - n} are missing; label more, or use a smaller batch"
            )
        return islice(self._all_steps(n, start), self.worker, None, self.n_workers)

    def _all_steps(self, n: int, start: State) -> Iterator[State]:
        epoch, position = start.epoch, start.position
        while True:
            if position + self.step_size > n:
                epoch, position = epoch + 1, 0
            yield State(start.seed, epoch, position)
            position += self.step_size

    def after(self, step: State) -> State:
        """The state after all ranks have done the step that begins at `step`."""
        return State(step.seed, step.epoch, step.position + self.step_size)

    def span(self, step: State) -> tuple[int, int]:
        """The positions of this rank in a step."""
        start = step.position + self.rank * self.batch_size
        return start, start + self.batch_size
