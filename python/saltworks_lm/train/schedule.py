"""What depends on the step: the learning rate, the stage, and omega. Steps count from 0.

As in ``saltworks-train``; a pure function of the step, and of the state of ``auto`` if used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .config import RunConfig, ScheduleConfig, decay_steps, kd_decay_steps, min_kd, min_lr, warmup_steps


def learning_rate(schedule: ScheduleConfig, steps: int, step: int) -> float:
    """Rises linearly over the warm-up, then falls according to the shape, to ``min_lr`` at the step after the last."""
    warmup = warmup_steps(schedule, steps)
    if step < warmup:
        return schedule.lr * ((step + 1) / warmup)
    start = warmup if schedule.shape != "wsd" else max(steps - decay_steps(schedule, steps), 0)
    done = _progress(start, steps, step)
    share_left = {
        "constant": 1.0,
        "linear": 1.0 - done,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * done)),
        "wsd": 1.0 - done,
    }[schedule.shape]
    if share_left >= 1.0:
        return schedule.lr
    least = min_lr(schedule)
    return min(least + (schedule.lr - least) * share_left, schedule.lr)


def _progress(start: int, end: int, step: int) -> float:
    if step >= end:
        return 1.0
    return 0.0 if step <= start else (step - start) / (end - start)


@dataclass
class AutoTransition:
    """Stage 1 ends when the student's running NLL has fallen to the teacher's on the same positions, plus a margin."""

    min_kd: int
    n_kd: int
    running_steps: int
    margin: float
    n_observed: int = 0
    weight: float = 0.0
    student_sum: float = 0.0
    teacher_sum: float = 0.0
    ended_after: int | None = None

    def observe(self, student_nll: float, teacher_nll: float) -> None:
        """Records one step of stage 1: mean NLLs over its labelled positions, nats; NaN if there are none."""
        self.n_observed += 1
        if math.isfinite(student_nll) and math.isfinite(teacher_nll):
            kept = 1.0 - 1.0 / max(self.running_steps, 1)
            self.weight = self.weight * kept + 1.0
            self.student_sum = self.student_sum * kept + student_nll
            self.teacher_sum = self.teacher_sum * kept + teacher_nll
        has_caught_up = self.weight > 0 and self.student_sum <= self.teacher_sum + self.margin * self.weight
        if self.ended_after is None and self.n_observed >= self.min_kd and has_caught_up:
            self.ended_after = self.n_observed

    def has_ended(self, step: int) -> bool:
        """Whether ``step`` is past stage 1; once ended, stage 1 does not resume."""
        return step >= min(self.n_kd if self.ended_after is None else self.ended_after, self.n_kd)


@dataclass(frozen=True)
class StepPlan:
    """Stage 1 reads labelled sequences, 2 the token corpus; omega is the fraction of KD in the loss.

    lr_factor is the step's learning rate as a multiple of the schedule's.
    """

    stage: int
    omega: float
    lr_factor: float = 1.0


class StagePlan:
    """The stages of a valid configuration."""

    def __init__(self, config: RunConfig) -> None:
        kd = config.kd
        self.steps = config.train.steps
        reads_labels = kd.mode != "baseline" or config.data.labels is not None
        self._n_full = 0 if not reads_labels else self.steps if kd.n_kd is None else kd.n_kd
        has_end = reads_labels and kd.n_kd is not None
        self._n_falling = kd_decay_steps(kd) if has_end and kd.transition == "linear" else 0
        self._omega = kd.omega if kd.mode in ("rkd", "salt", "salt-ds") else 0.0
        self._lr_factor = kd.lr_factor if self._omega > 0 else 1.0
        self._is_cut = kd.mode in ("rkd", "salt", "salt-ds") and kd.gate == "excess"
        self._is_auto = has_end and kd.transition == "auto"
        self._kd = kd

    def auto_transition(self) -> AutoTransition | None:
        """The initial state of a run with ``auto``, else None."""
        if not self._is_auto:
            return None
        kd = self._kd
        return AutoTransition(min_kd(kd), self._n_full, kd.running_steps or 50, kd.auto_margin or 0.0)

    def at(self, step: int, auto: AutoTransition | None) -> StepPlan:
        """The plan for a step."""
        has_ended = step >= self._n_full + self._n_falling if auto is None else auto.has_ended(step)
        if has_ended:
            return StepPlan(2, 0.0)
        fallen = max(step + 1 - self._n_full, 0)
        share = 1.0 - fallen / (self._n_falling + 1)
        return StepPlan(1, self._omega * share, 1.0 + (self._lr_factor - 1.0) * share)

    @property
    def max_labelled_steps(self) -> int:
        """Maximum steps that read labelled sequences."""
        return min(self._n_full + self._n_falling, self.steps)

    @property
    def max_token_steps(self) -> int:
        """Maximum steps that read the token corpus: all after the shortest stage 1."""
        least = min(max(min_kd(self._kd), 1), self._n_full) if self._is_auto else self.max_labelled_steps
        return self.steps - min(least, self.steps)

    @property
    def learns_from_labels(self) -> bool:
        """Whether any step learns from the teacher, or only from the positions that its labels leave."""
        return (self._omega > 0 or self._is_cut) and self._n_full > 0

    @property
    def has_kd(self) -> bool:
        """Whether any step has KD."""
        return self._omega > 0 and self._n_full > 0

    def uses_labels(self, plan: StepPlan) -> bool:
        """Whether this step does so."""
        return plan.omega > 0 or (self._is_cut and plan.stage == 1)
