"""One step: micro-batches forward and backward, sums over all processes, the update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from ..losses import KdPolicy, min_entropy, min_excess
from ..row import Row
from .batch import Batch, batch_of, entropies, n_weighted
from .config import RunConfig, gate_fraction, teacher_weights
from .metrics import Spread
from .parallel import World, grad_norm, gradients_shared
from .schedule import StagePlan, StepPlan

#: Sums over the positions of a step.
_SUMS = ("n", "n_learnt", "loss", "ce", "kd", "n_kd", "teacher", "n_positions", "lacks_teacher", "stop")


@dataclass(frozen=True)
class StepReport:
    """Results of a step. Losses are means over the positions with a weight, nats; loss is over those that count in it,
    weighted if the gate ``excess`` weights, and learnt_fraction is their fraction or mean weight. least_excess is the
    boundary of the gate ``excess`` for the next step; has_excess says whether that gate was active in this one.
    """

    plan: StepPlan
    n: int
    n_positions: int
    loss: float
    ce: float
    kd: float | None
    kd_fraction: float
    learnt_fraction: float
    least_excess: float | None
    has_excess: bool
    teacher_nll: float | None
    grad_norm: float
    lr: float
    variance: dict[str, Any] | None
    stop: bool


class Stepper:
    """Performs the steps of a run."""

    def __init__(self, config: RunConfig, module: nn.Module, world: World, precision: str) -> None:
        self.config, self.module, self.world = config, module, world
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = optimizer_of(config, self.parameters)
        self._autocast = precision == "bf16"
        kd = config.kd
        self._stages = StagePlan(config)
        self.policy = KdPolicy(
            kd.loss or "tail-bucket",
            kd.tau,
            kd.temperature_mode,
            kd.gate,
            kd.gate_k,
            gate_fraction(kd),
            kd.teachers,
            tuple(teacher_weights(config)),
            kd.gate_excess,
        )

    @property
    def per_rank(self) -> int:
        """Sequences per step in this process."""
        return self.config.train.batch_size // self.world.size

    @property
    def micro_batch_size(self) -> int:
        """Sequences per forward and backward pass."""
        return min(self.config.train.micro_batch_size or self.per_rank, self.per_rank)

    def autocast(self) -> torch.autocast:
        """The precision of the run."""
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16, enabled=self._autocast)

    def step(
        self,
        rows: list[Row],
        plan: StepPlan,
        lr: float,
        borders: list[float] | None,
        stop: bool,
        least_excess: float | None = None,
    ) -> StepReport:
        """Learns from this process's rows of a step; updates only if loss and gradients are finite.

        Parameters
        ----------
        rows
            Rows of this process.
        plan, lr
            Plan and learning rate of the step.
        borders
            Boundaries of the buckets, if the variances of the step are wanted.
        stop
            Whether this process was asked to stop; all processes learn of it.
        least_excess
            The boundary from the previous step for the gate ``excess``.
        """
        mask = self.config.data.mask_document_borders
        n = int(self.world.sum_(self._number(n_weighted(rows, mask))))
        least = self._min_entropy(rows, plan, mask)
        spread = Spread(self.config.log.bucket_borders, self.world.device)
        sums = torch.zeros(len(_SUMS), dtype=torch.float64, device=self.world.device)
        sums[-1] = float(stop)
        self.optimizer.zero_grad(set_to_none=True)
        policy = self.policy if self._stages.uses_labels(plan) else None
        excesses: list[Tensor] = []
        for first in range(0, len(rows), self.micro_batch_size):
            part = rows[first : first + self.micro_batch_size]
            batch = batch_of(part, self._seq_len, mask, policy, plan.omega, least, least_excess)
            is_last = first + self.micro_batch_size >= len(rows)
            scale = self.world.size / max(n, 1)
            sums += self._differentiate(batch.to(self.world.device), scale, is_last, spread, excesses)
            sums[_SUMS.index("n_positions")] += sum(row.n_targets for row in part)
        self.world.sum_(sums)
        if borders is not None:
            self.world.sum_(spread.moments)
        found = dict(zip(_SUMS, sums.tolist(), strict=True))
        # Gradients were divided before the number of cut positions, or the sum of weights, was known.
        factor = found["n"] / found["n_learnt"] if found["n_learnt"] > 0 else 1.0
        norm = grad_norm(self.parameters) * factor
        next_least = self._next_least_excess(excesses, policy)
        has_excess = policy is not None and policy.gate == "excess"
        report = _report(found, plan, norm, lr, None if borders is None else spread, (next_least, has_excess))
        if math.isfinite(report.loss) and math.isfinite(norm):
            self._update(norm, lr, factor)
        return report

    def _next_least_excess(self, excesses: list[Tensor], policy: KdPolicy | None) -> float | None:
        if policy is None or not policy.cuts_excess:
            return None
        own = torch.cat(excesses).cpu() if excesses else torch.empty(0)
        return min_excess(torch.cat(self.world.gather(own)), policy.gate_fraction)

    @property
    def _seq_len(self) -> int:
        assert self.config.data.seq_len is not None
        return self.config.data.seq_len

    def _number(self, value: float) -> Tensor:
        return torch.tensor(float(value), dtype=torch.float64, device=self.world.device)

    def _min_entropy(self, rows: list[Row], plan: StepPlan, mask: bool) -> float | None:
        if plan.omega == 0 or self.policy.gate != "entropy":
            return None
        every = torch.cat(self.world.gather(entropies(rows, mask)))
        return min_entropy(every, self.policy.gate_fraction)

    def _differentiate(
        self, batch: Batch, scale: float, is_last: bool, spread: Spread, excesses: list[Tensor]
    ) -> Tensor:
        with gradients_shared(self.module, self.world, is_last):
            with self.autocast():
                loss, ce, kd, soft, omega, gate_weight = self.module(batch, scale)
            loss.backward()
        spread.add(batch.weight, ce, soft, omega, batch.teacher_nll)
        if self.policy.cuts_excess and batch.teacher_nll is not None:
            excesses.append((ce - batch.teacher_nll)[batch.weight > 0].float())
        return _sums(batch, ce, kd, omega, gate_weight)

    def _update(self, norm: float, lr: float, factor: float) -> None:
        """Updates by the gradients times ``factor``; ``norm`` is the norm of that product."""
        clip = self.config.optimizer.grad_clip
        if 0 < clip < norm:
            factor *= clip / norm
        if factor != 1.0:
            torch._foreach_mul_([p.grad for p in self.parameters if p.grad is not None], factor)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, batches: list[Batch]) -> Tensor:
        """``[2]`` f64 sums over batches of this process: NLL of the targets in nats, and their number."""
        self.module.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.world.device)
        module = getattr(self.module, "module", self.module)
        for batch in batches:
            moved = batch.to(self.world.device)
            with self.autocast():
                _, ce, *_ = module(moved, 1.0)
            total += torch.stack([(moved.weight * ce).double().sum(), moved.weight.double().sum()])
        self.module.train()
        return self.world.sum_(total)


def optimizer_of(config: RunConfig, parameters: list[nn.Parameter]) -> optim.Optimizer:
    """AdamW, with weight decay for matrices only."""
    options = config.optimizer
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return optim.AdamW(groups, lr=config.schedule.lr, betas=(options.beta1, options.beta2), eps=options.eps)


def _sums(batch: Batch, ce: Tensor, kd: Tensor, omega: Tensor, gate_weight: Tensor) -> Tensor:
    weight, ce, kd, omega, gate_weight = (x.double() for x in (batch.weight, ce, kd, omega, gate_weight))
    taught = weight * (omega > 0)
    nothing = torch.zeros((), dtype=torch.float64, device=weight.device)
    teacher = nothing
    if batch.teacher_nll is not None:
        # Not weight * NLL everywhere, since 0 * inf is NaN.
        teacher = torch.where(weight > 0, batch.teacher_nll.double(), 0.0).sum()
    lacks = nothing + float(batch.teacher_nll is None)
    # Not a product: a NaN loss must not be hidden unless its position is cut.
    loss = torch.where(gate_weight == 0.0, 0.0, weight * gate_weight * ((1.0 - omega) * ce + omega * kd))
    learnt = (weight * gate_weight).sum()
    parts = [weight.sum(), learnt, loss.sum(), (weight * ce).sum(), (taught * kd).sum(), taught.sum(), teacher]
    return torch.stack([*parts, nothing, lacks, nothing])


def _report(
    found: dict[str, float],
    plan: StepPlan,
    norm: float,
    lr: float,
    spread: Spread | None,
    excess: tuple[float | None, bool],
) -> StepReport:
    least_excess, has_excess = excess
    n, n_learnt = found["n"], found["n_learnt"]
    has_teacher = found["lacks_teacher"] == 0 and n > 0
    return StepReport(
        plan=plan,
        n=int(n),
        n_positions=int(found["n_positions"]),
        loss=found["loss"] / n_learnt if n_learnt > 0 else 0.0,
        ce=found["ce"] / n if n > 0 else 0.0,
        kd=found["kd"] / found["n_kd"] if found["n_kd"] > 0 else None,
        kd_fraction=found["n_kd"] / n if n > 0 else 0.0,
        learnt_fraction=n_learnt / n if n > 0 else 0.0,
        least_excess=least_excess,
        has_excess=has_excess,
        teacher_nll=found["teacher"] / n if has_teacher else None,
        grad_norm=norm,
        lr=lr,
        variance=None if spread is None else spread.report(has_teacher),
        stop=found["stop"] > 0,
    )
