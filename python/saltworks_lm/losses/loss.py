"""Cross-entropy mixed with KD; the gradient is computed in the forward pass.

    L = sum over positions of w ((1 - omega) * -log q_y + omega * KD)

KD of a position is a sum of log-probabilities with constant coefficients, so its gradient does not need the
logits again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .fused import (
    DEFAULT_PIECE,
    Coefficients,
    Gradients,
    How,
    Logprobs,
    NllGate,
    Requested,
    Weights,
    accumulate_dtype,
    all_logprobs,
    check_ids,
    check_shapes,
    no_autocast,
    not_compiled,
    piece_gradient,
    pieces,
    product_dtype,
)
from .head import Head
from .kd import Kd
from .teachers import negentropy_of

#: A target that is ignored.
IGNORED = -100


@dataclass(frozen=True)
class HeadLoss:
    """Loss of N positions.

    loss is a scalar, differentiable once: it has no second derivative. The others are ``[N]``, f32 (f64 for f64 hidden
    states), without a gradient. omega is the fraction of KD in the position's loss, 0 where a gate is closed. In nats:
    ce, -log q of the target; kd, with its factor tau^2 if the student is tempered; soft, the cross-entropy with the
    teacher's distribution as the loss uses it. All are 0 at positions without weight; kd and soft are also 0 where
    omega is. is_learnt, bool, is False at positions without weight or cut by the gate ``excess``; gate_weight is 0
    there, the weight of ``excess`` if it weights, and else 1.
    """

    loss: Tensor
    omega: Tensor
    ce: Tensor
    kd: Tensor
    soft: Tensor
    is_learnt: Tensor
    gate_weight: Tensor


@not_compiled
def head_loss(
    hidden: Tensor,
    head: Head,
    target: Tensor,
    *,
    kd: Kd | None = None,
    weight: Tensor | None = None,
    scale: float | Tensor | None = None,
    piece: int = DEFAULT_PIECE,
    check: bool = True,
) -> HeadLoss:
    """Loss of N positions under a head, with gradients of hidden states, weight and bias.

    Parameters
    ----------
    hidden
        ``[N, D]`` floating point, the head's input.
    head
        The head, as the model applies it.
    target
        ``[N]`` int64 below V; -100 is ignored.
    kd
        The teacher's targets; None: only cross-entropy.
    weight
        ``[N]`` weight of each position; None: 1.
    scale
        Factor of the sum. None: divides by the sum of the weights, which gives the weighted mean.
    piece
        Positions whose logits are in memory at a time; affects only memory and speed.
    check
        Whether to check the range of the ids first, which waits for the device.

    Returns
    -------
    HeadLoss
        Sums are computed in f32 (f64 for f64 hidden states), also under autocast.
    """
    requested = _requested(target, kd)
    check_shapes(hidden, head, requested)
    if check:
        check_ids(head, requested)
    dtype = accumulate_dtype(hidden)
    weight_n = torch.ones_like(target, dtype=dtype) if weight is None else weight.to(dtype)
    weight_n = weight_n.masked_fill(target == IGNORED, 0.0)
    if scale is None:
        scale = weight_n.sum().clamp_min(torch.finfo(dtype).tiny).reciprocal()
    g = _coefficients_of(requested, kd, weight_n, scale)
    how = How(product_dtype(hidden), piece)
    bias = head.bias
    parts = _HeadLoss.apply(hidden, head.weight, bias, head, requested, g, how, torch.is_grad_enabled())
    found = Logprobs(*parts[1:])
    return _with_position_values(parts[0], found, kd, weight_n, scale)


def _requested(target: Tensor, kd: Kd | None) -> Requested:
    target = target.masked_fill(target == IGNORED, 0) if target.dtype == torch.int64 else target
    if kd is None:
        return Requested(target)
    return Requested(target, kd.ids, kd.tail is not None, kd.student_tau, kd.in_tail)


def _coefficients_of(requested: Requested, kd: Kd | None, weight_n: Tensor, scale: float | Tensor) -> Coefficients:
    if kd is None:
        return Coefficients(-weight_n * scale, None, None)
    omega = kd.omega.to(weight_n.dtype)
    of_kd = -weight_n * scale * omega * kd.student_tau**2
    of_ids = of_kd[:, None] * kd.probs.to(weight_n.dtype).masked_fill(kd.ids < 0, 0.0)
    of_tail = None
    if kd.tail is not None:
        of_tail = (of_kd if kd.tail.dim() == 1 else of_kd[:, None]) * kd.tail.to(weight_n.dtype)
    alone = -weight_n * scale
    gate = _gate_of(kd, weight_n.dtype)
    is_cut = gate is not None and gate.cuts_positions
    closed = torch.zeros_like(weight_n) if is_cut else alone
    return Coefficients(alone * (1.0 - omega), of_ids, of_tail, gate, closed)


def _gate_of(kd: Kd, dtype: torch.dtype) -> NllGate | None:
    if kd.teacher_nll is None:
        return None
    return NllGate(kd.teacher_nll.to(dtype), kd.least_excess, kd.is_weighted)


class _HeadLoss(torch.autograd.Function):
    """Sum of coefficients times log-probabilities, and the log-probabilities."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        head: Head,
        requested: Requested,
        g: Coefficients,
        how: How,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        weights = Weights.of(head, weight, bias, hidden, how.dtype)
        if with_gradient and any(ctx.needs_input_grad):
            ctx.gradients, found = _differentiated(weights, (hidden, weight, bias), requested, g, how)
            ctx.save_for_backward(hidden, weight, bias)
            ctx.rest = (head, requested, g, how)
        else:
            found = all_logprobs(weights, hidden, requested, how.piece)
        others = [part for part in (found.target, found.ids, found.tail) if part is not None]
        ctx.mark_non_differentiable(*others)
        ctx.set_materialize_grads(False)
        return _sum(found, g), found.target, found.ids, found.tail

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if grads[0] is None:
            return (None,) * 8
        # They are given away, so a second backward pass (retain_graph) recomputes them.
        gradients, ctx.gradients = ctx.gradients or _again(ctx), None
        of_parameters = gradients.times(grads[0])
        return (gradients.hidden, *of_parameters, None, None, None, None, None)


