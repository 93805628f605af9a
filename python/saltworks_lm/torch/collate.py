"""Collates rows into batches, with the field names of three trainers.

For every trainer, the fields of the teacher are [B, T, ...] tensors: index t is about the prediction of token t + 1
from tokens 0 to t. Ids and counts are int32 and numbers float32, to limit the transfer from worker to trainer.

| field | shape | of group |
| --- | --- | --- |
| `topk_ids`, `topk_logprobs` | [B, T, K] | `topk` |
| `tail_mass`, `log_partition_tau_X` | [B, T] | `topk` |
| `sampled_ids`, `sampled_counts` | [B, T, S] | `samples`; S: most distinct ids of a position, the rest has count 0 |
| `target_logprob`, `target_rank`, `entropy`, `logsumexp` | [B, T] | `stats` |
| `seq_ids` | [B] int64 | always |

Padding is 0 in all of them; `labels` (or `loss_mask`) says where it is. For rows joined from several sets, the fields
of the second teacher end in `_2`, of the third in `_3`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch

from ..columns import Array
from ..plan import log_partition_name
from ..row import Row

Batch: TypeAlias = dict[str, torch.Tensor]
#: One row, or one per set of joined labels.
Sample: TypeAlias = Row | tuple[Row, ...]
#: The target that PyTorch's losses ignore.
IGNORED = -100

_OF_TARGETS = ("target_logprob", "target_rank", "entropy", "logsumexp", "tail_mass")
_OF_TOPK = ("topk_ids", "topk_logprobs")


def hf(
    samples: Sequence[Sample],
    *,
    pad_id: int = 0,
    pad_to: int | None = None,
    across_documents: bool = True,
    restart_positions: bool = False,
) -> Batch:
    """A batch for models of transformers, which shift `labels` themselves.

    `hidden[:, :-1]` and `labels[:, 1:]` correspond to the teacher's fields.

    Parameters
    ----------
    samples
        Rows, or tuples of them.
    pad_id
        Id that pads `input_ids`.
    pad_to
        T to pad to; None: the longest in the batch.
    across_documents
        Whether the first token of a document is predicted from the document before it.
    restart_positions
        Whether `position_ids` restart from 0 at every document.

    Returns
    -------
    batch
        `input_ids` [B, T + 1], `labels` [B, T + 1] (unshifted, -100 where nothing is predicted), `attention_mask`
        and `position_ids` [B, T + 1], all int64, and the teacher's fields.
    """
    rows = _firsts(samples)
    T = _longest(rows, pad_to)
    ids = _padded([row.input_ids for row in rows], T + 1, np.int64, pad_id)
    real = np.arange(T + 1) <= np.array([[row.n_targets] for row in rows])
    is_predicted = np.zeros_like(real)
    is_predicted[:, 1:] = _predicted(rows, T, across_documents)
    return {
        "input_ids": torch.from_numpy(ids),
        "labels": torch.from_numpy(np.where(is_predicted, ids, IGNORED)),
        "attention_mask": torch.from_numpy(real.astype(np.int64)),
        "position_ids": torch.from_numpy(_positions(rows, T + 1, restart_positions)),
        **_of_teachers(samples, T),
    }


def titan(
    samples: Sequence[Sample],
    *,
    pad_id: int = 0,
    pad_to: int | None = None,
    across_documents: bool = True,
    restart_positions: bool = False,
) -> Batch:
    """A batch for torchtitan: `input_ids`, `labels` and `positions` [B, T] int64, already shifted.

    Parameters are those of `hf`. `labels` are -100 where nothing is predicted.
    """
    rows = _firsts(samples)
    T = _longest(rows, pad_to)
    targets = _padded([row.targets for row in rows], T, np.int64, 0)
    return {
        "input_ids": torch.from_numpy(_padded([row.inputs for row in rows], T, np.int64, pad_id)),
        "labels": torch.from_numpy(np.where(_predicted(rows, T, across_documents), targets, IGNORED)),
        "positions": torch.from_numpy(_positions(rows, T, restart_positions)),
        **_of_teachers(samples, T),
    }


def megatron(
    samples: Sequence[Sample],
    *,
    pad_id: int = 0,
    pad_to: int | None = None,
    across_documents: bool = True,
    restart_positions: bool = False,
) -> Batch:
    """A batch for Megatron: `tokens`, `labels`, `position_ids` [B, T] int64, `loss_mask` [B, T] float32.

    Parameters are those of `hf`. `labels` are 0 where `loss_mask` is 0.
    """
    rows = _firsts(samples)
    T = _longest(rows, pad_to)
    is_predicted = _predicted(rows, T, across_documents)
    targets = _padded([row.targets for row in rows], T, np.int64, 0)
    return {
        "tokens": torch.from_numpy(_padded([row.inputs for row in rows], T, np.int64, pad_id)),
        "labels": torch.from_numpy(np.where(is_predicted, targets, 0)),
        "loss_mask": torch.from_numpy(is_predicted.astype(np.float32)),
        "position_ids": torch.from_numpy(_positions(rows, T, restart_positions)),
        **_of_teachers(samples, T),
    }


def _firsts(samples: Sequence[Sample]) -> list[Row]:
    if not samples:
        raise ValueError("an empty batch: expected at least one row")
    return [sample[0] if isinstance(sample, tuple) else sample for sample in samples]


def _longest(rows: Sequence[Row], pad_to: int | None) -> int:
    longest = max(row.n_targets for row in rows)
    if pad_to is not None and pad_to < longest:
        raise ValueError(f"pad_to is {pad_to}, but a sequence has {longest} targets: pad to the labels' seq_len")
    return longest if pad_to is None else pad_to


def _padded(arrays: Sequence[Array], length: int, dtype: type, fill: int = 0) -> Array:
    """[B, length, ...]: the arrays stacked, with padding."""
    shape = (len(arrays), length, *arrays[0].shape[1:])
    # If all rows have full length, as is common, nothing is filled first.
    is_full = all(len(array) == length for array in arrays)
    out = np.empty(shape, dtype) if is_full else np.full(shape, fill, dtype)
    for row, array in enumerate(arrays):
        out[row, : len(array)] = array[:length]
    return out


def _predicted(rows: Sequence[Row], T: int, across_documents: bool) -> Array:
    """[B, T] bool: whether target t counts."""
    real = np.arange(T) < np.array([[row.n_targets] for row in rows])
    if across_documents:
        return np.asarray(real)
    return np.asarray(real & _padded([row.within_documents() for row in rows], T, np.bool_))


def _positions(rows: Sequence[Row], length: int, restart: bool) -> Array:
    if not restart:
        return np.tile(np.arange(length, dtype=np.int64), (len(rows), 1))
    return _padded([row.position_ids(restart=True)[:length] for row in rows], length, np.int64)


def _of_teachers(samples: Sequence[Sample], T: int) -> Batch:
    batch = {"seq_ids": torch.tensor([row.seq_id for row in _firsts(samples)], dtype=torch.int64)}
    n_sets = len(samples[0]) if isinstance(samples[0], tuple) else 1
    for number in range(n_sets):
        rows = [sample[number] if isinstance(sample, tuple) else sample for sample in samples]
        suffix = f"_{number + 1}" if number else ""
        batch |= {f"{name}{suffix}": torch.from_numpy(field) for name, field in _fields(rows, T)}
    return batch


def _fields(rows: Sequence[Row], T: int) -> Iterator[tuple[str, Array]]:
    first = rows[0]
    for name in (*_OF_TARGETS, *_OF_TOPK):
        if getattr(first, name) is not None:
            dtype = np.int32 if name in ("target_rank", "topk_ids") else np.float32
            yield name, _padded([getattr(row, name) for row in rows], T, dtype)
    for tau in first.log_partitions:
        yield log_partition_name(tau), _padded([row.log_partitions[tau] for row in rows], T, np.float32)
    if first.sampled_ids is not None:
        yield from _draws(rows, T)


def _draws(rows: Sequence[Row], T: int) -> Iterator[tuple[str, Array]]:
    """Draws as [B, T, S]: flat lists are spread over S slots per position."""
    offsets = [np.asarray(row.sample_offsets, np.int64) for row in rows]
    S = max(int(np.diff(at).max(initial=0)) for at in offsets)
    ids = np.zeros((len(rows), T, S), np.int32)
    counts = np.zeros_like(ids)
    for b, (row, at) in enumerate(zip(rows, offsets, strict=True)):
        n = np.diff(at)
        t = np.repeat(np.arange(len(n)), n)
        slot = np.arange(at[-1]) - np.repeat(at[:-1], n)
        ids[b, t, slot] = np.asarray(row.sampled_ids)
        counts[b, t, slot] = np.asarray(row.sampled_counts)
    yield "sampled_ids", ids
    yield "sampled_counts", counts
