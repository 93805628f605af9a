"""The loop over the steps, with validations and checkpoints between them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from .. import __version__
from ..hashes import hash_file
from .batch import Batch, batch_of
from .checkpoint import Checkpoints, whole_weights
from .config import RunConfig, check_resumes, resolve, to_toml
from .data import Data, Position, ReadAhead
from .errors import ConfigError, DataError, DivergedError, InterruptedRunError, TrainError
from .metrics import RunLog
from .parallel import World, inner, wrap
from .schedule import AutoTransition, StepPlan, learning_rate
from .step import Stepper, StepReport
from .student import open_student

_CREATED_BY = f"saltworks_lm.train {__version__}"


@dataclass(frozen=True)
class Engine:
    """How a run is computed, which is not part of the method."""

    precision: str = "f32"
    parallel: str = "ddp"
    device: str | None = None


@dataclass(frozen=True)
class Start:
    """Where to start: from scratch, from the latest checkpoint, or from that of a step."""

    resume: bool = False
    step: int | None = None


@dataclass
class State:
    """State of a run after a step."""

    step: int = 0
    n_tokens: int = 0
    seconds: float = 0.0
    position: Position = None  # type: ignore[assignment]
    auto: AutoTransition | None = None
    least_excess: float | None = None

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self.position = self.position or Position()

    @classmethod
    def of(cls, saved: dict[str, Any]) -> State:
        """The state from a checkpoint."""
        auto = None if saved["auto"] is None else AutoTransition(**saved["auto"])
        position, least = Position(**saved["position"]), saved.get("least_excess")
        return cls(saved["step"], saved["n_tokens"], saved["seconds"], position, auto, least)


def train(config: RunConfig, world: World, engine: Engine, start: Start) -> None:
    """Trains from the beginning or a checkpoint to the end.

    Raises
    ------
    SaltworksError
        The error; InterruptedRunError after a requested stop, with the completed steps saved.
    """
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    data = Data(config)
    resolve(config, data.have_samples)
    _check_batches(config, world)
    with claimed(Path(config.output), world):
        checkpoints = Checkpoints(Path(config.output), config.checkpoint, world)
        step = _first_step(checkpoints, start, world)
        trainer = Trainer(config, data, world, engine, checkpoints)
        try:
            trainer.begin(step, start)
            trainer.train()
        finally:
            trainer.close()


def _check_batches(config: RunConfig, world: World) -> None:
    batch, size = config.train.batch_size, world.size
    if batch % size:
        raise ConfigError.of("train.batch_size", f"a multiple of the {size} processes", batch, "choose one")
    micro, per_rank = config.train.micro_batch_size or batch, batch // size
    if per_rank % min(micro, per_rank):
        expected = f"a divisor of the {per_rank} sequences that each of {size} processes has of a step"
        raise ConfigError.of("train.micro_batch_size", expected, micro, "choose one that divides it")


@contextmanager
def claimed(run: Path, world: World) -> Iterator[None]:
    """Locks the run's directory for these processes."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("w") as lock:
        if world.is_first:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise TrainError(
                    f"output is {run}, in which another process is training: wait for it, or choose another"
                ) from None
        yield


def _first_step(checkpoints: Checkpoints, start: Start, world: World) -> int | None:
    """The checkpoint to resume from; a new run refuses a directory with checkpoints or a trained model."""
    steps, run = checkpoints.steps(), checkpoints.directory.parent
    if start.step is not None:
        return start.step
    if start.resume and steps:
        return steps[-1]
    if steps:
        raise ConfigError.of("output", "a directory without checkpoints", f"{run} (step-{steps[-1]})", "add --resume")
    if (run / "final").exists() and not start.resume:
        raise ConfigError.of("output", "a directory without a trained model", run, "choose another one")
    if world.is_first:
        _check_output_directory(run)
    return None


def _check_output_directory(run: Path) -> None:
    for name, what in (("corpus.json", "a token corpus"), ("plan.json", "labels"), ("model.safetensors", "a model")):
        if (run / name).exists():
            raise ConfigError.of("output", "a directory of its own", f"{run}, which contains {what}", "choose another")
    if (run / "config.toml").exists() or (run / "final").exists():
        return
    names = sorted(path.name for path in run.iterdir() if not path.name.startswith("."))
    own = ("attempts", "checkpoints", "invocations.jsonl", "lost+found", "metrics.jsonl", "sources.json", "torch.json")
    others = [name for name in names if name not in own and not name.endswith((".toml", ".log", ".out", ".err"))]
    if others:
        expected = "a directory for the run only: new, empty, or with the run in it"
        raise ConfigError.of("output", expected, f"{run}, which contains {others[0]!r} and no run", "choose another")


