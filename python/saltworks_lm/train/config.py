"""``run.toml``: the keys of ``saltworks-train``, read, overridden by ``--set``, checked, and written as resolved."""

from __future__ import annotations

import math
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..losses import GATE_EXCESS, GATES, KD_LOSSES, TEACHERS
from ..remote import url_scheme
from .errors import ConfigError, TrainError

MODES = ("baseline", "rkd", "salt", "salt-ds", "ds-ce")
TRANSITIONS = ("step", "linear", "auto")
SHAPES = ("constant", "linear", "cosine", "wsd")
#: Maximum number of teachers that one position learns from.
MAX_TEACHERS = 8
#: Keys of ``saltworks-train`` that this trainer does not support, and what to do instead.
UNSUPPORTED_KEYS = {
    "branch_from": "remove it; give checkpoint.keep_every and --resume-from for several decays of one run",
    "train.memory_limit": "remove it; the memory of a device is its own limit",
}


@dataclass
class ModelConfig:
    """Dimensions of a fresh Llama; the vocabulary is the tokenizer's."""

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    n_kv_heads: int | None = None
    head_dim: int | None = None
    max_seq_len: int | None = None
    rope_theta: float | None = None
    norm_eps: float | None = None
    tie_embeddings: bool = False


@dataclass
class DataConfig:
    """What is read."""

    tokens: str | None = None
    tokens_format: str | None = None
    dtype: str | None = None
    eod: int | None = None
    eod_position: str | None = None
    labels: str | list[str] | None = None
    selection: str | None = None
    validation: str | None = None
    tokenizer: str | None = None
    seq_len: int | None = None
    packing: str | None = None
    sequence_bos: int | None = None
    mask_document_borders: bool = False
    label_epochs: int = 1
    token_epochs: int = 1
    shuffle_row_groups: int = 8
    prefetch: int = 4


@dataclass
class TrainConfig:
    """How long and how much."""

    steps: int
    batch_size: int
    micro_batch_size: int | None = None
    seed: int = 0
    threads: int | None = None
    recompute: bool = False
    memory_limit: int | None = None


@dataclass
class ScheduleConfig:
    """Learning rate."""

    lr: float = 1e-3
    min_lr: float | None = None
    shape: str = "cosine"
    warmup_steps: int | None = None
    decay_steps: int | None = None


