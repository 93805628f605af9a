"""The primitive: an output head fused with log-softmax, computed piece by piece over the positions.

For a row of logits s with q = softmax(s), target y, ids k and tail (all other ids), it gives log q_y, log q_k
and log q_tail. Any sum of them with constant coefficients g has the gradient

    ids that are kept      g_j - G q_j          G the sum of all coefficients of the row
    the others             q_j (g_tail / q_tail - G)
    and g_y more at y

so the gradient of a loss that is such a sum can be computed while the logits of a piece are in memory: they
are overwritten, and the forward pass yields the gradients of hidden states and weight. q_tail is the sum of
the other ids' exponentials; computing it as 1 - (sum over the ids) would lose precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from .head import Head

_F = TypeVar("_F", bound=Callable[..., Any])
#: Positions whose logits are in memory at a time; affects only memory and speed.
DEFAULT_PIECE = 256


def not_compiled(function: _F) -> _F:
    """Excludes the function from ``torch.compile``, since it works in place on pieces."""
    return cast(_F, torch.compiler.disable(function))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Requested:
    """Which log-probabilities to compute for N positions.

    target ``[N]`` int64, ids below V. ids ``[N, K]`` int64, distinct within a row, then padding of -1; None for only
    the target. with_tail: also log q of all other ids together. tau: temperature of ids and tail, not of the target.
    in_tail ``[N, I, K]`` bool: there are I tails, each of which also contains these ids; None means one tail without
    any of them.
    """

    target: Tensor
    ids: Tensor | None = None
    with_tail: bool = False
    tau: float = 1.0
    in_tail: Tensor | None = None

    def piece(self, rows: slice) -> Requested:
        """The same for some rows."""
        ids, in_tail = (None if part is None else part[rows] for part in (self.ids, self.in_tail))
        return Requested(self.target[rows], ids, self.with_tail, self.tau, in_tail)


@dataclass(frozen=True)
class Logprobs:
    """For N positions: target ``[N]``, ids ``[N, K]`` (-inf at padding) and tail ``[N]`` or ``[N, I]``, nats."""

    target: Tensor
    ids: Tensor | None
    tail: Tensor | None

    @classmethod
    def cat(cls, parts: list[Logprobs]) -> Logprobs:
        """Concatenates several pieces."""
        target = torch.cat([part.target for part in parts])
        return cls(target, _cat([part.ids for part in parts]), _cat([part.tail for part in parts]))


@dataclass(frozen=True)
class NllGate:
    """A gate that depends on -log q of the target, compared with teacher_nll ``[N]``, nats. least_excess: the gate
    ``excess`` that cuts; is_weighted: ``excess`` that weights, which is open everywhere; else ``agreement``.
    """

    teacher_nll: Tensor
    least_excess: float | None
    is_weighted: bool = False

    @property
    def cuts_positions(self) -> bool:
        """Whether closed positions do not count in the loss at all."""
        return self.least_excess is not None

    def piece(self, rows: slice) -> NllGate:
        """The same for some rows."""
        return NllGate(self.teacher_nll[rows], self.least_excess, self.is_weighted)

    def weight(self, nll: Tensor) -> Tensor:
        """``[N]`` T / (T + q) of the target: the logistic function of the excess."""
        return torch.sigmoid(nll - self.teacher_nll)

    def is_open(self, nll: Tensor) -> Tensor:
        """``[N]`` bool. ``excess`` does not cut an NLL that is NaN, so that it does not go unnoticed."""
        excess = nll - self.teacher_nll
        return excess > 0.0 if self.least_excess is None else ~(excess < self.least_excess)


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of log-probabilities: target ``[N]``, ids ``[N, K]`` (0 at padding), tail ``[N]`` or ``[N, I]``.

    Rows may have a gate: where it is closed, the target's coefficient is taken from ``closed`` ``[N]`` and the others
    are 0. A gate that weights multiplies all coefficients of a row. The gate's decision and weight are treated as
    constants.
    """

    target: Tensor
    ids: Tensor | None
    tail: Tensor | None
    gate: NllGate | None = None
    closed: Tensor | None = None

    def piece(self, rows: slice) -> Coefficients:
        """The same for some rows."""
        parts = (self.target, self.ids, self.tail, self.closed)
        target, ids, tail, closed = (None if part is None else part[rows] for part in parts)
        assert target is not None
        return Coefficients(target, ids, tail, None if self.gate is None else self.gate.piece(rows), closed)

    def gated(self, logprob: Tensor) -> Coefficients:
        """The coefficients after applying the gate, given log q of the target ``[N]``."""
        if self.gate is None or self.closed is None:
            return self
        if self.gate.is_weighted:
            return self._times(self.gate.weight(-logprob.detach()))
        is_open = self.gate.is_open(-logprob)
        ids = None if self.ids is None else torch.where(is_open[:, None], self.ids, 0.0)
        tail = self.tail
        if tail is not None:
            tail = torch.where(is_open if tail.dim() == 1 else is_open[:, None], tail, 0.0)
        return Coefficients(torch.where(is_open, self.target, self.closed), ids, tail)

    def _times(self, weight: Tensor) -> Coefficients:
        ids = None if self.ids is None else self.ids * weight[:, None]
        tail = self.tail
        if tail is not None:
            tail = tail * (weight if tail.dim() == 1 else weight[:, None])
        return Coefficients(self.target * weight, ids, tail)


