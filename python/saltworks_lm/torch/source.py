"""Sources that can be read in an order: labels, joined labels, the sequences of a token corpus."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..order import RUN, Order


class Source(Protocol):
    """Samples by index, and how many of them are stored together."""

    @property
    def group_sizes(self) -> npt.NDArray[np.int64]:
        """[groups] int64: numbers of samples that are stored together."""
        ...

    @property
    def is_shuffled(self) -> bool:
        """Whether they are already in random order."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, i: int, /) -> Any:
        """The sample at an index."""
        ...


def order_of(source: Source, seed: int, epoch: int) -> Order:
    """The order of an epoch over a source."""
    return Order(source.group_sizes, seed, epoch, RUN if source.is_shuffled else 1)