@dataclass
class OptimizerConfig:
    """AdamW with decoupled weight decay, of matrices only."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    grad_clip: float = 1.0


@dataclass
class KdConfig:
    """What is learnt from labels, and when."""

    mode: str
    loss: str | None = None
    omega: float = 0.5
    lr_factor: float = 1.0
    tau: float = 1.0
    temperature_mode: str = "teacher"
    gate: str = "none"
    gate_k: int = 10
    gate_fraction: float | None = None
    gate_excess: str = "cut"
    teachers: str = "mix"
    teacher_weights: list[float] | None = None
    transition: str = "step"
    n_kd: int | None = None
    min_kd: int | None = None
    decay_steps: int | None = None
    running_steps: int | None = None
    auto_margin: float | None = None


@dataclass
class EvalConfig:
    """Validation during training."""

    every: int = 200
    sequences: int = 256


@dataclass
class CheckpointConfig:
    """What is kept."""

    every: int = 500
    keep_last: int = 2
    keep_every: int = 0
    keep_steps: list[int] = field(default_factory=list)


@dataclass
class LogConfig:
    """What is logged."""

    every: int = 10
    tensorboard: bool = True
    bucket_borders: list[float] = field(default_factory=lambda: [2.0, 5.0])


@dataclass
class RunConfig:
    """A training run."""

    data: DataConfig
    train: TrainConfig
    output: str = ""
    model: ModelConfig | None = None
    init: str | None = None
    branch_from: str | None = None
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    kd: KdConfig = field(default_factory=lambda: KdConfig(mode="baseline"))
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def flat(self) -> dict[str, Any]:
        """Every key with a value, by its whole name."""
        return dict(_flat(asdict(self), ""))


def _flat(table: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        elif value is not None:
            found.append((prefix + key, value))
    return found


#: Keys whose values are paths.
PATH_KEYS = frozenset({"output", "init", "branch_from", "tokens", "labels", "selection", "validation", "tokenizer"})

#: First line of a recorded configuration, whose paths are relative to the directory that the run was started in.
RECORDED = "# What this run does, every default filled in; it can be given as --config again."


def read_config(path: Path, overrides: list[str] | None = None, output: str | None = None) -> RunConfig:
    """Reads and checks a configuration; each of ``overrides`` is KEY=VALUE, in order, and KEY= takes a key out.

    Relative paths in the file are relative to it, those of ``overrides`` and ``output`` to the working directory.

    Raises
    ------
    ConfigError
        The first key that is wrong.
    """
    try:
        text = path.read_text()
        table = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"--config: {path} does not exist") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not text.startswith(RECORDED):
        _begin_at(path.parent, table)
    for override in overrides or []:
        _override(table, override)
    if output is not None:
        table["output"] = output
    config: RunConfig = _typed(RunConfig, table, "")
    validate(config)
    return config


def _begin_at(directory: Path, table: dict[str, Any]) -> None:
    """Puts ``directory`` before every relative path: those in a file are relative to it, as for saltworks-train."""
    for values in (table, table.get("data")):
        if not isinstance(values, dict):
            continue
        for key in PATH_KEYS & values.keys():
            value = values[key]
            if isinstance(value, list):
                values[key] = [_below(directory, path) for path in value]
            else:
                values[key] = _below(directory, value)


def _below(directory: Path, value: Any) -> Any:
    """A relative path below a directory; a URL, and what is no path, as it is."""
    is_path = isinstance(value, str) and value and url_scheme(value) is None
    return str(directory / value) if is_path else value


def _override(table: dict[str, Any], override: str) -> None:
    name, sign, text = override.partition("=")
    if not sign:
        raise ConfigError(f"--set {override}: expected KEY=VALUE")
    *tables, key = name.strip().split(".")
    for part in tables:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {part} is not a table")
    if not text.strip():
        table.pop(key, None)
        return
    try:
        table[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[key] = text


def _typed(kind: type[Any], table: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    unknown = [key for key in table if key not in hints]
    if unknown:
        raise ConfigError.of(prefix + unknown[0], f"one of {', '.join(hints)}", table[unknown[0]], "remove it")
    for item in fields(kind):
        is_needed = item.default is MISSING and item.default_factory is MISSING
        if is_needed and item.name not in table:
            raise ConfigError.of(prefix + item.name, "a value", None, f"give it{_hint(prefix + item.name)}")
    return kind(**{key: _value(hints[key], value, prefix + key) for key, value in table.items()})


def _hint(key: str) -> str:
    return f" ({', '.join(MODES)}), or remove the table to train without a teacher" if key == "kd.mode" else ""


def _value(hint: Any, value: Any, key: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hints = [arg for arg in get_args(hint) if arg is not type(None)]
        # Of a value or a list of such, what was written says which.
        lists = [arg for arg in hints if get_origin(arg) is list]
        hint = lists[0] if lists and isinstance(value, list) else hints[0]
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError.of(key, "a table", value, "write [" + key + "]")
        return _typed(hint, value, key + ".")
    if get_origin(hint) is list:
        if not isinstance(value, list):
            raise ConfigError.of(key, "a list", value, "write [1, 2]")
        return [_value(get_args(hint)[0], item, key) for item in value]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError.of(
            key, {int: "a whole number", str: "text"}.get(hint, f"a {hint.__name__}"), value, "change it"
        )
    return value


def _require(holds: bool, key: str, expected: str, found: object, remedy: str) -> None:
    if not holds:
        raise ConfigError.of(key, expected, found, remedy)


def _belongs(holds: bool, key: str, value: object, owner: str) -> None:
    if value is not None:
        _require(holds, key, f"no such key, which belongs to {owner}", value, f"remove it (--set {key}= does)")


def validate(config: RunConfig) -> None:
    """Refuses values out of range and keys that do not go together.

    Raises
    ------
    ConfigError
        The first such key.
    """
    for key, remedy in UNSUPPORTED_KEYS.items():
        _require(
            key not in config.flat(), key, "no such key: only saltworks-train has it", config.flat().get(key), remedy
        )
    _require(bool(config.output), "output", "a directory", None, "give --output")
    _check_counts(config)
    _check_model(config)
    _check_schedule(config.schedule, config.train.steps)
    _check_optimizer(config.optimizer)
    _check_loss(config.kd)
    _check_teachers(config.kd, config.data)
    _check_sources(config.kd.mode, config.data)
    _check_transition(config.kd)
    _check_stages(config)


def _check_counts(config: RunConfig) -> None:
    data, train = config.data, config.train
    least_1 = {
        "train.steps": train.steps,
        "train.batch_size": train.batch_size,
        "train.micro_batch_size": train.micro_batch_size,
        "train.threads": train.threads,
        "data.seq_len": data.seq_len,
        "data.label_epochs": data.label_epochs,
        "data.token_epochs": data.token_epochs,
        "data.shuffle_row_groups": data.shuffle_row_groups,
        "data.prefetch": data.prefetch,
        "checkpoint.keep_last": config.checkpoint.keep_last,
        "log.every": config.log.every,
    }
    for key, value in least_1.items():
        _require(value is None or value >= 1, key, "at least 1", value, "set it higher")
    least_0 = {
        "train.seed": train.seed,
        "eval.every": config.eval.every,
        "eval.sequences": config.eval.sequences,
        "checkpoint.every": config.checkpoint.every,
        "checkpoint.keep_every": config.checkpoint.keep_every,
    }
    for key, value in least_0.items():
        _require(value >= 0, key, "at least 0", value, "set it higher")
    micro = train.micro_batch_size
    divides = micro is None or train.batch_size % micro == 0
    expected = f"a divisor of train.batch_size, {train.batch_size}"
    _require(divides, "train.micro_batch_size", expected, micro, "choose one that divides it, or leave it out")
    for step in config.checkpoint.keep_steps:
        inside = 1 <= step <= train.steps
        _require(inside, "checkpoint.keep_steps", f"steps from 1 to {train.steps}", step, "remove it")
    borders = config.log.bucket_borders
    rises = len(borders) == 2 and all(map(math.isfinite, borders)) and borders[0] <= borders[1]
    _require(rises, "log.bucket_borders", "two increasing numbers of nats", borders, "[2, 5] is the default")
    packings = (None, "concat", "document")
    _require(data.packing in packings, "data.packing", "concat or document", data.packing, "choose one")
    known, found = ("megatron", "nanogpt", "llmc"), data.tokens_format
    expected = f"one of {', '.join(known)}, which are read by position"
    _require(found is None or found in known, "data.tokens_format", expected, found, "saltworks tokenize it")


def _check_model(config: RunConfig) -> None:
    if config.model is None:
        remedy = "give a [model] table, or init with a Hugging Face directory to start from"
        _require(config.init is not None, "model", "the dimensions of a fresh model", None, remedy)
        return
    _require(config.init is None, "init", "no [model] with it", config.init, "remove one of the two")
    model = config.model
    for key in ("d_model", "n_layers", "n_heads", "d_ff"):
        value = getattr(model, key)
        _require(value >= 1, f"model.{key}", "at least 1", value, "set it higher")
    divides = model.head_dim is not None or model.d_model % model.n_heads == 0
    _require(
        divides, "model.n_heads", f"a divisor of d_model, {model.d_model}", model.n_heads, "choose one that divides it"
    )
    n_kv = model.n_kv_heads or model.n_heads
    _require(
        model.n_heads % n_kv == 0, "model.n_kv_heads", f"a divisor of n_heads, {model.n_heads}", n_kv, "choose one"
    )


def _check_schedule(schedule: ScheduleConfig, steps: int) -> None:
    _require(schedule.shape in SHAPES, "schedule.shape", f"one of {', '.join(SHAPES)}", schedule.shape, "choose one")
    is_rate = math.isfinite(schedule.lr) and schedule.lr > 0
    _require(is_rate, "schedule.lr", "a positive number", schedule.lr, "set it higher")
    warmup, most = warmup_steps(schedule, steps), f"at most train.steps, {steps}"
    _require(0 <= warmup <= steps, "schedule.warmup_steps", most, warmup, "set it lower, or train longer")
    _belongs(schedule.shape != "constant", "schedule.min_lr", schedule.min_lr, "a shape that decays, not constant")
    if schedule.min_lr is not None:
        fits = 0 <= schedule.min_lr <= schedule.lr
        _require(fits, "schedule.min_lr", f"a rate from 0 to {schedule.lr}", schedule.min_lr, "set it lower")
    _belongs(schedule.shape == "wsd", "schedule.decay_steps", schedule.decay_steps, "the shape wsd")
    if schedule.shape == "wsd":
        decay, left = decay_steps(schedule, steps), steps - warmup
        fits = 1 <= decay <= left
        _require(fits, "schedule.decay_steps", f"from 1 to {left}, the steps after warm-up", decay, "set it lower")


def _check_optimizer(optimizer: OptimizerConfig) -> None:
    for key in ("beta1", "beta2"):
        beta = getattr(optimizer, key)
        _require(0 <= beta < 1, f"optimizer.{key}", "a number from 0 to less than 1", beta, "0.9 and 0.95 are usual")
    _require(optimizer.eps > 0, "optimizer.eps", "a positive number", optimizer.eps, "set it higher")
    for key in ("weight_decay", "grad_clip"):
        value = getattr(optimizer, key)
        _require(value >= 0, f"optimizer.{key}", "a number from 0 up", value, "0 turns it off")


def _check_loss(kd: KdConfig) -> None:
    choices = {
        "mode": MODES,
        "transition": TRANSITIONS,
        "gate": GATES,
        "gate_excess": GATE_EXCESS,
        "teachers": TEACHERS,
        "temperature_mode": ("teacher", "both"),
        "loss": (None, *KD_LOSSES),
    }
    for key, known in choices.items():
        value = getattr(kd, key)
        _require(value in known, f"kd.{key}", f"one of {', '.join(filter(None, known))}", value, "choose one")
    _require(0 <= kd.omega <= 1, "kd.omega", "a fraction from 0 to 1", kd.omega, "0 is only cross-entropy, 1 only KD")
    fits = 0.01 <= kd.lr_factor <= 100
    _require(fits, "kd.lr_factor", "a factor from 0.01 to 100", kd.lr_factor, "1 is the rate of the schedule")
    _require(0.01 <= kd.tau <= 100, "kd.tau", "a temperature from 0.01 to 100", kd.tau, "1 is the teacher as it is")
    _require(kd.gate == "none" or kd.gate_k > 0, "kd.gate_k", "at least 1", kd.gate_k, "10 is usual")
    fits = kd.gate_fraction is None or 0 < kd.gate_fraction < 1
    _require(fits, "kd.gate_fraction", "above 0 and below 1", kd.gate_fraction, "0.15 is usual")
    belongs = kd.gate == "excess" or kd.gate_excess == "cut"
    _require(belongs, "kd.gate_excess", "nothing without kd.gate = excess", kd.gate_excess, "set the gate, too")
    for weight in kd.teacher_weights or []:
        is_weight = math.isfinite(weight) and weight >= 0
        _require(is_weight, "kd.teacher_weights", "finite numbers of at least 0", weight, "change it")


def label_dirs(data: DataConfig) -> list[str]:
    """The label directories, one of each teacher."""
    return data.labels if isinstance(data.labels, list) else [] if data.labels is None else [data.labels]


def _check_teachers(kd: KdConfig, data: DataConfig) -> None:
    dirs, weights = label_dirs(data), kd.teacher_weights
    fits = data.labels is None or 1 <= len(dirs) <= MAX_TEACHERS
    expected = f"a path, or a list of 1 to {MAX_TEACHERS} paths"
    _require(fits, "data.labels", expected, f"{len(dirs)} of them", "name the labels of each teacher")
    several = 'data.labels = ["...", "..."]'
    _belongs(len(dirs) > 1, "kd.teachers", None if kd.teachers == "mix" else kd.teachers, several)
    if weights is None:
        return
    _belongs(len(dirs) > 1, "kd.teacher_weights", weights, several)
    _belongs(kd.teachers == "mix", "kd.teacher_weights", weights, 'kd.teachers = "mix"')
    expected = f"a weight for each of the {len(dirs)} in data.labels"
    _require(len(weights) == len(dirs), "kd.teacher_weights", expected, weights, "give one each, in their order")
    remedy = "raise one, or leave them out for equal weights"
    _require(sum(weights) > 0, "kd.teacher_weights", "weights of which at least one is above 0", weights, remedy)


def _check_sources(mode: str, data: DataConfig) -> None:
    if mode != "baseline":
        expected, remedy = f"the label directory that kd.mode {mode} learns from", "make one by `saltworks label`"
        _require(data.labels is not None, "data.labels", expected, None, remedy)
    elif data.labels is None:
        remedy = "give a directory of `saltworks tokenize`"
        _require(data.tokens is not None, "data.tokens", "the token corpus to train on", None, remedy)
    no_tokens = mode != "rkd" or data.tokens is None
    _require(no_tokens, "data.tokens", "no tokens with kd.mode rkd", data.tokens, "remove it (--set data.tokens= does)")
    if mode in ("salt-ds", "ds-ce"):
        remedy = "give a Parquet file with seq_id and kept, or set kd.mode = salt"
        _require(data.selection is not None, "data.selection", f"the selection that {mode} reads", None, remedy)
    elif mode != "rkd":
        _belongs(False, "data.selection", data.selection, "kd.mode salt-ds, ds-ce or rkd")


def _check_transition(kd: KdConfig) -> None:
    is_auto = kd.transition == "auto"
    for key in ("min_kd", "running_steps"):
        value = getattr(kd, key)
        _belongs(is_auto, f"kd.{key}", value, 'kd.transition = "auto"')
        _require(value is None or value >= 1, f"kd.{key}", "at least 1", value, "set it higher")
    _belongs(is_auto, "kd.auto_margin", kd.auto_margin, 'kd.transition = "auto"')
    _belongs(kd.transition == "linear", "kd.decay_steps", kd.decay_steps, 'kd.transition = "linear"')
    is_control = kd.mode in ("baseline", "ds-ce")
    remedy = "set kd.n_kd to the step at which the run of auto switched"
    _require(not (is_auto and is_control), "kd.transition", f"step or linear with kd.mode {kd.mode}", "auto", remedy)
    _require(not is_auto or kd.omega > 0, "kd.omega", "more than 0 with kd.transition auto", kd.omega, "set it higher")


def _check_stages(config: RunConfig) -> None:
    kd, data, steps = config.kd, config.data, config.train.steps
    both = data.labels is not None and data.tokens is not None
    is_staged = kd.mode in ("salt", "salt-ds", "ds-ce") or (kd.mode == "baseline" and (both or kd.n_kd is not None))
    if not is_staged:
        owner = "a mode that changes from labels to tokens"
        _belongs(False, "kd.n_kd", kd.n_kd, owner)
        _belongs(False, "kd.transition", None if kd.transition == "step" else kd.transition, owner)
        return
    if kd.n_kd is None:
        raise ConfigError.of(
            "kd.n_kd", "the number of steps that read labels", None, "the paper's is a sixth of all steps"
        )
    _belongs(data.labels is not None, "kd.n_kd", kd.n_kd, "a run with data.labels")
    _require(1 <= kd.n_kd <= steps, "kd.n_kd", f"from 1 to train.steps, {steps}", kd.n_kd, "set it lower")
    fits = kd.min_kd is None or kd.min_kd <= kd.n_kd
    _require(fits, "kd.min_kd", f"at most kd.n_kd, {kd.n_kd}", kd.min_kd, "set it lower, or n_kd higher")
    guaranteed = {"step": kd.n_kd, "linear": kd.n_kd + kd_decay_steps(kd), "auto": min_kd(kd)}[kd.transition]
    is_covered = guaranteed >= steps or data.tokens is not None
    remedy = 'give one, or set kd.n_kd to train.steps with kd.transition = "step"'
    _require(is_covered, "data.tokens", "the token corpus of the steps after stage 1", None, remedy)


def gate_fraction(kd: KdConfig) -> float:
    """Fraction of labelled positions at which the gate is closed."""
    of_gate = 0.4 if kd.gate == "excess" else 0.15
    return of_gate if kd.gate_fraction is None else kd.gate_fraction


def teacher_weights(config: RunConfig) -> list[float]:
    """Of each of ``data.labels``, as given: by default all the same."""
    return config.kd.teacher_weights or [1.0] * max(len(label_dirs(config.data)), 1)


def min_lr(schedule: ScheduleConfig) -> float:
    """Where the learning rate ends."""
    of_shape = {"constant": schedule.lr, "wsd": 0.0}
    return of_shape.get(schedule.shape, schedule.lr / 10) if schedule.min_lr is None else schedule.min_lr


def warmup_steps(schedule: ScheduleConfig, steps: int) -> int:
    """Steps in which the learning rate rises: by default a tenth, and no more than 100."""
    return min(100, steps // 10) if schedule.warmup_steps is None else schedule.warmup_steps


def decay_steps(schedule: ScheduleConfig, steps: int) -> int:
    """Steps of the fall of ``wsd``: by default a fifth."""
    fifth = min(max(steps // 5, 1), max(steps - warmup_steps(schedule, steps), 0))
    return fifth if schedule.decay_steps is None else schedule.decay_steps


def kd_decay_steps(kd: KdConfig) -> int:
    """``linear``: steps over which omega falls: by default a tenth of ``n_kd``."""
    return max((kd.n_kd or 0) // 10, 1) if kd.decay_steps is None else kd.decay_steps


def min_kd(kd: KdConfig) -> int:
    """``auto``: steps of stage 1 at least: by default a tenth of ``n_kd``."""
    return max((kd.n_kd or 0) // 10, 1) if kd.min_kd is None else kd.min_kd


def resolve(config: RunConfig, has_samples: bool) -> None:
    """Fills in the defaults that depend on other keys."""
    schedule, kd, steps = config.schedule, config.kd, config.train.steps
    config.train.micro_batch_size = config.train.micro_batch_size or config.train.batch_size
    schedule.warmup_steps = warmup_steps(schedule, steps)
    if schedule.shape != "constant":
        schedule.min_lr = min_lr(schedule)
    if schedule.shape == "wsd":
        schedule.decay_steps = decay_steps(schedule, steps)
    kd.loss = kd.loss or ("sampled" if has_samples else "tail-bucket")
    kd.gate_fraction = gate_fraction(kd)
    if len(label_dirs(config.data)) > 1 and kd.teachers == "mix":
        kd.teacher_weights = teacher_weights(config)
    if kd.n_kd is not None and kd.transition == "auto":
        kd.min_kd, kd.running_steps, kd.auto_margin = min_kd(kd), kd.running_steps or 50, kd.auto_margin or 0.0
    if kd.n_kd is not None and kd.transition == "linear":
        kd.decay_steps = kd_decay_steps(kd)


def to_toml(config: RunConfig) -> str:
    """As TOML that reads back as the same configuration."""
    lines = [RECORDED]
    table = asdict(config)
    for key in ("output", "init", "branch_from"):
        if table[key] is not None:
            lines.append(f"{key} = {_toml(table[key])}")
    for name, values in table.items():
        if isinstance(values, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_toml(v)}" for key, v in values.items() if v is not None)]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)


#: Keys that a resumed run may have otherwise: they change where or how fast, not what is learnt.
FREE_TO_CHANGE = frozenset(
    {
        "output",
        "train.threads",
        "train.recompute",
        "data.prefetch",
        "log.every",
        "log.tensorboard",
        "log.bucket_borders",
    }
    | {"eval.every", "eval.sequences", "checkpoint.every", "checkpoint.keep_last", "checkpoint.keep_every"}
    | {
        "checkpoint.keep_steps",
        "data.labels",
        "data.tokens",
        "data.validation",
        "data.selection",
        "data.tokenizer",
        "init",
    }
)


#: Keys that runs of earlier versions did not record, with what they did.
DEFAULTS_OF_LATER_KEYS: dict[str, Any] = {"kd.teachers": "mix"}


def check_resumes(now: Mapping[str, Any], then: Mapping[str, Any], where: str) -> None:
    """Refuses another configuration than the one that a checkpoint was made with, by key.

    Raises
    ------
    TrainError
    """
    # Keys that are younger than a checkpoint have the default that its run had.
    then = {**DEFAULTS_OF_LATER_KEYS, **then} if "kd.mode" in then else then
    for key in sorted({*now, *then} - FREE_TO_CHANGE):
        if now.get(key) != then.get(key):
            raise ConfigError.of(
                key,
                f"{then.get(key)}, as in the run of {where}",
                now.get(key),
                "set it back, or give another --output",
            )


__all__ = ["ConfigError", "RunConfig", "TrainError", "read_config", "resolve", "to_toml", "validate"]