def accumulate_dtype(hidden: Tensor) -> torch.dtype:
    """At least f32."""
    return torch.promote_types(hidden.dtype, torch.float32)


@dataclass(frozen=True)
class Weights:
    """The head for one call: in the dtype of products, without padding rows."""

    weight: Tensor
    bias: Tensor | None
    scale: float
    softcap: float | None
    accumulate: torch.dtype

    @classmethod
    def of(cls, head: Head, weight: Tensor, bias: Tensor | None, hidden: Tensor, dtype: torch.dtype) -> Weights:
        """``dtype`` is that of products."""
        v = head.n_ids
        bias = None if bias is None else bias[:v].to(accumulate_dtype(hidden))
        return cls(weight[:v].to(dtype), bias, head.scale, head.softcap, accumulate_dtype(hidden))

    def logits(self, hidden_rd: Tensor) -> Tensor:
        """``[R, D]`` -> ``[R, V]`` in the dtype of sums."""
        logits = (hidden_rd.to(self.weight.dtype) @ self.weight.T).to(self.accumulate)
        if self.bias is not None:
            logits += self.bias
        if self.scale != 1.0:
            logits *= self.scale
        if self.softcap is not None:
            logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits

    def uncap(self, dlogits: Tensor, capped: Tensor | None) -> Tensor:
        """Turns the gradient of the capped logits into that of the plain product, in place."""
        if capped is not None and self.softcap is not None:
            dlogits *= 1.0 - (capped / self.softcap).square_()
        if self.scale != 1.0:
            dlogits *= self.scale
        return dlogits


def product_dtype(hidden: Tensor) -> torch.dtype:
    """The dtype of autocast if enabled, else that of the hidden states."""
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    if dtype == torch.float16:
        # Gradients are computed in the forward pass, before a GradScaler's factor, so most would be 0
        # in f16.
        raise TypeError(
            "hidden states or autocast are float16, expected bfloat16 or float32: gradients would underflow"
        )
    return dtype


