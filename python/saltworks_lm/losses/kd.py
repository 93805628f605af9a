"""From a teacher's labels to the target distribution of each position.

The rules are those of ``saltworks-train`` (``docs/method.md``): p are the stored probabilities, p_tail is the
stored mass outside them. Stored values are rounded and may sum to more than 1, but the tail is not rounded, so a
stored tail is never recomputed as 1 - sum.

| loss | tau = 1 | another tau |
| --- | --- | --- |
| ``tail-bucket`` | p (1 - p_tail) / sum(p), tail p_tail | p^(1/tau) / exp(log-partition), tail 1 - their sum |
| ``renormalize`` | p / sum(p) | the same, scaled to sum to 1 |
| ``drop`` | p | the same |
| ``sampled`` | count / N | the same, of draws that were made there |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

#: Values of ``kd.loss``.
KD_LOSSES = ("tail-bucket", "sampled", "renormalize", "drop")
#: Values of ``kd.teachers``.
TEACHERS = ("mix", "lower-nll")
#: Values of ``kd.gate``.
GATES = ("none", "learnable", "entropy", "agreement", "excess")
#: Values of ``kd.gate_excess``.
GATE_EXCESS = ("cut", "weight")


@dataclass(frozen=True)
class KdPolicy:
    """How labels become targets.

    Parameters
    ----------
    loss
        One of :data:`KD_LOSSES`.
    tau
        Temperature, positive. With ``sampled`` it is that of the draws.
    temperature_mode
        ``teacher`` tempers only the teacher; ``both`` also the student, and scales the loss by tau squared.
    gate
        ``none``; ``learnable``: only positions whose target is among the teacher's ``gate_k`` top ids; ``entropy``:
        all but the fraction ``gate_fraction`` of a step's labelled positions where the teacher's entropy is lowest;
        ``agreement``: those where the teacher's NLL of the target is below the student's; ``excess``: excludes, from
        KD and cross-entropy, the fraction ``gate_fraction`` of labelled positions with the smallest excess of the
        student's NLL over the teacher's.
    gate_excess
        What ``excess`` does: ``cut`` is the above; ``weight`` excludes nothing, and weights CE and KD of a position by
        T / (T + q), with T the teacher's and q the student's probability of the target.
    teachers, teacher_weights
        With several teachers: ``mix``, the weighted sum of their losses (only the ratios of weights matter);
        ``lower-nll``, at each position the loss of the one whose NLL of the target is lowest.
    """

    loss: str
    tau: float = 1.0
    temperature_mode: str = "teacher"
    gate: str = "none"
    gate_k: int = 10
    gate_fraction: float = 0.15
    teachers: str = "mix"
    teacher_weights: tuple[float, ...] = (1.0,)
    gate_excess: str = "cut"

    def __post_init__(self) -> None:
        _one_of("loss", self.loss, KD_LOSSES)
        _one_of("temperature_mode", self.temperature_mode, ("teacher", "both"))
        _one_of("gate", self.gate, GATES)
        _one_of("gate_excess", self.gate_excess, GATE_EXCESS)
        _one_of("teachers", self.teachers, TEACHERS)
        if not self.tau > 0.0:
            raise ValueError(f"kd.tau: expected a positive temperature, found {self.tau}")

    @property
    def cuts_excess(self) -> bool:
        """Whether the gate cuts a fraction, by a boundary from the previous step."""
        return self.gate == "excess" and self.gate_excess == "cut"

    @property
    def student_tau(self) -> float:
        """Temperature of the student's softmax in the KD part."""
        return self.tau if self.temperature_mode == "both" else 1.0


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"kd.{key}: expected one of {', '.join(known)}, found {value}")


@dataclass(frozen=True)
class TopK:
    """Stored top-k of N positions.

    ids ``[N, K]`` int64, all -1 at a position without labels; logprobs ``[N, K]`` f32, nats, at temperature 1, -inf
    for an impossible id; tail_mass ``[N]`` f32, the probability outside the K; log_partition ``[N]`` f32, log of the
    sum over V of p^(1/tau) at the policy's tau, if that is not 1.
    """

    ids: Tensor
    logprobs: Tensor
    tail_mass: Tensor
    log_partition: Tensor | None = None


