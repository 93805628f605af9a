"""A subclass of transformers' `Trainer` that learns from labels.

>>> labels = Labels("labels", groups=["topk"])
>>> arguments = TrainingArguments("run", remove_unused_columns=False, per_device_train_batch_size=8)
>>> trainer = KdTrainer(model, arguments, train_dataset=LabelDataset(labels, seed=0), policy=KdPolicy("tail-bucket"))
>>> trainer.train()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer, TrainingArguments

from ..losses import Head, KdPolicy, head_loss
from ..losses.head import base_model_of
from ..torch import hf
from .teacher import is_teacher_field, kd_of_fields


class KdTrainer(Trainer):
    """transformers' `Trainer` with the loss (1 - omega) CE + omega KD on batches of `saltworks_lm.torch.hf`.

    Everything else is transformers' own: checkpoints, schedules, DDP, gradient accumulation (the loss is a mean over
    the positions of the whole accumulated batch). Batches without teacher fields, such as in an evaluation, get the
    model's own loss. Neither FSDP nor DeepSpeed has been tried.

    Parameters
    ----------
    model
        A causal model of transformers with a supported head.
    arguments
        With `remove_unused_columns=False`.
    policy
        How labels become targets.
    omega
        Fraction of KD in the loss.
    others
        Arguments of `Trainer`. The data collator defaults to `hf`; rows are read in the order of the
        data set.

    Raises
    ------
    ValueError
        `remove_unused_columns`, which would drop the teacher's fields; an unsupported head.
    """

    def __init__(
        self, model: nn.Module, arguments: TrainingArguments, *, policy: KdPolicy, omega: float = 0.5, **others: Any
    ) -> None:
        if arguments.remove_unused_columns:
            raise ValueError(
                "remove_unused_columns is True, which drops inputs that the model's forward does not name, such as "
                "the teacher's fields: pass TrainingArguments(..., remove_unused_columns=False)"
            )
        others.setdefault("data_collator", hf)
        super().__init__(model, arguments, **others)
        self.policy, self.omega = policy, omega
        _learn_from_labels(model, Head.of(model))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        """In order: neighbours in a `LabelDataset` are stored together, and it is already shuffled by its seed."""
        data: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(data) if hasattr(data, "__len__") else None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The loss of a micro-batch, divided by the positions of the whole step if they are counted."""
        teacher = {name: value for name, value in inputs.items() if is_teacher_field(name)}
        plain: dict[str, Any] = {name: value for name, value in inputs.items() if name not in teacher}
        if len(teacher) > ("seq_ids" in teacher):
            is_predicted = plain["labels"][:, 1:] != -100
            plain["kd"] = kd_of_fields(self.policy, teacher, is_predicted, self.omega)
            plain["n_items"] = num_items_in_batch
        return super().compute_loss(model, plain, return_outputs, num_items_in_batch)


def _learn_from_labels(model: nn.Module, head: Head) -> None:
    """Replaces the model's forward pass by one that returns the loss if targets of a teacher are
    given.

    The loss is computed inside the forward pass, so that wrappers of the model (DDP) see the head being used.
    """
    plain_forward = model.forward

    def forward(*arguments: Any, kd: Any = None, n_items: Any = None, **inputs: Any) -> Any:
        if kd is None:
            return plain_forward(*arguments, **inputs)
        labels = inputs.pop("labels")
        inputs.pop("num_items_in_batch", None)
        hidden = base_model_of(model)(**inputs, use_cache=False).last_hidden_state
        scale = None if n_items is None else 1.0 / torch.as_tensor(n_items, dtype=torch.float32, device=hidden.device)
        # Index t predicts token t + 1.
        found = head_loss(hidden[:, :-1].flatten(0, 1), head, labels[:, 1:].flatten(), kd=kd, scale=scale, check=False)
        return {"loss": found.loss}

    model.forward = forward