@dataclass
class _Softmax:
    """Logits of R rows, in place: first the logits, then exp(s - max) without the stored ids, then a gradient."""

    values_rv: Tensor
    first_id: Tensor | None
    padding: Tensor | None
    kept: Tensor | None
    total: Tensor
    tails: Tensor
    in_tail: Tensor | None

    @classmethod
    def of(cls, logits: Tensor, requested: Requested) -> tuple[_Softmax, Logprobs]:
        """Overwrites the logits; ids and tail are omitted if not requested."""
        largest = logits.amax(1, keepdim=True)
        target = logits.gather(1, requested.target[:, None])
        places, padding, at_ids = _gather(logits, requested.ids)
        if requested.with_tail and places is not None:
            _leave_out(logits, places, padding)
        tails = logits.sub_(largest).exp_().sum(1, keepdim=True)
        kept = (at_ids - largest).exp_() if requested.with_tail and at_ids is not None else None
        total = tails if kept is None else tails + kept.sum(1, keepdim=True)
        if kept is not None and requested.in_tail is not None:
            tails = tails + (kept[:, None, :] * requested.in_tail).sum(2)
        log_z = largest + total.log()
        tiny = torch.finfo(logits.dtype).tiny
        log_tail = (tails / total).clamp_min(tiny).log() if requested.with_tail else None
        if log_tail is not None and requested.in_tail is None:
            log_tail = log_tail.squeeze(1)
        at = None if at_ids is None else at_ids - log_z
        found = Logprobs((target - log_z).squeeze(1), at, log_tail)
        return cls(logits, places, padding, kept, total, tails, requested.in_tail), found

    def gradient(self, target: Tensor, g: Coefficients) -> Tensor:
        """Turns the exponentials into the gradient of the sum with coefficients g."""
        all_g = g.target[:, None].clone()
        if g.ids is not None:
            all_g += g.ids.sum(1, keepdim=True)
        g_tails = None if g.tail is None else g.tail.reshape(len(g.tail), -1)
        if g_tails is not None:
            all_g += g_tails.sum(1, keepdim=True)
        factor = -all_g / self.total
        pulls = None
        if g_tails is not None:
            q_tails = (self.tails / self.total).clamp_min(torch.finfo(self.tails.dtype).tiny)
            pulls = g_tails / q_tails / self.total
            factor = factor + pulls.sum(1, keepdim=True)
        gradient = self.values_rv.mul_(factor)
        if g.ids is not None and self.first_id is not None:
            of_ids = g.ids if self.kept is None else g.ids - self.kept / self.total * all_g
            if self.kept is not None and self.in_tail is not None and pulls is not None:
                of_ids = of_ids + self.kept * (pulls[:, :, None] * self.in_tail).sum(1)
            gradient.scatter_add_(1, self.first_id, _without(of_ids, self.padding))
        return gradient.scatter_add_(1, target[:, None], g.target[:, None])