def _differentiated(
    weights: Weights, inputs: tuple[Tensor, Tensor, Tensor | None], requested: Requested, g: Coefficients, how: How
) -> tuple[Gradients, Logprobs]:
    hidden, weight, bias = inputs
    gradients, parts = Gradients(weights, hidden, weight, bias), []
    with no_autocast(hidden):
        for rows in pieces(len(hidden), how.piece):
            found, dproduct = piece_gradient(weights, hidden[rows], requested.piece(rows), g.piece(rows))
            gradients.add(rows, dproduct)
            del dproduct  # before the logits of the next piece are made
            parts.append(found)
    return gradients, Logprobs.cat(parts)


def _again(ctx: Any) -> Gradients:
    head, requested, g, how = ctx.rest
    hidden, weight, bias = ctx.saved_tensors
    weights = Weights.of(head, weight, bias, hidden, how.dtype)
    return _differentiated(weights, (hidden, weight, bias), requested, g, how)[0]


def _sum(found: Logprobs, g: Coefficients) -> Tensor:
    g = g.gated(found.target)
    total = (g.target * found.target).sum()
    if g.ids is not None and found.ids is not None:
        total = total + torch.where(g.ids == 0.0, 0.0, g.ids * found.ids).sum()
    if g.tail is not None and found.tail is not None:
        total = total + (g.tail * found.tail).sum()
    return total


def _with_position_values(
    summed: Tensor, found: Logprobs, kd: Kd | None, weight_n: Tensor, scale: float | Tensor
) -> HeadLoss:
    """Adds the teacher's entropy, which has no gradient, and fills in the values of every position."""
    is_learnt = weight_n > 0.0
    ce = torch.where(is_learnt, -found.target, 0.0)
    if kd is None or found.ids is None:
        nothing = torch.zeros_like(ce)
        return HeadLoss(summed, nothing, ce, nothing, nothing, is_learnt, is_learnt.to(ce.dtype))
    probs = kd.probs.to(ce.dtype)
    soft = _minus_sum(probs, found.ids)
    if kd.tail is not None and found.tail is not None:
        of_tail = kd.tail.to(ce.dtype) * found.tail
        soft = soft - (of_tail if of_tail.dim() == 1 else of_tail.sum(1))
    negentropy = negentropy_of(kd) if kd.negentropy is None else kd.negentropy
    negentropy = negentropy.to(ce.dtype)
    omega = torch.where(is_learnt, kd.omega.to(ce.dtype), 0.0)
    gate, gate_weight = _gate_of(kd, ce.dtype), None
    if gate is not None and gate.is_weighted:
        gate_weight = torch.where(is_learnt, gate.weight(-found.target), 0.0)
    elif gate is not None:
        is_open = gate.is_open(-found.target)
        omega = torch.where(is_open, omega, 0.0)
        if gate.cuts_positions:
            is_learnt = is_learnt & is_open
    gate_weight = is_learnt.to(ce.dtype) if gate_weight is None else gate_weight
    is_taught = omega > 0.0
    factor = kd.student_tau**2
    soft, negentropy = (torch.where(is_taught, factor * x, 0.0) for x in (soft, negentropy))
    constant = (weight_n * gate_weight * omega * negentropy).sum() * scale
    return HeadLoss(summed + constant, omega, ce, soft + negentropy, soft, is_learnt, gate_weight)


def _minus_sum(probs: Tensor, logprobs: Tensor) -> Tensor:
    """-sum p log q, where ids of probability 0 do not count."""
    return -torch.where(probs > 0.0, probs * logprobs, 0.0).sum(1)
