"""The same losses for trainers that have logits, for example if the model's head is sharded or not
accessible.

They store [N, V] in f32 and use autograd; if the head is accessible, `head_loss` needs less memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from .fused import Logprobs
from .kd import Kd
from .loss import IGNORED, HeadLoss, _coefficients_of, _requested, _sum, _with_position_values


def logits_loss(
    logits: Tensor,
    target: Tensor,
    *,
    kd: Kd | None = None,
    weight: Tensor | None = None,
    scale: float | Tensor | None = None,
) -> HeadLoss:
    """Loss of N positions with given logits, differentiable as often as the logits are.

    Parameters
    ----------
    logits
        ``[N, V]`` floating point, over the whole vocabulary without padding.
    target
        ``[N]`` int64 below V; -100 is ignored.
    kd, weight, scale
        As in `head_loss`.

    Returns
    -------
    HeadLoss
        Computed in f32 (f64 for f64 logits).
    """
    if logits.dim() != 2 or target.shape != logits.shape[:1]:
        raise ValueError(f"logits {list(logits.shape)} and target {list(target.shape)}: expected [N, V] and [N]")
    dtype = torch.promote_types(logits.dtype, torch.float32)
    weight_n = torch.ones_like(target, dtype=dtype) if weight is None else weight.to(dtype)
    weight_n = weight_n.masked_fill(target == IGNORED, 0.0)
    if scale is None:
        scale = weight_n.sum().clamp_min(torch.finfo(dtype).tiny).reciprocal()
    found = _logprobs(logits.to(dtype), target.masked_fill(target == IGNORED, 0), kd)
    summed = _sum(found, _coefficients_of(_requested(target, kd), kd, weight_n, scale))
    target_n, ids, tail = (None if x is None else x.detach() for x in (found.target, found.ids, found.tail))
    assert target_n is not None
    return _with_position_values(summed, Logprobs(target_n, ids, tail), kd, weight_n, scale)


def _logprobs(logits: Tensor, target: Tensor, kd: Kd | None) -> Logprobs:
    plain = log_softmax(logits, -1)
    of_target = plain.gather(1, target[:, None])[:, 0]
    if kd is None:
        return Logprobs(of_target, None, None)
    log_q = plain if kd.student_tau == 1.0 else log_softmax(logits / kd.student_tau, -1)
    is_id = kd.ids >= 0
    ids = torch.where(is_id, log_q.gather(1, kd.ids.clamp_min(0)), -torch.inf)
    if kd.tail is None:
        return Logprobs(of_target, ids, None)
    # Padding points at an extra column after the vocabulary.
    is_kept = torch.zeros(len(logits), logits.shape[1] + 1, dtype=torch.bool, device=logits.device)
    is_kept.scatter_(1, torch.where(is_id, kd.ids, logits.shape[1]), True)
    tail = log_q.masked_fill(is_kept[:, :-1], -torch.inf).logsumexp(-1)
    if kd.in_tail is None:
        return Logprobs(of_target, ids, tail)
    # Each teacher's tail also has the ids that only others store.
    of_others = torch.where(kd.in_tail, ids[:, None, :], -torch.inf)
    outside = tail[:, None, None].expand(-1, of_others.shape[1], 1)
    return Logprobs(of_target, ids, torch.cat([outside, of_others], -1).logsumexp(-1))
