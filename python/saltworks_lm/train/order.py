"""The order of ``saltworks-train``: a pure function of seed and position, so that both trainers read the same steps.

In each epoch of labels the row groups are permuted, each run of ``shuffle_row_groups`` of them forms a window, and the
rows of a window are permuted; sequences of token files are permuted one by one. A permutation is a Feistel network of
six rounds with cycle walking, keyed by SplitMix64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = 6
_ROW_GROUPS, _ROWS, _TOKENS = 1, 2, 3


def _finalise(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _finalise_all(z: Numbers) -> Numbers:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _splitmix64(state: int) -> int:
    return _finalise((state + _GOLDEN) & _MASK)


def _key(seed: int, purpose: int, epoch: int, window: int) -> int:
    key = _splitmix64(seed)
    for part in (purpose, epoch, window):
        key = _splitmix64(key ^ _splitmix64(part))
    return key


class Permutation:
    """A permutation of 0..n, keyed by a seed."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self._half = np.uint64(-(-(n - 1).bit_length() // 2) if n > 1 else 0)
        self._mask = np.uint64((1 << int(self._half)) - 1)
        keys = (_finalise((seed + _GOLDEN * (r + 1)) & _MASK) for r in range(_ROUNDS))
        self._keys = [np.uint64(key) for key in keys]

    def index_at(self, slots: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """``[m]`` the indices in these slots, each below n."""
        x = np.asarray(slots).astype(np.uint64)
        if self._half == 0:
            return x.astype(np.int64)
        x = self._backward(x)
        outside = x >= self.n
        while outside.any():
            x[outside] = self._backward(x[outside])
            outside = x >= self.n
        return x.astype(np.int64)

    def _backward(self, x: Numbers) -> Numbers:
        left, right = x >> self._half, x & self._mask
        for key in reversed(self._keys):
            left, right = right ^ (_finalise_all(left ^ key) & self._mask), left
        return left << self._half | right


class LabelOrder:
    """The order of rows in the stream of labels, epoch after epoch.

    Parameters
    ----------
    group_sizes
        ``[row groups]`` kept rows of each, in the order of the set.
    """

    def __init__(self, group_sizes: Sequence[int] | npt.NDArray[np.int64], seed: int, groups_per_window: int) -> None:
        sizes = np.asarray(group_sizes, np.int64)
        starts = np.concatenate([[0], sizes.cumsum()[:-1]]) if len(sizes) else sizes
        self._sizes, self._starts = sizes[sizes > 0], starts[sizes > 0]
        self._seed, self._per_window = seed, groups_per_window
        self.n_rows = int(sizes.sum())
        self._epoch = -1
        self._rows: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def rows(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """``[stop - start]`` indices of the rows at these positions, which count through the epochs."""
        found = [self._epoch_rows(p // self.n_rows)[p % self.n_rows] for p in range(start, stop)]
        return np.array(found, np.int64)

    def _epoch_rows(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch != self._epoch:
            n_groups = len(self._sizes)
            slots = np.arange(n_groups)
            groups = Permutation(n_groups, _key(self._seed, _ROW_GROUPS, epoch, 0)).index_at(slots)
            windows = range(0, n_groups, self._per_window)
            parts = [self._window(groups[w : w + self._per_window], epoch, i) for i, w in enumerate(windows)]
            self._epoch, self._rows = epoch, np.concatenate(parts)
        return self._rows

    def _window(self, groups: npt.NDArray[np.int64], epoch: int, window: int) -> npt.NDArray[np.int64]:
        rows = np.concatenate([np.arange(self._starts[g], self._starts[g] + self._sizes[g]) for g in groups])
        permutation = Permutation(len(rows), _key(self._seed, _ROWS, epoch, window))
        return rows[permutation.index_at(np.arange(len(rows)))]


class TokenOrder:
    """The order of sequences of a token corpus, without the excluded ones."""

    def __init__(self, n_total: int, left_out: npt.NDArray[np.int64], seed: int) -> None:
        ascending = np.sort(left_out)
        self._others_before = ascending - np.arange(len(ascending))
        self._seed = seed
        self.n_rows = n_total - len(ascending)

    def seq_ids(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """``[stop - start]`` numbers of the sequences at these positions, which count through the epochs."""
        return np.array([self._seq_id(position) for position in range(start, stop)], np.int64)

    def _seq_id(self, position: int) -> int:
        epoch, at = divmod(position, self.n_rows)
        index = int(Permutation(self.n_rows, _key(self._seed, _TOKENS, epoch, 0)).index_at([at])[0])
        return index + int(np.searchsorted(self._others_before, index, side="right"))
