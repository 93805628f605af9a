"""Names, groups and shapes of the columns; and the few Arrow operations that turn lists into arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .errors import MissingGroupError
from .plan import Signals, log_partition_name

Array = npt.NDArray[Any]

SCORES = (
    "score_salt",
    "score_salt_masked",
    "score_mean_nll",
    "score_median_nll",
    "score_learnable_fraction",
    "score_mean_entropy",
    "score_mean_topk_mass",
)
#: Columns that every positions file has, whatever the groups.
ALWAYS = ("seq_id", "input_ids", "doc_starts", "doc_indices")
_OF_GROUP = {
    "stats": ("target_logprob", "target_rank", "entropy", "logsumexp"),
    "topk": ("topk_ids", "topk_logprobs", "tail_mass"),
    "samples": ("sampled_ids", "sampled_counts", "sample_offsets"),
}


def columns_of(groups: Iterable[str], signals: Signals) -> tuple[str, ...]:
    """Columns of a positions file that belong to `groups`, after those that are always there."""
    names = list(ALWAYS)
    for group in groups:
        names += _OF_GROUP.get(group, ())
        if group == "topk":
            names += [log_partition_name(tau) for tau in signals.temperatures]
    return tuple(names)


def group_of(column: str) -> str:
    """The group that a column belongs to; `scores` for columns that are always there."""
    if column.startswith("log_partition_tau_"):
        return "topk"
    return next((group for group, names in _OF_GROUP.items() if column in names), "scores")


def check_groups(wanted: Iterable[str], stored: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The wanted groups, in the order of the plan.

    Raises
    ------
    MissingGroupError
        One of them is not stored.
    """
    wanted = set(wanted)
    missing = sorted(wanted - set(stored))
    if missing:
        raise MissingGroupError(
            f"{what} holds the groups {', '.join(stored)}, not {', '.join(missing)}: "
            f"label with `saltworks label --groups {','.join((*stored, *missing))}`"
        )
    return tuple(group for group in stored if group in wanted)


def flat(column: pa.ChunkedArray) -> tuple[Array, Array]:
    """Values and offsets of a column of lists, sharing its memory.

    Returns
    -------
    values : [n_items]
        The concatenated lists.
    offsets : [n_rows + 1] int32 or int64
        Row r is `values[offsets[r]:offsets[r + 1]]`.
    """
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return array.values.to_numpy(zero_copy_only=False), array.offsets.to_numpy()


def as_nested(table: pa.Table, top_k: int) -> pa.Table:
    """The same table with `topk_ids` and `topk_logprobs` as lists of T lists of K, sharing the memory.

    Parameters
    ----------
    table
        With flat lists of T * K, as in the files.
    top_k
        K.
    """
    for name in ("topk_ids", "topk_logprobs"):
        if name in table.column_names:
            chunks = [_nested(chunk, top_k) for chunk in table[name].chunks]
            column = pa.chunked_array(chunks, type=None if chunks else _nested_type(table[name].type, top_k))
            table = table.set_column(table.column_names.index(name), name, column)
    return table


def _nested_type(flat_type: pa.DataType, top_k: int) -> pa.DataType:
    return pa.list_(pa.list_(flat_type.value_type, top_k))


def _nested(lists: pa.ListArray, top_k: int) -> pa.Array:
    inner = pa.FixedSizeListArray.from_arrays(lists.values, top_k)
    offsets = lists.offsets.to_numpy() // top_k
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), inner)
