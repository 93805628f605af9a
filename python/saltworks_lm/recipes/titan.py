"""Data loader, loss and trainer of a torchtitan job (0.3) that learns from labels.

In a job's configuration, with `KdTrainer` in place of torchtitan's `Trainer`:

>>> config = KdTrainer.Config(
...     loss=KdLoss.Config(policy=KdPolicy("tail-bucket"), omega=0.5),
...     dataloader=LabelDataLoader.Config(dataset_path="labels", groups=("topk",)),
...     ...
... )

The teacher's fields are in the batch's dictionary of inputs, all of which torchtitan passes to the model, so the
trainer takes them out and passes them to the loss. `ChunkedLossWrapper` splits them like the labels. Pipeline, context
and tensor parallelism of the loss are not supported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset
from torchtitan.components.dataloader import ParallelAwareDataloader
from torchtitan.components.loss import BaseLoss
from torchtitan.trainer import Trainer

from ..labels import Labels
from ..losses import KdPolicy, logits_loss
from ..torch import LabelStream, titan
from .teacher import is_teacher_field, kd_of_fields

Batch = tuple[dict[str, Tensor], Tensor]


class TitanBatches(IterableDataset[Batch]):
    """A stream of labels as batches for torchtitan's trainer: a dictionary of inputs, and labels."""

    def __init__(self, stream: LabelStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[Batch]:
        """`input` and `positions` [B, T] with the teacher's fields; labels [B, T], -100 if not predicted."""
        for batch in self.stream:
            inputs = {name: value for name, value in batch.items() if name not in ("input_ids", "labels", "seq_ids")}
            yield {"input": batch["input_ids"], **inputs}, batch["labels"]

    def state_dict(self) -> dict[str, Any]:
        """State of the stream."""
        return self.stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from that state."""
        self.stream.load_state_dict(state)


class LabelDataLoader(ParallelAwareDataloader):  # type: ignore[misc]
    """torchtitan's data loader over a label set: `dataset_path` is the directory of the labels."""

    @dataclass(kw_only=True, slots=True)
    class Config(ParallelAwareDataloader.Config):  # type: ignore[misc]
        """Additional keys."""

        groups: tuple[str, ...] = ("topk",)
        """Groups of the labels to read."""
        seed: int = 0
        """Seed of the order."""
        across_documents: bool = True
        """Whether the first token of a document is predicted from the document before it."""

    def __init__(
        self, config: Config, *, dp_world_size: int, dp_rank: int, local_batch_size: int, seq_len: int, **others: Any
    ) -> None:
        labels = Labels(str(config.dataset_path), groups=config.groups)
        if labels.seq_len > seq_len:
            raise ValueError(
                f"training.seq_len is {seq_len}, the labels' sequences have up to {labels.seq_len} targets: set that"
            )
        collate = partial(titan, pad_to=seq_len, across_documents=config.across_documents)
        # Endless, as torchtitan's own data: training.steps determines the end.
        stream = LabelStream(
            labels, local_batch_size, collate, seed=config.seed, rank=dp_rank, world_size=dp_world_size, n_epochs=None
        )
        super().__init__(
            TitanBatches(stream),
            dp_rank=dp_rank,
            dp_world_size=dp_world_size,
            batch_size=None,
            num_workers=config.num_workers,
            persistent_workers=config.persistent_workers,
            prefetch_factor=config.prefetch_factor,
            pin_memory=config.pin_memory,
        )


class KdLoss(BaseLoss):  # type: ignore[misc]
    """(1 - omega) CE + omega KD, summed over positions and divided by their number in the whole step."""

    @dataclass(kw_only=True, slots=True)
    class Config(BaseLoss.Config):  # type: ignore[misc]
        """Settings of learning from labels."""

        policy: KdPolicy = field(default_factory=lambda: KdPolicy("tail-bucket"))
        """How labels become targets."""
        omega: float = 0.5
        """Fraction of KD in the loss."""

    def __init__(self, config: Config, *, compile_config: Any = None) -> None:
        # Only the model is compiled, if configured; the loss is not.
        self.policy, self.omega = config.policy, config.omega

    def __call__(
        self, pred: Tensor, labels: Tensor, global_valid_tokens: Tensor | None = None, **fields: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss from logits [B, T, V] and labels [B, T]; without teacher fields, as in a validation, only CE."""
        teacher = {name: value for name, value in fields.items() if is_teacher_field(name)}
        kd = kd_of_fields(self.policy, teacher, labels != -100, self.omega) if teacher else None
        found = logits_loss(pred.flatten(0, 1), labels.flatten(), kd=kd, scale=1.0)
        n: Any = 1.0 if global_valid_tokens is None else global_valid_tokens
        metrics = {"ce_mean": found.ce.sum() / n, "kd_mean": found.kd.sum() / n}
        return found.loss / n, {name: value.detach() for name, value in metrics.items()}


class KdTrainer(Trainer):  # type: ignore[misc]
    """torchtitan's `Trainer`, but with the teacher's fields passed to the loss instead of the model."""

    @dataclass(kw_only=True, slots=True)
    class Config(Trainer.Config):  # type: ignore[misc]
        """torchtitan's configuration."""

    def _forward_backward_body(
        self, inputs: Tensor, labels: Tensor, global_valid_tokens: Tensor, extra_kwargs: dict[str, Any]
    ) -> Tensor:
        teacher = {name: extra_kwargs.pop(name) for name in list(extra_kwargs) if is_teacher_field(name)}
        with self.train_context():
            pred = self.model_parts[0](inputs, **extra_kwargs)
            loss, _ = self.loss_fn(pred, labels, global_valid_tokens, **teacher)
            del pred
            loss.backward()
        return loss  # type: ignore[no-any-return]