def _gather(logits: Tensor, ids: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Places, padding and logits of ids; padding points at the row's first id, with logit -inf."""
    if ids is None:
        return None, None, None
    padding = ids < 0
    places = torch.where(padding, ids[:, :1].clamp_min(0), ids)
    at = logits.gather(1, places).masked_fill_(padding, float("-inf"))
    return places, padding, at


def _leave_out(logits: Tensor, places: Tensor, padding: Tensor | None) -> None:
    """Puts -inf at the places of each row; rows that are all padding stay unchanged."""
    removed = torch.full_like(places, float("-inf"), dtype=logits.dtype)
    if padding is not None:
        removed = torch.where(padding[:, :1], logits[:, :1], removed)
    logits.scatter_(1, places, removed)


def _without(values: Tensor, padding: Tensor | None) -> Tensor:
    return values if padding is None else values.masked_fill(padding, 0.0)


def piece_gradient(
    weights: Weights, hidden_rd: Tensor, requested: Requested, g: Coefficients
) -> tuple[Logprobs, Tensor]:
    """Log-probabilities of R rows, and the gradient of their sum with respect to the plain product, ``[R, V]``."""
    logits = weights.logits(hidden_rd)
    capped = logits.clone() if weights.softcap is not None else None
    if requested.tau == 1.0 or requested.ids is None:
        softmax, found = _Softmax.of(logits, requested)
        return found, weights.uncap(softmax.gradient(requested.target, g.gated(found.target)), capped)
    tempered, of_kept = _Softmax.of(logits / requested.tau, requested)
    plain, of_target = _Softmax.of(logits, Requested(requested.target))
    g = g.gated(of_target.target)
    nothing = torch.zeros_like(g.target)
    dlogits = tempered.gradient(requested.target, Coefficients(nothing, g.ids, g.tail)).div_(requested.tau)
    dlogits += plain.gradient(requested.target, Coefficients(g.target, None, None))
    return Logprobs(of_target.target, of_kept.ids, of_kept.tail), weights.uncap(dlogits, capped)


def piece_logprobs(weights: Weights, hidden_rd: Tensor, requested: Requested) -> Logprobs:
    """Only the log-probabilities of :func:`piece_gradient`."""
    logits = weights.logits(hidden_rd)
    if requested.tau == 1.0 or requested.ids is None:
        return _Softmax.of(logits, requested)[1]
    of_kept = _Softmax.of(logits / requested.tau, requested)[1]
    of_target = _Softmax.of(logits, Requested(requested.target))[1]
    return Logprobs(of_target.target, of_kept.ids, of_kept.tail)


def pieces(n: int, piece: int) -> Iterator[slice]:
    """0..n in slices of ``piece``."""
    return (slice(first, min(n, first + piece)) for first in range(0, n, piece))


@dataclass(frozen=True)
class How:
    """dtype of products, and positions at a time."""

    dtype: torch.dtype
    piece: int


def no_autocast(tensor: Tensor) -> torch.autocast:
    """Autocast off: dtypes are chosen here."""
    return torch.autocast(tensor.device.type, enabled=False)


def all_logprobs(weights: Weights, hidden: Tensor, requested: Requested, piece: int) -> Logprobs:
    """Log-probabilities piece by piece, without a gradient."""
    with no_autocast(hidden):
        found = [piece_logprobs(weights, hidden[rows], requested.piece(rows)) for rows in pieces(len(hidden), piece)]
    return Logprobs.cat(found)


class Gradients:
    """Gradients of hidden states ``[N, D]``, weight ``[R, D]`` and bias ``[R]``, accumulated over pieces."""

    def __init__(self, weights: Weights, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        self._weights = weights
        self._hidden = hidden
        self._dtypes = (weight.dtype, weight.dtype if bias is None else bias.dtype)
        dtype = weights.accumulate
        self.hidden = torch.empty_like(hidden) if hidden.requires_grad else None
        self.weight = torch.zeros_like(weight, dtype=dtype) if weight.requires_grad else None
        self.bias = torch.zeros_like(bias, dtype=dtype) if bias is not None and bias.requires_grad else None

    def add(self, rows: slice, dproduct: Tensor) -> None:
        """Adds from ``dproduct`` ``[R, V]``, the gradient with respect to the plain product of these rows."""
        v = dproduct.shape[1]
        if self.bias is not None:
            self.bias[:v] += dproduct.sum(0)
        narrow = dproduct.to(self._weights.weight.dtype)
        if self.hidden is not None:
            self.hidden[rows] = (narrow @ self._weights.weight).to(self.hidden.dtype)
        if self.weight is None:
            return
        hidden = self._hidden[rows].to(narrow.dtype)
        if narrow.dtype == self.weight.dtype:
            self.weight[:v].addmm_(narrow.T, hidden)
        else:
            self.weight[:v] += narrow.T @ hidden

    def times(self, factor: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Multiplies all of them in place, and returns those of weight and bias."""
        for gradient in (self.hidden, self.weight, self.bias):
            if gradient is not None:
                gradient.mul_(factor)
        return self.of_parameters()

    def of_parameters(self) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of weight and bias in their own dtypes."""
        of_weight = None if self.weight is None else self.weight.to(self._dtypes[0])
        of_bias = None if self.bias is None else self.bias.to(self._dtypes[1])
        return of_weight, of_bias


class _LogprobsAt(torch.autograd.Function):
    """Log-probabilities with the gradient for any coefficients, for which the logits of each piece are recomputed."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, head: Head, requested: Requested, how: How
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        weights = Weights.of(head, weight, bias, hidden, how.dtype)
        ctx.save_for_backward(hidden, weight, bias, requested.target, requested.ids)
        ctx.head, ctx.how, ctx.rest = head, how, (requested.with_tail, requested.tau)
        found = all_logprobs(weights, hidden, requested, how.piece)
        return found.target, found.ids, found.tail

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, target, ids = ctx.saved_tensors
        requested = Requested(target, ids, *ctx.rest)
        weights = Weights.of(ctx.head, weight, bias, hidden, ctx.how.dtype)
        g = _coefficients(grads, requested, weights.accumulate)
        gradients = Gradients(weights, hidden, weight, bias)
        with no_autocast(hidden):
            for rows in pieces(len(hidden), ctx.how.piece):
                _, dproduct = piece_gradient(weights, hidden[rows], requested.piece(rows), g.piece(rows))
                gradients.add(rows, dproduct)
                del dproduct  # before the logits of the next piece are made
        return (gradients.hidden, *gradients.of_parameters(), None, None, None)


def _coefficients(grads: tuple[Tensor | None, ...], requested: Requested, dtype: torch.dtype) -> Coefficients:
    """The incoming gradients as coefficients; unused outputs have coefficient 0."""
    of_target, of_ids, of_tail = grads
    if of_target is None:
        of_target = torch.zeros_like(requested.target, dtype=dtype)
    if requested.ids is None:
        return Coefficients(of_target, None, None)
    if of_ids is None:
        of_ids = torch.zeros_like(requested.ids, dtype=dtype)
    if requested.with_tail and of_tail is None:
        of_tail = torch.zeros_like(of_target)
    return Coefficients(of_target, of_ids.masked_fill(requested.ids < 0, 0.0), of_tail)


def _cat(parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


def check_shapes(hidden: Tensor, head: Head, requested: Requested) -> None:
    """Checks shapes and dtypes, which is free."""
    n = requested.target.shape[0] if requested.target.dim() == 1 else -1
    if hidden.dim() != 2 or hidden.shape[0] != n or hidden.shape[0] == 0:
        raise ValueError(
            f"expected hidden [N, D] and target [N] with N of at least 1, found {tuple(hidden.shape)} and "
            f"{tuple(requested.target.shape)}; flatten batch and positions first"
        )
    if hidden.shape[1] != head.weight.shape[1]:
        raise ValueError(f"expected hidden states of width {head.weight.shape[1]}, found {hidden.shape[1]}")
    if not hidden.is_floating_point():
        raise TypeError(f"expected floating-point hidden states, found {hidden.dtype}")
    for name, ids in (("target", requested.target), ("ids", requested.ids)):
        if ids is not None and ids.dtype != torch.int64:
            raise TypeError(f"expected {name} as int64, found {ids.dtype}")
    if requested.ids is not None and (requested.ids.dim() != 2 or requested.ids.shape[0] != n):
        raise ValueError(f"expected ids [N, K] with N = {n}, found {tuple(requested.ids.shape)}")


def check_ids(head: Head, requested: Requested) -> None:
    """Checks the ranges of ids, which waits for the device."""
    for name, ids, least in (("target", requested.target, 0), ("ids", requested.ids, -1)):
        if ids is None or ids.numel() == 0:
            continue
        low, high = int(ids.min()), int(ids.max())
        if low < least or high >= head.n_ids:
            raise ValueError(f"expected {name} from {least} to {head.n_ids - 1}, found {low} to {high}")


@not_compiled
def logprobs_at(
    hidden: Tensor,
    head: Head,
    target: Tensor,
    ids: Tensor | None = None,
    *,
    with_tail: bool = False,
    tau: float = 1.0,
    piece: int = DEFAULT_PIECE,
) -> Logprobs:
    """Full-vocabulary log-probabilities at given ids, differentiable with respect to hidden states,
    weight and bias.

    For your own losses: the backward pass computes the gradient from recomputed logits. The losses of this
    package are cheaper (:func:`~saltworks_lm.losses.head_loss`).

    Parameters
    ----------
    hidden
        ``[N, D]`` floating point, the head's input.
    head
        The head, as the model applies it.
    target
        ``[N]`` int64 below V.
    ids
        ``[N, K]`` int64 below V, distinct within a row, then padding of -1.
    with_tail
        Whether to give the log-probability of all ids outside ``ids`` together.
    tau
        Temperature of ids and tail; the target's is 1.
    piece
        Positions at a time; affects only memory and speed.

    Returns
    -------
    Logprobs
        In f32 (f64 for f64), nats.
    """
    requested = Requested(target, ids, with_tail, tau)
    check_shapes(hidden, head, requested)
    check_ids(head, requested)
    how = How(product_dtype(hidden), piece)
    found = _LogprobsAt.apply(hidden, head.weight, head.bias, head, requested, how)
    return Logprobs(*found)


@not_compiled
@torch.no_grad()
def head_scores(hidden: Tensor, head: Head, target: Tensor, *, piece: int = DEFAULT_PIECE) -> Tensor:
    """``[N]`` -log q of the target, nats: forward only."""
    requested = Requested(target)
    check_shapes(hidden, head, requested)
    weights = Weights.of(head, head.weight, head.bias, hidden, product_dtype(hidden))
    return -all_logprobs(weights, hidden, requested, piece).target
