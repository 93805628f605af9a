"""Labels by index."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset

from ..order import Order
from .source import Source, order_of


class LabelDataset(Dataset[Any]):
    """A map-style data set: item i is a `Row` (`collate_fn=saltworks_lm.torch.hf` makes batches of them).

    Shuffle with `seed` and let the sampler count up from 0 (`shuffle=False`): an index is then a position in the
    order of `saltworks_lm.order`, in which neighbours are stored together. A random sampler would decode a row group
    for nearly every row.

    Parameters
    ----------
    source
        `Labels`, `JoinedLabels` or the sequences of a `TokenCorpus`.
    seed
        None: the order of the files.

    Examples
    --------
    >>> data = LabelDataset(Labels("labels", groups=["topk"]), seed=0)
    >>> loader = DataLoader(data, batch_size=8, num_workers=2, collate_fn=hf)
    """

    def __init__(self, source: Source, seed: int | None = None) -> None:
        self.source = source
        self._seed = seed
        #: Shared with workers that outlive an epoch (`persistent_workers`).
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._order: tuple[int, Order] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Switches to the order of another epoch, also in existing workers."""
        self._epoch[0] = epoch

    def _order_of(self, seed: int) -> Order:
        epoch = int(self._epoch[0])
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, order_of(self.source, seed, epoch))
        return self._order[1]

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.source)

    def __getitem__(self, i: int) -> Any:
        """The sample at position i of the order."""
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"item {i} of {n}")
        if self._seed is None:
            return self.source[i]
        return self.source[int(self._order_of(self._seed).rows(i % n, i % n + 1)[0])]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Several samples at once, for a DataLoader's batches."""
        return [self[i] for i in indices]
