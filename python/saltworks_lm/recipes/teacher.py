"""From the fields of a batch to the targets of a loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..losses import Draws, Kd, KdPolicy, Stats, TopK, draws_targets, min_entropy, topk_targets
from ..plan import log_partition_name

#: Fields that a collator adds to the trainer's own, if the labels have them.
_NAMES = (
    "topk_ids",
    "topk_logprobs",
    "tail_mass",
    "sampled_ids",
    "sampled_counts",
    "target_logprob",
    "target_rank",
    "entropy",
    "logsumexp",
)


def is_teacher_field(name: str) -> bool:
    """Whether a field of a batch is the teacher's (or `seq_ids`) rather than an input of the model."""
    return name in _NAMES or name == "seq_ids" or name.startswith("log_partition_tau_")


def kd_of_fields(policy: KdPolicy, fields: Mapping[str, Tensor], is_predicted: Tensor, omega: float) -> Kd:
    """Targets of a batch's N = B T positions, flattened.

    Parameters
    ----------
    policy
        How labels become targets. The gate `entropy` uses the positions of this batch, not of a whole step.
    fields
        From a collator of `saltworks_lm.torch`: ``[B, T, ...]``.
    is_predicted
        ``[B, T]`` bool: False at padding and at ignored targets.
    omega
        Fraction of KD in the loss.

    Raises
    ------
    ValueError
        The fields lack something that the loss reads; the gate is ``excess``.
    """
    if policy.gate == "excess":
        raise ValueError(
            "the gate excess needs more than the fields of a batch, the threshold of the previous step or the weights "
            "of a whole step: use min_excess and excess_targets"
        )
    tau = policy.tau
    needs = (
        ["sampled_ids", "sampled_counts"] if policy.loss == "sampled" else ["topk_ids", "topk_logprobs", "tail_mass"]
    )
    needs += [log_partition_name(tau)] if policy.loss != "sampled" and tau != 1.0 else []
    needs += ["target_logprob", "target_rank", "entropy"] if policy.gate != "none" else []
    missing = [name for name in needs if name not in fields]
    if missing:
        raise ValueError(
            f"the batch has no {', '.join(missing)}, which kd.loss {policy.loss} with tau {tau:g} and gate "
            f"{policy.gate} reads: label with its group, and open the labels with it"
        )
    there = is_predicted.flatten()[:, None]
    flat = {name: fields[name].flatten(0, 1) for name in needs}
    stats, least = None, None
    if policy.gate != "none":
        stats = Stats(flat["target_logprob"], flat["target_rank"], flat["entropy"])
    if policy.gate == "entropy" and stats is not None:
        least = min_entropy(stats.entropy[there[:, 0]], policy.gate_fraction)
    if policy.loss == "sampled":
        counts = torch.where(there, flat["sampled_counts"].long(), 0)
        ids = torch.where(counts > 0, flat["sampled_ids"].long(), -1)
        return draws_targets(policy, Draws(ids, counts), omega, stats, least)
    topk = TopK(
        torch.where(there, flat["topk_ids"].long(), -1),
        torch.where(there, flat["topk_logprobs"], -torch.inf),
        flat["tail_mass"],
        flat.get(log_partition_name(tau)),
    )
    return topk_targets(policy, topk, omega, stats, least)