@dataclass(frozen=True)
class Draws:
    """Stored draws of N positions: distinct ids ``[N, S]`` int64 and counts ``[N, S]``, -1 and 0 as padding."""

    ids: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Stats:
    """The stored group ``stats`` of N positions, for gates: target_logprob and entropy ``[N]`` f32, nats; target_rank
    ``[N]``, number of ids that the teacher ranks above the target.
    """

    target_logprob: Tensor
    target_rank: Tensor
    entropy: Tensor


@dataclass(frozen=True)
class Kd:
    """The teacher's targets at N positions, for :func:`~saltworks_lm.losses.head_loss`.

    ids ``[N, K]`` int64 with -1 as padding; probs ``[N, K]`` f32; tail ``[N]`` f32 with ``tail-bucket``, else None;
    omega ``[N]`` f32, the fraction of KD in the loss of a position: 0 where there are no labels, or where a gate that
    depends only on the labels is closed.

    If I teachers are mixed, tail is ``[N, I]``, times each one's weight, and in_tail ``[N, I, K]`` bool says which
    ids are in which teacher's tail; else in_tail is None. negentropy ``[N]`` f32 is the sum of p log p, nats; None:
    computed from probs and tail.

    teacher_nll ``[N]`` f32, nats, is for a gate that depends on the student's NLL, else None. With least_excess
    the gate is ``excess``, which cuts where the student's NLL minus the teacher's is below that; with is_weighted
    it is ``excess`` that weights; else it is ``agreement``, which is open where the student's NLL is above the
    teacher's.
    """

    loss: str
    ids: Tensor
    probs: Tensor
    tail: Tensor | None
    omega: Tensor
    student_tau: float = 1.0
    teacher_nll: Tensor | None = None
    least_excess: float | None = None
    in_tail: Tensor | None = None
    negentropy: Tensor | None = None
    is_weighted: bool = False

    def to(self, device: torch.device) -> Kd:
        """The same on another device."""
        parts: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in parts.items()})


def min_entropy(entropy: Tensor, fraction: float) -> float | None:
    """The entropy below which ``fraction`` of a step's labelled positions lie; the gate ``entropy`` is open from
    there.

    Parameters
    ----------
    entropy
        ``[M]`` at all labelled positions of the step that count in the loss, in any order.
    fraction
        Above 0 and below 1. Positions equal to the result are open.

    Returns
    -------
    The value at index floor(fraction * M) of the sorted values; None without values.
    """
    return _value_above(entropy, fraction)


def min_excess(excess: Tensor, fraction: float) -> float | None:
    """The boundary of the gate ``excess`` for the next step: the value below which ``fraction`` of the excesses lie.

    Parameters
    ----------
    excess
        ``[M]`` nats, the student's NLL minus the teacher's at all labelled positions of the step with a weight, cut
        or not, in any order.
    fraction
        Above 0 and below 1. Positions equal to the result are not cut.

    Returns
    -------
    The value at index floor(fraction * M) of the sorted values; None without values, or if it is not
    finite.
    """
    least = _value_above(excess, fraction)
    return least if least is not None and math.isfinite(least) else None


def _value_above(values: Tensor, fraction: float) -> float | None:
    place = int(fraction * values.numel())
    return values.flatten().kthvalue(place + 1).values.item() if place < values.numel() else None


def topk_targets(
    policy: KdPolicy,
    topk: TopK,
    omega: float,
    stats: Stats | None = None,
    least_entropy: float | None = None,
    least_excess: float | None = None,
) -> Kd:
    """Targets of ``tail-bucket``, ``renormalize`` and ``drop``.

    Parameters
    ----------
    policy
        The loss, its temperature and its gate.
    topk
        The stored top-k.
    omega
        Fraction of KD in the loss, from 0 to 1.
    stats
        The statistics that gates use.
    least_entropy
        From :func:`min_entropy` over the whole step; only for the gate ``entropy``. None leaves it
        open.
    least_excess
        From :func:`min_excess` over the previous step; only for the gate ``excess`` that cuts. None cuts
        nothing.
    """
    probs = _tempered(policy, topk)
    total = probs.sum(1, keepdim=True)
    stored_tail = topk.tail_mass.double()
    tail: Tensor | None = None
    if policy.loss == "renormalize":
        probs = _rescaled(probs, total, torch.ones_like(total))
    elif policy.loss == "tail-bucket" and policy.tau == 1.0:
        probs, tail = _rescaled(probs, total, 1.0 - stored_tail[:, None]), stored_tail
    elif policy.loss == "tail-bucket":
        has_none = (stored_tail == 0.0) | (total[:, 0] > 1.0)
        probs = torch.where(has_none[:, None], _rescaled(probs, total, torch.ones_like(total)), probs)
        tail = torch.where(has_none, 0.0, 1.0 - total[:, 0])
    elif policy.loss != "drop":
        raise ValueError(f"kd.loss: {policy.loss} learns from samples, found top-k; use draws_targets")
    tail = None if tail is None else tail.float()
    omega_n = _omega(policy, omega, topk.ids[:, 0] >= 0, stats, least_entropy)
    kd = Kd(policy.loss, topk.ids, probs.float(), tail, omega_n, policy.student_tau)
    return _gated(kd, policy, stats, least_excess)


