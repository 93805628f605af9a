"""One step: micro-batches forward and backward, sums of all processes, the update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from ..losses import KdPolicy, min_entropy
from ..row import Row
from .batch import Batch, batch_of, entropies, n_weighted
from .config import RunConfig
from .metrics import Spread
from .parallel import World, grad_norm, gradients_shared
from .schedule import StepPlan

#: Sums over the positions of a step.
_SUMS = ("n", "loss", "ce", "kd", "n_kd", "teacher", "n_positions", "lacks_teacher", "stop")


@dataclass(frozen=True)
class StepReport:
    """What a step did; losses are means over the positions that are learnt from, nats."""

    plan: StepPlan
    n: int
    n_positions: int
    loss: float
    ce: float
    kd: float | None
    kd_fraction: float
    teacher_nll: float | None
    grad_norm: float
    lr: float
    variance: dict[str, Any] | None
    stop: bool


class Stepper:
    """Makes the steps of a run."""

    def __init__(self, config: RunConfig, module: nn.Module, world: World, precision: str) -> None:
        self.config, self.module, self.world = config, module, world
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = optimizer_of(config, self.parameters)
        self._autocast = precision == "bf16"
        kd = config.kd
        self.policy = KdPolicy(
            kd.loss or "tail-bucket", kd.tau, kd.temperature_mode, kd.gate, kd.gate_k, kd.gate_fraction
        )

    @property
    def per_rank(self) -> int:
        """Sequences of a step that this process learns from."""
        return self.config.train.batch_size // self.world.size

    @property
    def micro_batch_size(self) -> int:
        """Sequences of a forward and backward pass."""
        return min(self.config.train.micro_batch_size or self.per_rank, self.per_rank)

    def autocast(self) -> torch.autocast:
        """The precision of the run."""
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16, enabled=self._autocast)

    def step(self, rows: list[Row], plan: StepPlan, lr: float, borders: list[float] | None, stop: bool) -> StepReport:
        """Learns from this process's rows of a step; updates only where loss and gradients are numbers.

        Parameters
        ----------
        rows
            Of this process.
        plan, lr
            Of the step.
        borders
            Of the buckets, where the variances of the step are wanted.
        stop
            Whether this process was asked to stop: all get to know.
        """
        mask = self.config.data.mask_document_borders
        n = int(self.world.sum_(self._number(n_weighted(rows, mask))))
        least = self._least_entropy(rows, plan, mask)
        spread = Spread(self.config.log.bucket_borders, self.world.device)
        sums = torch.zeros(len(_SUMS), dtype=torch.float64, device=self.world.device)
        sums[-1] = float(stop)
        self.optimizer.zero_grad(set_to_none=True)
        for first in range(0, len(rows), self.micro_batch_size):
            part = rows[first : first + self.micro_batch_size]
            policy = self.policy if plan.omega > 0 else None
            batch = batch_of(part, self._seq_len, mask, policy, plan.omega, least).to(self.world.device)
            is_last = first + self.micro_batch_size >= len(rows)
            sums += self._differentiate(batch, self.world.size / max(n, 1), is_last, spread)
            sums[6] += sum(row.n_targets for row in part)
        self.world.sum_(sums)
        if borders is not None:
            self.world.sum_(spread.moments)
        found = dict(zip(_SUMS, sums.tolist(), strict=True))
        norm = grad_norm(self.parameters)
        report = _report(found, plan, norm, lr, None if borders is None else spread)
        if math.isfinite(report.loss) and math.isfinite(norm):
            self._update(norm, lr)
        return report

    @property
    def _seq_len(self) -> int:
        assert self.config.data.seq_len is not None
        return self.config.data.seq_len

    def _number(self, value: float) -> Tensor:
        return torch.tensor(float(value), dtype=torch.float64, device=self.world.device)

    def _least_entropy(self, rows: list[Row], plan: StepPlan, mask: bool) -> float | None:
        if plan.omega == 0 or self.policy.gate != "entropy":
            return None
        every = torch.cat(self.world.gather(entropies(rows, mask)))
        return min_entropy(every, self.policy.gate_fraction)

    def _differentiate(self, batch: Batch, scale: float, is_last: bool, spread: Spread) -> Tensor:
        with gradients_shared(self.module, self.world, is_last):
            with self.autocast():
                loss, ce, kd, soft, omega = self.module(batch, scale)
            loss.backward()
        spread.add(batch.weight, ce, soft, omega, batch.teacher_nll)
        return _sums(batch, ce, kd, omega)

    def _update(self, norm: float, lr: float) -> None:
        clip = self.config.optimizer.grad_clip
        if 0 < clip < norm:
            torch._foreach_mul_([p.grad for p in self.parameters if p.grad is not None], clip / norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, batches: list[Batch]) -> Tensor:
        """``[2]`` f64 sums over batches of this process: nats of the targets, and their number."""
        self.module.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.world.device)
        module = getattr(self.module, "module", self.module)
        for batch in batches:
            moved = batch.to(self.world.device)
            with self.autocast():
                _, ce, _, _, _ = module(moved, 1.0)
            total += torch.stack([(moved.weight * ce).double().sum(), moved.weight.double().sum()])
        self.module.train()
        return self.world.sum_(total)


def optimizer_of(config: RunConfig, parameters: list[nn.Parameter]) -> optim.Optimizer:
    """AdamW, with weight decay of matrices only."""
    options = config.optimizer
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return optim.AdamW(groups, lr=config.schedule.lr, betas=(options.beta1, options.beta2), eps=options.eps)


def _sums(batch: Batch, ce: Tensor, kd: Tensor, omega: Tensor) -> Tensor:
    weight, ce, kd, omega = (x.double() for x in (batch.weight, ce, kd, omega))
    taught = weight * (omega > 0)
    nothing = torch.zeros((), dtype=torch.float64, device=weight.device)
    teacher = nothing
    if batch.teacher_nll is not None:
        # Not weight * NLL throughout: 0 * inf is no number.
        teacher = torch.where(weight > 0, batch.teacher_nll.double(), 0.0).sum()
    lacks = nothing + float(batch.teacher_nll is None)
    loss = weight * ((1.0 - omega) * ce + omega * kd)
    parts = [weight.sum(), loss.sum(), (weight * ce).sum(), (taught * kd).sum(), taught.sum(), teacher]
    return torch.stack([*parts, nothing, lacks, nothing])


def _report(found: dict[str, float], plan: StepPlan, norm: float, lr: float, spread: Spread | None) -> StepReport:
    n = found["n"]
    has_teacher = found["lacks_teacher"] == 0 and n > 0
    return StepReport(
        plan=plan,
        n=int(n),
        n_positions=int(found["n_positions"]),
        loss=found["loss"] / n if n > 0 else 0.0,
        ce=found["ce"] / n if n > 0 else 0.0,
        kd=found["kd"] / found["n_kd"] if found["n_kd"] > 0 else None,
        kd_fraction=found["n_kd"] / n if n > 0 else 0.0,
        teacher_nll=found["teacher"] / n if has_teacher else None,
        grad_norm=norm,
        lr=lr,
        variance=None if spread is None else spread.report(has_teacher),
        stop=found["stop"] > 0,
    )
