"""Labels by index."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from ..order import Order
from .source import Source, order_of


class LabelDataset(Dataset[Any]):
    """A map-style data set: item i is a `Row` (`collate_fn=saltworks_lm.torch.hf` makes batches of them).

    Shuffle with `seed` and let the sampler go from 0 on (`shuffle=False`): an index is then a position in the order
    of `saltworks_lm.order`, whose neighbours lie together. A sampler that draws places at random decodes a row group
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
        self._order: Order | None = None
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Goes over to the order of another epoch."""
        if self._seed is not None:
            self._order = order_of(self.source, self._seed, epoch)

    def __len__(self) -> int:
        """Sequences."""
        return len(self.source)

    def __getitem__(self, i: int) -> Any:
        """The sample at position i of the order."""
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"item {i} of {n}")
        if self._order is None:
            return self.source[i]
        return self.source[int(self._order.rows(i % n, i % n + 1)[0])]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Several at once, as a DataLoader asks for a batch."""
        return [self[i] for i in indices]