class Trainer:
    """A run in progress."""

    def __init__(self, config: RunConfig, data: Data, world: World, engine: Engine, checkpoints: Checkpoints) -> None:
        self.config, self.data, self.world, self.engine = config, data, world, engine
        self.checkpoints = checkpoints
        self.run = Path(config.output)
        self.state = State(auto=data.stages.auto_transition())
        student = open_student(config, data.vocab_size, data.seq_len)
        data.check_vocabulary(student.head.n_ids)
        self.stepper = Stepper(config, wrap(student, world).train(), world, engine.precision)
        self.ahead = ReadAhead(data, config.data.prefetch)
        self.log: RunLog | None = None
        self._stop = False
        self._saved_at: int | None = None
        self._since = (0.0, 0)
        self._handlers = [(sig, signal.signal(sig, self._request_stop)) for sig in (signal.SIGINT, signal.SIGTERM)]

    def close(self) -> None:
        """Ends threads and restores signal handlers."""
        self.ahead.close()
        for number, handler in self._handlers:
            signal.signal(number, handler)

    def _request_stop(self, *_: object) -> None:
        self._stop = True

    def begin(self, step: int | None, start: Start) -> None:
        """Loads state, weights and moments of a checkpoint, if any; then opens the files of the run."""
        if step is not None:
            saved = self.checkpoints.state(step)
            self._check_resumes(saved, step)
            self.state = State.of(saved)
            self.checkpoints.load(step, self.stepper.module, self.stepper.optimizer)
            self._saved_at = step
            if start.step is not None and self.world.is_first:
                for moved in self.checkpoints.abandon_after(step):
                    self.say(f"{moved} is kept, but is no longer a checkpoint of this run")
            self.say(f"resuming from {self.checkpoints.path(step)}")
        for note in self.data.notes if self.world.is_first else []:
            self.say(f"note: {note}")
        if step is None and start.resume:
            self.say(f"{self.run} has no checkpoint yet: this run starts at step 0")
        if self.world.is_first:
            self._write_config_and_sources()
            self.log = RunLog(self.run, self.state.step, self.config.log.tensorboard)
        self.world.barrier()

    def _check_resumes(self, saved: dict[str, Any], step: int) -> None:
        where = str(self.checkpoints.path(step))
        check_resumes(self.config.flat(), saved["config"], where)
        check_resumes({"--precision": self.engine.precision}, {"--precision": saved["precision"]}, where)
        check_resumes(
            self._contents(), {f"the contents of {key}": value for key, value in saved["sources"].items()}, where
        )

    def _contents(self) -> dict[str, str]:
        return {f"the contents of {key}": value for key, value in self.data.sources.by_key().items()}

    def _write_config_and_sources(self) -> None:
        (self.run / "config.toml").write_text(to_toml(self.config))
        self.data.sources.write(self.run)
        engine = {**asdict(self.engine), "processes": self.world.size, "device": str(self.world.device)}
        versions = {"torch": torch.__version__, "python": platform.python_version(), "created_by": _CREATED_BY}
        (self.run / "torch.json").write_text(json.dumps({**engine, **versions}, indent=1) + "\n")

    def say(self, text: str) -> None:
        """Prints a line of progress, in the first process."""
        if self.world.is_first:
            print(text, file=sys.stderr, flush=True)

    def train(self) -> None:
        """Steps to the end; if anything stops it earlier, completed steps are saved first if possible."""
        steps = self.config.train.steps
        while True:
            self._validate_if_due()
            if self.state.step == steps:
                break
            try:
                report = self._step()
            except (DataError, DivergedError):
                self._save_if_new()
                raise
            if self.checkpoints.is_due(self.state.step, steps):
                self._save()
            if report.stop:
                self._save_if_new()
                raise InterruptedRunError(
                    f"stopped after step {self.state.step}; resume with the same command and --resume"
                )
        self._write_final()

    def _step(self) -> StepReport:
        began = time.perf_counter()
        state, config = self.state, self.config
        plan = self.data.stages.at(state.step, state.auto)
        self._log_stage_change(plan.stage)
        rows = self._rows_of_all(plan.stage)
        torch.manual_seed(_seed(config.train.seed, state.step, self.world.rank))
        is_logged = self._is_log_due(state.step + 1)
        lr = learning_rate(config.schedule, config.train.steps, state.step) * plan.lr_factor
        borders = config.log.bucket_borders if is_logged and plan.stage == 1 else None
        report = self.stepper.step(rows, plan, lr, borders, self._stop, state.least_excess)
        self._check_finite(report, [row.seq_id for row in rows])
        self._count(report, time.perf_counter() - began)
        if is_logged:
            self._log_step(report)
        return report

    def _rows_of_all(self, stage: int) -> list[Any]:
        """The rows of this process, after every process has read its own.

        A process that failed alone would leave the others waiting.
        """
        if self.world.size == 1:
            return self._rows(stage)
        rows: list[Any] = []
        error: DataError | None = None
        try:
            rows = self._rows(stage)
        except DataError as caught:
            error = caught
        failed = torch.tensor(float(error is not None), device=self.world.device)
        if self.world.sum_(failed).item() == 0:
            return rows
        raise error or DataError("another process could not read its data; its message says which")

    def _rows(self, stage: int) -> list[Any]:
        position = self.state.position
        done = position.labelled if stage == 1 else position.tokens
        steps = self.data.stages.max_labelled_steps if stage == 1 else self.data.stages.max_token_steps
        batch, mine = self.config.train.batch_size, self.stepper.per_rank
        first = done + self.world.rank * mine
        return self.ahead.rows(stage, first, first + mine, batch, steps * batch)

    def _check_finite(self, report: StepReport, seq_ids: list[int]) -> None:
        for what, value in (("the loss", report.loss), ("the gradient norm", report.grad_norm)):
            if not math.isfinite(value):
                every = sorted(i for ids in self.world.gather(seq_ids) for i in ids)[:64]
                raise DivergedError(
                    f"step {self.state.step + 1}: {what} is {value}, expected a finite number (sequences "
                    f"{', '.join(map(str, every))}); lower {_rate_key(report.plan)}, or check the labels of these "
                    "sequences"
                )

    def _count(self, report: StepReport, seconds: float) -> None:
        state = self.state
        state.step += 1
        state.n_tokens += report.n
        state.least_excess = report.least_excess
        state.seconds += seconds
        self._since = (self._since[0] + seconds, self._since[1] + report.n_positions)
        if report.plan.stage == 1:
            state.position.labelled += self.config.train.batch_size
            if state.auto is not None:
                state.auto.observe(report.ce, math.nan if report.teacher_nll is None else report.teacher_nll)
        else:
            state.position.tokens += self.config.train.batch_size

    def _is_log_due(self, step: int) -> bool:
        return step in (1, self.config.train.steps) or step % self.config.log.every == 0

    def _line(self, kind: str, **values: Any) -> None:
        state = self.state
        line = {"kind": kind, "step": state.step, "tokens": state.n_tokens, "seconds": state.seconds, **values}
        if self.log is not None:
            self.log.write(line)

    def _log_step(self, report: StepReport) -> None:
        seconds, n_positions = self._since
        self._since = (0.0, 0)
        plan, rate = report.plan, n_positions / max(seconds, 1e-9)
        values: dict[str, Any] = {"stage": plan.stage, "loss": report.loss, "ce": report.ce, "kd": report.kd}
        values["omega"] = plan.omega
        if plan.omega > 0:
            values["kd_fraction"] = report.kd_fraction
        if report.has_excess:
            values["learnt_fraction"] = report.learnt_fraction
        values |= {"lr": report.lr, "grad_norm": report.grad_norm, "tokens_per_s": rate, "mfu": None}
        values |= {"teacher_nll": report.teacher_nll if plan.stage == 1 else None}
        values |= {"student_nll": report.ce if plan.stage == 1 else None}
        if report.variance is not None:
            values["variance"] = report.variance
        self._line("train", **values)
        kd = "" if report.kd is None else f"  kd {report.kd:.4f}"
        self.say(f"step {self.state.step}/{self.config.train.steps}  ce {report.ce:.4f}{kd}  {rate:.0f} tokens/s")

    def _log_stage_change(self, stage: int) -> None:
        step = self.state.step
        if step > 0 and self.data.stages.at(step - 1, self.state.auto).stage != stage:
            self.say(f"step {step + 1}: stage 1 is done; stage 2 reads the corpus")
            self._line("stage", step=step + 1, stage=stage)

    def _validate_if_due(self) -> None:
        step, every, view = self.state.step, self.config.eval.every, self.data.validation
        is_due = step == self.config.train.steps or (every > 0 and step > 0 and step % every == 0)
        is_logged = self.world.from_first(self.log is not None and self.log.validated_at == step)
        if view is None or not is_due or is_logged:
            return
        nats, n = self.stepper.evaluate(self._validation_batches()).tolist()
        nll = nats / n if n > 0 else 0.0
        if not math.isfinite(nll):
            plan = self.data.stages.at(step - 1, self.state.auto)
            raise DivergedError(
                f"step {step}: the validation NLL is {nll}, expected a finite number; lower {_rate_key(plan)}"
            )
        self._line("valid", val_nll=nll, val_n_targets=int(n))
        self.say(f"step {step}: validation NLL {nll:.4f}")

    def _validation_batches(self) -> list[Batch]:
        """The batches of this process; all have the same number, since each takes part in every forward pass."""
        view, wanted = self.data.validation, self.config.eval.sequences
        assert view is not None
        n = min(wanted or view.n_total, view.n_total)
        rows = [view.by_seq_id(i * view.n_total // n) for i in range(n)]
        size, mask = self.stepper.micro_batch_size, self.config.data.mask_document_borders
        parts = [rows[first : first + size] for first in range(0, n, size)]
        found = []
        for first in range(0, len(parts), self.world.size):
            place = first + self.world.rank
            batch = batch_of(parts[min(place, len(parts) - 1)], self.data.seq_len, mask)
            if place >= len(parts):
                batch.weight.zero_()
            found.append(batch)
        return found

    def _save_if_new(self) -> None:
        if self.state.step > 0 and self._saved_at != self.state.step:
            self._save()

    def _save(self) -> None:
        if self.log is not None:
            self.log.sync()
        state, auto = self.state, self.state.auto
        saved = {
            "step": state.step,
            "n_tokens": state.n_tokens,
            "seconds": state.seconds,
            "position": asdict(state.position),
            "auto": None if auto is None else asdict(auto),
            "least_excess": state.least_excess,
            "config": self.config.flat(),
            "precision": self.engine.precision,
            "sources": self.data.sources.by_key(),
            "created_by": _CREATED_BY,
        }
        self.checkpoints.save(state.step, self.stepper.module, self.stepper.optimizer, saved)
        self._saved_at = state.step

    def _write_final(self) -> None:
        """The trained model as a Hugging Face directory."""
        weights = whole_weights(self.stepper.module)
        final = self.run / "final"
        if self.world.is_first:
            temporary, old = self.run / ".final.tmp", self.run / ".final.old"
            for left in (temporary, old):
                shutil.rmtree(left, ignore_errors=True)
            model = cast(Any, inner(self.stepper.module).model)
            named = {name.removeprefix("model."): value for name, value in weights.items()}
            for name in _tied(model):
                named.pop(name, None)
            model.save_pretrained(temporary, state_dict=named)
            if self.data.tokenizer is not None:
                shutil.copy(self.data.tokenizer, temporary / "tokenizer.json")
            _seal(temporary)
            if final.exists():
                os.replace(final, old)
            os.replace(temporary, final)
            shutil.rmtree(old, ignore_errors=True)
        self.world.barrier()
        self.say(f"the model is in {final}")


def _rate_key(plan: StepPlan) -> str:
    """What to lower if the learning rate of a step was too high."""
    return "kd.lr_factor or schedule.lr" if plan.lr_factor > 1 else "schedule.lr"


def _seal(directory: Path) -> None:
    """Writes `saltworks.json`: size and BLAKE3 of every file of a model, to detect damage."""
    if not (directory / "model.safetensors").is_file():
        return  # in shards, which saltworks-train's models never are
    paths = sorted(path for path in directory.iterdir() if path.is_file())
    files = {path.name: {"bytes": path.stat().st_size, "blake3": hash_file(path)} for path in paths}
    (directory / "saltworks.json").write_text(json.dumps({"format_version": 1, "files": files}, indent=2) + "\n")


def _tied(model: torch.nn.Module) -> list[str]:
    """Names of weights that already exist under another name; weights gathered from shards no longer share memory."""
    seen: set[int] = set()
    tied = []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            tied.append(name)
        seen.add(id(parameter))
    return tied


def _seed(seed: int, step: int, rank: int) -> int:
    """The random numbers of a step (dropout) do not depend on earlier steps, so a resumed run has the same."""
    return int.from_bytes(hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()[:8], "little") >> 1
