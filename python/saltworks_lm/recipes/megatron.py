"""A Megatron batch and the loss over it.

`saltworks_lm.torch.megatron` makes the fields of Megatron's `get_batch` (`tokens`, `labels`, `loss_mask`,
`position_ids`) plus those of the teacher. Megatron's model returns logits if it is called without labels, and its
`forward_step` returns them with a function that computes the loss:

>>> def forward_step(batches, model):
...     batch = next(batches)
...     logits = model(batch["tokens"], batch["position_ids"], None)  # [B, T, V], no labels: no loss of its own
...     return logits, partial(kd_loss_func, batch, policy=KdPolicy("tail-bucket"), omega=0.5)

Logits must be of the whole vocabulary: with tensor parallelism gather them first
(`gather_from_tensor_model_parallel_region`), and cut off the rows that pad the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..losses import KdPolicy, logits_loss
from .teacher import kd_of_fields


def kd_loss_func(
    batch: Mapping[str, Tensor], logits: Tensor, *, policy: KdPolicy, omega: float
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Megatron's `loss_func` with a teacher.

    Parameters
    ----------
    batch
        From the collator `saltworks_lm.torch.megatron`.
    logits
        ``[B, T, V]``, over the whole vocabulary.
    policy, omega
        How labels become targets, and their fraction in the loss.

    Returns
    -------
    loss, n, report
        The SUM of (1 - omega) CE + omega KD over the positions of `loss_mask`, nats; their number, int; and sums to
        report with that number: `lm loss` is cross-entropy, as in Megatron. These are the three values that Megatron's
        schedules divide and reduce if `calculate_per_token_loss` is set.
    """
    mask = batch["loss_mask"]
    kd = kd_of_fields(policy, batch, mask > 0, omega)
    found = logits_loss(logits.flatten(0, 1), batch["labels"].flatten(), kd=kd, weight=mask.flatten(), scale=1.0)
    n = (mask > 0).sum()
    sums = {"lm loss": (mask.flatten() * found.ce).sum(), "kd loss": (mask.flatten() * found.kd).sum()}
    return found.loss, n.int(), {name: value.detach() for name, value in sums.items()}
