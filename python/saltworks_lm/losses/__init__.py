"""Losses over labels: cross-entropy and knowledge distillation without storing all logits.

They are built on one primitive: an output head fused with log-softmax, which gives full-vocabulary
log-probabilities at chosen ids and never stores the logits of all positions (``[N, V]``). The losses of
``docs/method.md`` are sums of such log-probabilities, so their gradients are computed in the forward pass,
piece by piece.

Letters: N positions, D model width, V vocabulary, K stored ids. Everything is in nats.

>>> import torch
>>> from saltworks_lm.losses import Head, head_loss
>>> head = Head.of_weight(torch.zeros(8, 4))
>>> out = head_loss(torch.zeros(3, 4), head, torch.tensor([1, 2, 3]))
>>> round(float(out.loss), 4)  # log 8
2.0794
"""

from .fused import DEFAULT_PIECE, head_scores, logprobs_at
from .head import Head, UnknownHeadError
from .kd import (
    GATE_EXCESS,
    GATES,
    KD_LOSSES,
    TEACHERS,
    Draws,
    Kd,
    KdPolicy,
    Stats,
    TopK,
    draws_targets,
    excess_targets,
    min_entropy,
    min_excess,
    topk_targets,
)
from .logits import logits_loss
from .loss import HeadLoss, head_loss
from .teachers import chosen_stats, chosen_targets, mixed_stats, mixed_targets

__all__ = [
    "DEFAULT_PIECE",
    "GATES",
    "GATE_EXCESS",
    "KD_LOSSES",
    "TEACHERS",
    "Draws",
    "Head",
    "HeadLoss",
    "Kd",
    "KdPolicy",
    "Stats",
    "TopK",
    "UnknownHeadError",
    "chosen_stats",
    "chosen_targets",
    "draws_targets",
    "excess_targets",
    "head_loss",
    "head_scores",
    "logits_loss",
    "logprobs_at",
    "min_entropy",
    "min_excess",
    "mixed_stats",
    "mixed_targets",
    "topk_targets",
]
