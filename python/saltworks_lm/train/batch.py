"""Rows as tensors: the inputs of a forward pass and the loss for a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..columns import Array
from ..losses import (
    Draws,
    Kd,
    KdPolicy,
    Stats,
    TopK,
    chosen_targets,
    draws_targets,
    excess_targets,
    mixed_targets,
    topk_targets,
)
from ..row import Row
from .teachers import JoinedRow


@dataclass(frozen=True)
class Batch:
    """B sequences of at most T positions, padded at the end, and their N = B T flattened positions.

    input_ids ``[B, T]`` int64; target ``[N]`` int64; weight ``[N]`` f32, 0 at padding and, if document boundaries are
    masked, at targets across one; kd of the positions, if the step learns from a teacher; teacher_nll ``[N]`` f32,
    nats, if the labels of every row have it.
    """

    input_ids: Tensor
    target: Tensor
    weight: Tensor
    kd: Kd | None
    teacher_nll: Tensor | None

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""

        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device, non_blocking=True)

        kd = None if self.kd is None else self.kd.to(device)
        input_ids, target, weight = (
            x.to(device, non_blocking=True) for x in (self.input_ids, self.target, self.weight)
        )
        return Batch(input_ids, target, weight, kd, moved(self.teacher_nll))


def n_weighted(rows: Sequence[Row], mask_borders: bool) -> int:
    """Number of positions of rows that count in the loss."""
    return sum(int(row.within_documents().sum()) if mask_borders else row.n_targets for row in rows)


def entropies(rows: Sequence[Row], mask_borders: bool) -> Tensor:
    """``[M]`` f32, nats: the teacher's entropy at the labelled positions that count in the loss."""
    parts = [_entropy(row, mask_borders) for row in rows if row.entropy is not None]
    return torch.from_numpy(np.concatenate(parts)) if parts else torch.empty(0)


def _entropy(row: Row, mask_borders: bool) -> Array:
    entropy = np.asarray(row.entropy, np.float32)
    return entropy[row.within_documents()] if mask_borders else entropy


def batch_of(
    rows: Sequence[Row],
    seq_len: int,
    mask_borders: bool,
    policy: KdPolicy | None = None,
    omega: float = 0.0,
    least_entropy: float | None = None,
    least_excess: float | None = None,
) -> Batch:
    """A micro-batch of rows.

    Parameters
    ----------
    rows
        With the columns that the policy reads.
    seq_len
        T.
    mask_borders
        Whether to ignore targets that are the first token of a new document.
    policy
        How labels become targets; None: only cross-entropy.
    omega, least_entropy, least_excess
        Of the step.
    """
    input_ids = _padded([row.inputs for row in rows], seq_len, 0, np.int64)
    target = _padded([row.targets for row in rows], seq_len, 0, np.int64).flatten()
    ones = [row.within_documents() if mask_borders else np.ones(row.n_targets, bool) for row in rows]
    weight = _padded(ones, seq_len, 0, np.float32).flatten()
    kd = None if policy is None else _kd(rows, seq_len, policy, (omega, least_entropy, least_excess))
    logprobs = [row.target_logprob for row in rows]
    teacher_nll = None if any(x is None for x in logprobs) else -_column(rows, "target_logprob", seq_len)
    return Batch(input_ids, target, weight, kd, teacher_nll)


def _padded(lists: Sequence[Array], seq_len: int, missing: float, dtype: type) -> Tensor:
    """``[B, T, ...]``."""
    shape = next((x.shape[1:] for x in lists if len(x)), ())
    out = np.full((len(lists), seq_len, *shape), missing, dtype)
    for row, values in zip(out, lists, strict=True):
        row[: len(values)] = values
    return torch.from_numpy(out)


def _column(rows: Sequence[Row], name: str, seq_len: int, missing: float = 0.0) -> Tensor:
    """``[N]`` f32: a column of the positions."""
    lists = [getattr(row, name) for row in rows]
    return _padded([np.empty(0, np.float32) if x is None else x for x in lists], seq_len, missing, np.float32).flatten()


#: omega, least_entropy and least_excess.
_OfStep = tuple[float, float | None, float | None]


def _kd(rows: Sequence[Row], seq_len: int, policy: KdPolicy, of_step: _OfStep) -> Kd:
    stats = None
    if policy.gate != "none":
        names = ("target_logprob", "target_rank", "entropy")
        stats = Stats(*(_column(rows, name, seq_len) for name in names))
    omega, least_entropy, least_excess = of_step
    if omega == 0.0 and stats is not None:
        return excess_targets(policy, stats, least_excess)

    def of_teacher(rows: Sequence[Row]) -> Kd:
        if policy.loss == "sampled":
            return draws_targets(policy, _draws(rows, seq_len), omega, stats, least_entropy, least_excess)
        return topk_targets(policy, _topk(rows, seq_len, policy.tau), omega, stats, least_entropy, least_excess)

    joined = [row for row in rows if isinstance(row, JoinedRow)]
    if not joined:
        return of_teacher(rows)
    targets = [of_teacher(of_one) for of_one in ([*rows], *zip(*(row.others for row in joined), strict=True))]
    if policy.teachers == "mix":
        return mixed_targets(targets, policy.teacher_weights)
    chosen = _padded([_or_empty(row.chosen, ()) for row in joined], seq_len, 0, np.int64).flatten()
    return chosen_targets(targets, chosen)


def _topk(rows: Sequence[Row], seq_len: int, tau: float) -> TopK:
    ids = _padded([_or_empty(row.topk_ids) for row in rows], seq_len, -1, np.int64)
    logprobs = _padded([_or_empty(row.topk_logprobs) for row in rows], seq_len, -np.inf, np.float32)
    partition = None
    if tau != 1.0:
        of_tau = [row.log_partitions.get(tau, np.empty(0, np.float32)) for row in rows]
        partition = _padded(of_tau, seq_len, 0.0, np.float32).flatten()
    return TopK(ids.flatten(0, 1), logprobs.flatten(0, 1), _column(rows, "tail_mass", seq_len), partition)


def _or_empty(values: Array | None, shape: tuple[int, ...] = (1,)) -> Array:
    return np.empty((0, *shape), np.float32) if values is None else values


def _draws(rows: Sequence[Row], seq_len: int) -> Draws:
    """Ragged lists as ``[N, S]``, with S the longest."""
    lengths = [np.diff(row.sample_offsets) if row.sample_offsets is not None else np.empty(0, int) for row in rows]
    width = max((int(x.max()) for x in lengths if len(x)), default=1)
    ids = np.full((len(rows), seq_len, max(width, 1)), -1, np.int64)
    counts = np.zeros_like(ids)
    for b, (row, n_t) in enumerate(zip(rows, lengths, strict=True)):
        if len(n_t) and row.sampled_ids is not None and row.sampled_counts is not None:
            is_there = np.arange(width) < n_t[:, None]
            ids[b, : len(n_t), :width][is_there] = row.sampled_ids
            counts[b, : len(n_t), :width][is_there] = row.sampled_counts
    return Draws(torch.from_numpy(ids).flatten(0, 1), torch.from_numpy(counts).flatten(0, 1))