def draws_targets(
    policy: KdPolicy,
    draws: Draws,
    omega: float,
    stats: Stats | None = None,
    least_entropy: float | None = None,
    least_excess: float | None = None,
) -> Kd:
    """Targets of ``sampled``: distinct drawn ids, with their fractions of the draws. See :func:`topk_targets`."""
    if policy.loss != "sampled":
        raise ValueError(f"kd.loss: {policy.loss} learns from top-k, found samples; use topk_targets")
    counts = draws.counts.double().masked_fill(draws.ids < 0, 0.0)
    n_draws = counts.sum(1, keepdim=True)
    probs = (counts / n_draws.clamp_min(1.0)).float()
    omega_n = _omega(policy, omega, n_draws[:, 0] > 0, stats, least_entropy)
    return _gated(Kd("sampled", draws.ids, probs, None, omega_n, policy.student_tau), policy, stats, least_excess)


def excess_targets(policy: KdPolicy, stats: Stats, least_excess: float | None = None) -> Kd:
    """Targets of only cross-entropy (omega 0) with the gate ``excess``, which needs no ids."""
    n, device = len(stats.target_logprob), stats.target_logprob.device
    ids = torch.full((n, 1), -1, dtype=torch.int64, device=device)
    probs = torch.zeros(n, 1, device=device)
    return _gated(Kd(policy.loss, ids, probs, None, torch.zeros(n, device=device)), policy, stats, least_excess)


def _tempered(policy: KdPolicy, topk: TopK) -> Tensor:
    """``[N, K]`` f64 at the policy's temperature; 0 at padding."""
    logprobs = topk.logprobs.double()
    if policy.tau != 1.0:
        if topk.log_partition is None:
            raise ValueError(f"kd.tau: expected labels with the temperature {policy.tau}, found none")
        logprobs = logprobs / policy.tau - topk.log_partition.double()[:, None]
    return logprobs.exp().masked_fill(topk.ids < 0, 0.0)


def _rescaled(probs: Tensor, total: Tensor, to: Tensor) -> Tensor:
    """Scales to another sum; rows of all 0 stay 0."""
    return torch.where(total > 0.0, probs * (to / torch.where(total > 0.0, total, 1.0)), probs)


def _omega(
    policy: KdPolicy, omega: float, has_labels: Tensor, stats: Stats | None, least_entropy: float | None
) -> Tensor:
    is_open = has_labels
    if policy.gate == "learnable":
        is_open = is_open & (_needed(policy, stats).target_rank < policy.gate_k)
    if policy.gate == "entropy" and least_entropy is not None:
        is_open = is_open & (_needed(policy, stats).entropy >= least_entropy)
    return is_open.float() * omega


def _gated(kd: Kd, policy: KdPolicy, stats: Stats | None, least_excess: float | None) -> Kd:
    """Adds what a gate that depends on the student's NLL needs."""
    is_weighted = policy.gate == "excess" and policy.gate_excess == "weight"
    least = least_excess if policy.cuts_excess else None
    if policy.gate != "agreement" and not is_weighted and least is None:
        return kd
    teacher_nll = -_needed(policy, stats).target_logprob
    return replace(kd, teacher_nll=teacher_nll, least_excess=least, is_weighted=is_weighted)


def _needed(policy: KdPolicy, stats: Stats | None) -> Stats:
    if stats is None:
        raise ValueError(f"kd.gate: {policy.gate} needs the group stats of the labels, found none")
    return stats
