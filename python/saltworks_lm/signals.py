"""Computes the labels of a position from its logits: the program's maths, in NumPy and float64.

For an engine that gives logits (or log-probabilities of the whole vocabulary). `saltworks label` does the same
about ten times faster; the results differ only by float32 rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .columns import Array
from .plan import Samples

#: k of the scores (SALT eq. 10).
SCORE_K = 10
#: Number of logits processed at a time.
_PIECE = 1 << 23
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)

Fields = dict[str, Array]


def signals_of_logits(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    top_k: int = 0,
    temperatures: Sequence[float] = (),
    samples: Samples | None = None,
    seq_id: int = 0,
) -> Fields:
    """All fields of one sequence for `LabelWriter.write`.

    Parameters
    ----------
    logits : [T, V] floats
        Raw logits; row t predicts `targets[t]`. A padded head must already be cut to V.
    targets : [T] integers
    top_k
        K, or 0 for none.
    temperatures
        Extra temperatures.
    samples
        How to draw ids; None: no draws.
    seq_id
        Number of the sequence, on which its draws depend.

    Returns
    -------
    fields
        Arrays, named like `LabelWriter.write`'s parameters.
    """
    z, y = np.asarray(logits), np.asarray(targets, np.int64)
    if z.ndim != 2 or y.shape != z.shape[:1] or not np.issubdtype(z.dtype, np.floating):
        raise ValueError(f"logits {z.shape} of {z.dtype} and targets {y.shape}: expected floats [T, V] and [T]")
    if len(y) and not (y.min() >= 0 and y.max() < z.shape[1]):
        raise ValueError(f"targets go from {y.min()} to {y.max()}, but the logits cover {z.shape[1]} ids")
    if np.isnan(z).any() or np.isposinf(z).any():
        raise ValueError("logits contain NaN or +inf: expected finite numbers, or -inf for an impossible id")
    n_rows = max(1, _PIECE // max(z.shape[1], 1))
    starts = range(0, len(y), n_rows)
    parts = [_piece(z[t : t + n_rows], y[t : t + n_rows], top_k, temperatures, samples, seq_id, t) for t in starts]
    fields = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    if samples is not None:
        fields["sample_offsets"] = np.append(0, fields.pop("n_distinct").cumsum()).astype(np.uint32)
    return fields


def _piece(
    logits: Array,
    targets: Array,
    top_k: int,
    temperatures: Sequence[float],
    samples: Samples | None,
    seq_id: int,
    start: int,
) -> Fields:
    z = logits.astype(np.float64)
    peak = z.max(1, keepdims=True)
    lse = peak + np.log(np.exp(z - peak).sum(1, keepdims=True))
    logprob = z - lse
    p = np.exp(logprob)
    t = np.arange(len(z))
    of_target = z[t, targets][:, None]
    is_before = (z > of_target) | ((z == of_target) & (np.arange(z.shape[1]) < targets[:, None]))
    best = _best(z, min(max(top_k, SCORE_K), z.shape[1]))
    fields: Fields = {
        "target_logprob": logprob[t, targets],
        "target_rank": is_before.sum(1).astype(np.uint32),
        "entropy": -(p * np.where(p > 0, logprob, 0.0)).sum(1),
        "logsumexp": lse[:, 0],
        "score_topk_mass": np.minimum(np.take_along_axis(p, best[:, :SCORE_K], 1).sum(1), 1.0),
    }
    if top_k:
        kept = best[:, :top_k]
        fields["topk_ids"] = kept.astype(np.uint32)
        fields["topk_logprobs"] = np.take_along_axis(logprob, kept, 1).astype(np.float32)
        outside = p.copy()
        np.put_along_axis(outside, kept, 0.0, 1)
        fields["tail_mass"] = outside.sum(1)
        for x, tau in enumerate(temperatures):
            fields[f"log_partition_{x}"] = np.log(np.exp(logprob / tau).sum(1))
    if samples is not None:
        fields |= _draws(logprob, samples, seq_id, start)
    return fields


def _best(z: Array, k: int) -> Array:
    """[T, k] ids by decreasing logit, ties by id."""
    if k >= z.shape[1]:
        return np.argsort(-z, axis=1, kind="stable")
    some = np.sort(np.argpartition(-z, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(z, some, 1), axis=1, kind="stable")
    best = np.take_along_axis(some, order, 1)
    # If the last kept id is tied with others, `argpartition` kept arbitrary ones of them.
    last = np.take_along_axis(z, best[:, -1:], 1)
    for t in np.flatnonzero((z >= last).sum(1) > k):
        best[t] = np.argsort(-z[t], kind="stable")[:k]
    return best


def _draws(logprob: Array, samples: Samples, seq_id: int, start: int) -> Fields:
    tempered = np.exp((logprob - logprob.max(1, keepdims=True)) / samples.tau)
    borders = np.cumsum(tempered / tempered.sum(1, keepdims=True), axis=1)
    ids, counts, n_distinct = [], [], []
    for t, border in enumerate(borders):
        u = uniforms(samples.seed, seq_id, start + t, samples.n_draws)
        drawn = np.minimum(np.searchsorted(border, u, side="right"), len(border) - 1)
        # Rounding may leave the last boundary below 1, so draws are limited to the last id with a
        # probability.
        drawn = np.minimum(drawn, np.flatnonzero(tempered[t])[-1])
        found, times = np.unique(drawn, return_counts=True)
        ids.append(found)
        counts.append(times)
        n_distinct.append(len(found))
    return {
        "sampled_ids": np.concatenate(ids).astype(np.uint32),
        "sampled_counts": np.concatenate(counts).astype(np.uint16),
        "n_distinct": np.array(n_distinct, np.int64),
    }


def uniforms(seed: int, seq_id: int, position: int, n: int) -> Array:
    """[n] float64 in [0, 1): the numbers that the program draws with, two per counter of Philox 4x32-10."""
    pairs = np.arange((n + 1) // 2)
    key = (seed & 0xFFFFFFFF, seed >> 32)
    a, b, c, d = _philox(key, (seq_id & 0xFFFFFFFF, seq_id >> 32, position, pairs))
    bits = np.stack([b << _32 | a, d << _32 | c], -1).reshape(-1)[:n]
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _philox(key: tuple[int, int], counter: tuple[Any, ...]) -> list[Array]:
    """Four words per counter: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011."""
    words: list[Array] = [np.asarray(word, np.uint64) for word in np.broadcast_arrays(*counter)]
    for i in range(10):
        keys = [np.uint64((key[j] + i * step) & 0xFFFFFFFF) for j, step in enumerate((0x9E3779B9, 0xBB67AE85))]
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (second >> _32) ^ words[1] ^ keys[0],
            second & _LOW,
            (first >> _32) ^ words[3] ^ keys[1],
            first & _LOW,
        ]
    return words
