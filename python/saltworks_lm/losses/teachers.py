"""Several teachers of the same positions: mixed, or one chosen at each position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from .kd import Kd, Stats


def shares_of(weights: Sequence[float]) -> list[float]:
    """Normalizes weights with a positive sum to sum to 1."""
    total = sum(weights)
    return [weight / total for weight in weights]


def mixed_stats(stats: Sequence[Stats], weights: Sequence[float]) -> Stats:
    """The statistics that gates use if teachers are mixed.

    Parameters
    ----------
    stats
        One per teacher, for the same N positions.
    weights
        One per teacher; only their ratios matter.

    Returns
    -------
    target_logprob of the mixture; the lowest target_rank; the weighted mean of entropy, a lower bound of the
    mixture's.
    """
    shares = shares_of(weights)
    probs = [share * one.target_logprob.double().exp() for share, one in zip(shares, stats, strict=True)]
    entropies = [share * one.entropy.double() for share, one in zip(shares, stats, strict=True)]
    ranks = torch.stack([one.target_rank for one in stats]).amin(0)
    return Stats(_sum(probs).log().float(), ranks, _sum(entropies).float())


def chosen_stats(stats: Sequence[Stats]) -> tuple[Stats, Tensor]:
    """Statistics of the teacher whose NLL of the target is lowest, and ``[N]`` int64 its index; of equal ones the
    first.
    """
    logprobs = torch.stack([one.target_logprob for one in stats])
    best = logprobs.amax(0)
    chosen = (logprobs == best).int().argmax(0)
    picked = [torch.stack([getattr(one, name) for one in stats]) for name in ("target_rank", "entropy")]
    rank, entropy = (values.gather(0, chosen[None])[0] for values in picked)
    return Stats(best, rank, entropy), chosen


def mixed_targets(targets: Sequence[Kd], weights: Sequence[float]) -> Kd:
    """The weighted sum of the losses by each teacher.

    Parameters
    ----------
    targets
        One per teacher, for the same N positions, with the same policy and the stats of
        :func:`mixed_stats`.
    weights
        One per teacher; only their ratios matter.

    Returns
    -------
    Kd
        ids ``[N, K]`` of all teachers without duplicates; probs, their weighted sums; with ``tail-bucket`` one
        tail per teacher.
    """
    first, shares = targets[0], shares_of(weights)
    ids, probs = first.ids, shares[0] * first.probs.double()
    kept = [first.ids >= 0]
    for share, other in zip(shares[1:], targets[1:], strict=True):
        ids, probs, kept = _with(ids, probs, kept, other, share)
    # Padding comes last.
    order = (ids < 0).to(torch.uint8).argsort(dim=1, stable=True)
    ids, probs = ids.gather(1, order), probs.gather(1, order)
    tail = in_tail = None
    if first.tail is not None:
        tails = [share * one.tail for share, one in zip(shares, targets, strict=True) if one.tail is not None]
        tail = torch.stack(tails, 1)
        in_tail = torch.stack([(~of.gather(1, order)) & (ids >= 0) for of in kept], 1)
    negentropy = _sum([share * negentropy_of(one) for share, one in zip(shares, targets, strict=True)])
    omega = torch.stack([one.omega for one in targets]).amin(0)
    return replace(
        first,
        ids=ids,
        probs=probs.float(),
        tail=tail,
        in_tail=in_tail,
        omega=omega,
        negentropy=negentropy.float(),
    )


def chosen_targets(targets: Sequence[Kd], chosen: Tensor) -> Kd:
    """At each position the loss of one teacher.

    Parameters
    ----------
    targets
        One per teacher, for the same N positions, with the same policy and the stats of
        :func:`chosen_stats`.
    chosen
        ``[N]`` int64, index of the teacher.
    """
    first, width = targets[0], max(one.ids.shape[1] for one in targets)
    ids, probs = first.ids, first.probs
    ids, probs = _wide(ids, width, -1), _wide(probs, width, 0)
    tail, omega = first.tail, first.omega
    for number, other in enumerate(targets[1:], 1):
        is_it = chosen == number
        ids = torch.where(is_it[:, None], _wide(other.ids, width, -1), ids)
        probs = torch.where(is_it[:, None], _wide(other.probs, width, 0), probs)
        omega = torch.where(is_it, other.omega, omega)
        if tail is not None and other.tail is not None:
            tail = torch.where(is_it, other.tail, tail)
    return replace(first, ids=ids, probs=probs, tail=tail, omega=omega)


def negentropy_of(kd: Kd) -> Tensor:
    """``[N]`` f64, nats: sum of p log p over a single teacher's targets."""
    probs = kd.probs.double()
    found = torch.xlogy(probs, probs).sum(1)
    return found if kd.tail is None else found + torch.xlogy(kd.tail.double(), kd.tail.double())


def _with(
    ids: Tensor, probs: Tensor, kept: list[Tensor], other: Kd, share: float
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Adds the ids of another teacher: known ids add to their probability, new ones are appended."""
    is_real = other.ids >= 0
    # [N, K of the other, K so far]
    same = (other.ids[:, :, None] == ids[:, None, :]) & is_real[:, :, None]
    is_there, place = same.any(2), same.int().argmax(2)
    weighted = share * other.probs.double()
    probs = probs.scatter_add(1, place, weighted.masked_fill(~is_there, 0.0))
    is_new = is_real & ~is_there
    new_ids = other.ids.masked_fill(~is_new, -1)
    of_others = [torch.cat([of, torch.zeros_like(is_new)], 1) for of in kept]
    kept = [*of_others, torch.cat([same.any(1), is_new], 1)]
    return torch.cat([ids, new_ids], 1), torch.cat([probs, weighted.masked_fill(~is_new, 0.0)], 1), kept


def _wide(values: Tensor, width: int, missing: int) -> Tensor:
    return pad(values, (0, width - values.shape[1]), value=missing)


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)
