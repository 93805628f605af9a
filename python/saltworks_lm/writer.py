"""Labels from any engine: arrays of one sequence in, shards of the same format out.

The rest (rounding, scores, checks, encoding, checksums) is done by `saltworks import`, so the files are those that
`saltworks label` would write for the same numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from .columns import Array
from .errors import MismatchError, MissingGroupError
from .labels import Labels
from .plan import Plan, Samples
from .programs import run_saltworks
from .row import Row
from .signals import SCORE_K, Fields, signals_of_logits
from .tokens import SequenceView, TokenCorpus

#: By how much probabilities may sum to more than 1: float32 noise over a large vocabulary, as in the program.
MASS_TOLERANCE = 1e-3
#: By how much float32 may leave a log-probability above 0, nats.
NATS_TOLERANCE = 1e-4

_NEEDED = {
    "scores": ("target_logprob", "target_rank", "entropy", "score_topk_mass"),
    "stats": ("logsumexp",),
    "topk": ("topk_ids", "topk_logprobs", "tail_mass"),
    "samples": ("sampled_ids", "sampled_counts", "sample_offsets"),
}
_WHY = {
    "entropy": "it is over the whole vocabulary",
    "tail_mass": "it is the probability of the ids outside the K under the full softmax, "
    "which an engine without a normaliser cannot give, and 1 minus a sum of rounded ones is not",
    "logsumexp": "it is that of the raw logits",
    "target_rank": "it counts the ids above the target in the whole vocabulary",
    "score_topk_mass": f"it is the probability of the {SCORE_K} best ids (follows from topk_logprobs where K >= 10)",
}
_TYPES: dict[str, tuple[pa.DataType, type[np.generic]]] = {
    "topk_ids": (pa.uint32(), np.integer),
    "topk_logprobs": (pa.float32(), np.floating),
    "target_rank": (pa.uint32(), np.integer),
    "sampled_ids": (pa.uint32(), np.integer),
    "sampled_counts": (pa.uint16(), np.integer),
    "sample_offsets": (pa.uint32(), np.integer),
}
_FLOAT64 = (pa.float64(), np.floating)


@dataclass(frozen=True)
class Engine:
    """The engine that made the numbers. It is recorded in the plan, and is part of the teacher's fingerprint
    with the files.

    Attributes
    ----------
    name, version
        Such as `vllm`, `0.11.0`.
    model
        The model, its revision, and anything else that affects the numbers (dtype, quantisation).
    files
        Files of the model, which are hashed.
    """

    name: str
    version: str
    model: str
    files: tuple[str | PathLike[str], ...] = ()


@dataclass
class _Shard:
    """A shard being filled: `rows` wait for the rest of their row group, `taken` have been received."""

    number: int
    row_groups: list[list[int]]
    rows: dict[int, Fields] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    n_written: int = 0
    file: pq.ParquetWriter | None = None


class LabelWriter:
    """Writes the predictions of any engine as labels, resumable shard by shard.

    Parameters
    ----------
    path
        Directory to write to; a writer with equal settings resumes one in progress.
    tokens
        The token corpus to label, as for `TokenCorpus` and `saltworks label`.
    engine
        Which engine and model.
    vocab_size
        V: number of ids in the softmax.
    seq_len
        T.
    groups
        Those of `stats`, `topk`, `samples` that the engine can provide. Scores are always written.
    samples
        How ids were drawn, for the group `samples`.
    options
        Any other option of `saltworks label` by its key in a configuration file: `top_k`, `temperatures`, `round`,
        `packing`, `sequence_bos`, `tokenizer`, `selection`, `sequences`, `max_sequences`, `shard_bytes`,
        `order_seed`, `zstd_level`, `task`, `dtype`, `eod`, `eod_position`, …

    Examples
    --------
    >>> engine = Engine("transformers", transformers.__version__, "name of the model")
    >>> with LabelWriter("labels", "tokens", engine, vocab_size=32000, seq_len=512) as writer:
    ...     for row in writer.todo():
    ...         writer.write_logits(row, model(row.inputs))
    """

    def __init__(
        self,
        path: str | PathLike[str],
        tokens: str | PathLike[str],
        engine: Engine,
        *,
        vocab_size: int,
        seq_len: int,
        groups: Sequence[str] = ("stats", "topk"),
        samples: Samples | None = None,
        logits_dtype: str = "float32",
        **options: Any,
    ) -> None:
        self.path = Path(fspath(path))
        self._tokens = fspath(tokens)
        unknown = set(groups) - set(_NEEDED)
        if unknown:
            raise ValueError(f"groups {sorted(unknown)}: expected some of stats, topk, samples")
        if (samples is not None) != ("samples" in groups):
            raise ValueError(
                "the group samples and how ids are sampled (samples=Samples(n_draws, tau, seed)) go together"
            )
        self._is_task = options.get("task") is not None
        self._scratch = self.path.with_name(f"{self.path.name}.writing")
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._spec = self._scratch / f"spec-{os.getpid()}.json"
        self._spec.write_text(
            json.dumps(
                {
                    "engine": {name: asdict(engine)[name] for name in ("name", "version", "model")},
                    "model_files": [str(Path(fspath(file)).resolve()) for file in engine.files],
                    "vocab_size": vocab_size,
                    "logits_dtype": logits_dtype,
                    "options": _options(self.path, tokens, seq_len, groups, samples, options),
                }
            )
        )
        self._todo: list[int] = self._import()["todo"]
        self.plan = Plan.read(self.path / "plan.json")
        of_corpus = self.plan.raw["corpus"]
        corpus = TokenCorpus(
            tokens,
            dtype=of_corpus.get("dtype"),
            eod=of_corpus["eod"],
            eod_position=of_corpus.get("eod_position") if of_corpus["eod"] is not None else None,
        )
        self._view: SequenceView = corpus.sequences_of(self.plan)
        self._shards: dict[int, _Shard] = {}
        self._shard_of: dict[int, _Shard] = {}

    def _import(self, *arguments: str) -> dict[str, Any]:
        printed: dict[str, Any] = json.loads(run_saltworks("import", str(self._spec), *arguments))
        return printed

    def __enter__(self) -> LabelWriter:
        """The writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Finishes the set, or with `task` ends this task, unless there was an error; finished shards are kept."""
        if kind is None and self._is_task:
            # As with `saltworks label`, the set is finished separately after all tasks have ended.
            self._require_done()
            self._drop()
        elif kind is None:
            self.finish()
        else:
            self._drop()

    def todo(self) -> Iterator[Row]:
        """The sequences still to be labelled, in the order of the shards.

        They may be written in any order and in batches: a shard is complete when all its sequences have been
        written. Rows wait in memory for the rest of their row group, at most one row group if the order is kept.
        """
        for number in list(self._todo):
            shard = self._opened(number)
            for seq_id in [seq_id for group in shard.row_groups for seq_id in group]:
                if seq_id not in shard.taken:
                    yield self._view.by_seq_id(seq_id)

    def _opened(self, number: int) -> _Shard:
        shard = self._shards.get(number)
        if shard is None:
            shard = self._shards[number] = _Shard(number, self._import("--shard", str(number))["row_groups"])
            self._shard_of |= {seq_id: shard for group in shard.row_groups for seq_id in group}
        return shard

    def write_logits(self, row: Row | int, logits: npt.ArrayLike) -> None:
        """Takes the logits of one sequence and computes everything that the groups need.

        Parameters
        ----------
        row
            A row from `todo`, or its `seq_id`.
        logits : [T', V] floats
            Row t predicts token t + 1. Log-probabilities over the whole vocabulary also work; `logsumexp` is then
            0.
        """
        sequence = self._sequence(row)
        values = np.asarray(logits)
        expected = (sequence.n_targets, self.plan.vocab_size)
        if values.shape != expected:
            raise ValueError(f"logits of sequence {sequence.seq_id} are {values.shape}, expected [T, V] = {expected}")
        signals = self.plan.signals
        fields = signals_of_logits(
            values,
            sequence.targets,
            top_k=signals.top_k,
            temperatures=signals.temperatures,
            samples=signals.samples,
            seq_id=sequence.seq_id,
        )
        self._take(sequence, fields)

    def write(
        self,
        row: Row | int,
        *,
        target_logprob: npt.ArrayLike,
        target_rank: npt.ArrayLike,
        entropy: npt.ArrayLike | None = None,
        score_topk_mass: npt.ArrayLike | None = None,
        logsumexp: npt.ArrayLike | None = None,
        topk_ids: npt.ArrayLike | None = None,
        topk_logprobs: npt.ArrayLike | None = None,
        tail_mass: npt.ArrayLike | None = None,
        log_partitions: Mapping[float, npt.ArrayLike] | None = None,
        sampled_ids: npt.ArrayLike | None = None,
        sampled_counts: npt.ArrayLike | None = None,
        sample_offsets: npt.ArrayLike | None = None,
    ) -> None:
        """Takes the numbers of one sequence, unrounded and under the full softmax.

        Parameters
        ----------
        row
            A row from `todo`, or its `seq_id`.
        target_logprob, entropy, logsumexp : [T'] floats, nats
        target_rank : [T'] integers
            Ids that the model ranks above the target (ties: lower id first).
        score_topk_mass : [T'] floats
            Probability of the 10 top ids; computed from `topk_logprobs` if K is 10 or more.
        topk_ids : [T', K] integers, topk_logprobs : [T', K] floats, nats
            By decreasing log-probability.
        tail_mass : [T'] floats
            Probability outside the K.
        log_partitions : of each extra temperature, [T'] floats, nats
        sampled_ids, sampled_counts : [draws] integers; sample_offsets : [T' + 1] integers
            Distinct ids, increasing within each position, with their counts, which sum to the
            number of draws.

        Raises
        ------
        MissingGroupError
            Something that a group of this writer needs is missing.
        ValueError
            Wrong shapes or types, ids past the vocabulary, numbers that cannot be
            log-probabilities.
        """
        sequence = self._sequence(row)
        given: dict[str, npt.ArrayLike | None] = {
            "target_logprob": target_logprob,
            "target_rank": target_rank,
            "entropy": entropy,
            "score_topk_mass": score_topk_mass,
            "logsumexp": logsumexp,
            "topk_ids": topk_ids,
            "topk_logprobs": topk_logprobs,
            "tail_mass": tail_mass,
            "sampled_ids": sampled_ids,
            "sampled_counts": sampled_counts,
            "sample_offsets": sample_offsets,
        }
        fields = {name: np.asarray(value) for name, value in given.items() if value is not None}
        for x, tau in enumerate(self.plan.signals.temperatures):
            if log_partitions is None or tau not in log_partitions:
                raise MissingGroupError(f"temperature {tau:g} needs log_partitions[{tau:g}], which was not given")
            fields[f"log_partition_{x}"] = np.asarray(log_partitions[tau])
        if "score_topk_mass" not in fields and "topk_logprobs" in fields and self.plan.signals.top_k >= SCORE_K:
            best = np.exp(fields["topk_logprobs"][..., :SCORE_K].astype(np.float64))
            fields["score_topk_mass"] = np.minimum(best.sum(-1), 1.0)
        self._take(sequence, fields)

    def finish(self) -> Labels:
        """Finishes the set: writes its manifest and opens it as labels.

        Raises
        ------
        MismatchError
            Sequences are missing.
        """
        self._require_done()
        run_saltworks("finalize", str(self.path), "--tokens", self._tokens)
        self._drop()
        return Labels(self.path)

    def _require_done(self) -> None:
        if self._todo:
            raise MismatchError(
                f"{self.path}: {len(self._todo)} shards are still to be made, the next is {self._todo[0]}: "
                "write every sequence that todo() gives, or resume later with an equal writer"
            )

    def _drop(self) -> None:
        for shard in self._shards.values():
            if shard.file is not None:
                shard.file.close()
                self._rows_path(shard).unlink(missing_ok=True)
        self._shards, self._shard_of = {}, {}
        self._spec.unlink(missing_ok=True)
        if self._scratch.is_dir() and not any(self._scratch.iterdir()):
            self._scratch.rmdir()

    def _sequence(self, row: Row | int) -> Row:
        sequence = row if isinstance(row, Row) else self._view.by_seq_id(row)
        shard = self._shard_of.get(sequence.seq_id)
        if shard is None:
            raise MismatchError(
                f"sequence {sequence.seq_id} is not among those that todo() gave: its shard is already made, or it is "
                "not its turn yet"
            )
        if sequence.seq_id in shard.taken:
            raise MismatchError(f"sequence {sequence.seq_id} was already written")
        return sequence

    def _take(self, sequence: Row, fields: Fields) -> None:
        checked = check_fields(fields, sequence, self.plan)
        shard = self._shard_of[sequence.seq_id]
        shard.rows[sequence.seq_id] = checked
        shard.taken.add(sequence.seq_id)
        while shard.n_written < len(shard.row_groups):
            group = shard.row_groups[shard.n_written]
            if not all(seq_id in shard.rows for seq_id in group):
                return
            self._write_row_group(shard, group)
        self._publish(shard)

    def _write_row_group(self, shard: _Shard, group: list[int]) -> None:
        rows = [shard.rows.pop(seq_id) for seq_id in group]
        columns = {"seq_id": pa.array(group, pa.uint64())}
        columns |= {name: _lists([row[name] for row in rows], _TYPES.get(name, _FLOAT64)[0]) for name in rows[0]}
        table = pa.table(columns)
        if shard.file is None:
            shard.file = pq.ParquetWriter(
                self._rows_path(shard), table.schema, use_dictionary=False, compression="zstd"
            )
        shard.file.write_table(table, row_group_size=len(group))
        shard.n_written += 1

    def _publish(self, shard: _Shard) -> None:
        assert shard.file is not None
        shard.file.close()
        path = self._rows_path(shard)
        # Even if it fails, so that rows written again are checked again.
        del self._shards[shard.number]
        for seq_id in shard.taken:
            del self._shard_of[seq_id]
        try:
            self._import("--shard", str(shard.number), "--rows", str(path))
        finally:
            path.unlink(missing_ok=True)
        self._todo.remove(shard.number)

    def _rows_path(self, shard: _Shard) -> Path:
        return self._scratch / f"rows-{os.getpid()}-{shard.number:05}.parquet"


def _options(
    path: Path,
    tokens: str | PathLike[str],
    seq_len: int,
    groups: Sequence[str],
    samples: Samples | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    given = {name: str(value) if isinstance(value, PathLike) else value for name, value in options.items()}
    given |= {"output": str(path), "tokens": fspath(tokens), "seq_len": seq_len}
    given["groups"] = [
        group for group in ("scores", "stats", "topk", "samples") if group == "scores" or group in groups
    ]
    if samples is not None:
        given |= {"samples": samples.n_draws, "samples_tau": samples.tau, "samples_seed": samples.seed}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _lists(arrays: Sequence[Array], item: pa.DataType) -> pa.ListArray:
    offsets = np.append(0, np.cumsum([array.size for array in arrays])).astype(np.int32)
    values = np.concatenate([array.ravel() for array in arrays])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, item))


def check_fields(fields: Fields, sequence: Row, plan: Plan) -> Fields:
    """The checked fields that the groups of a plan need; others are dropped.

    Raises
    ------
    MissingGroupError, ValueError
    """
    wanted = [name for group in plan.signals.groups for name in _NEEDED[group]]
    for group in plan.signals.groups:
        for name in _NEEDED[group]:
            if name not in fields:
                why = f", and {_WHY[name]}" if name in _WHY else ""
                raise MissingGroupError(
                    f"sequence {sequence.seq_id}: the group {group} needs {name}{why}: give it"
                    + ("" if group == "scores" else f", or write without the group {group}")
                )
    wanted += [f"log_partition_{x}" for x in range(len(plan.signals.temperatures))]
    checked = {name: _checked(name, fields[name], sequence, plan) for name in wanted}
    if "topk" in plan.signals.groups:
        _check_mass(checked, sequence)
    return checked


def _checked(name: str, values: Array, sequence: Row, plan: Plan) -> Array:
    where, T = f"sequence {sequence.seq_id}: {name}", sequence.n_targets
    kind = _TYPES.get(name, _FLOAT64)[1]
    if not np.issubdtype(values.dtype, kind):
        raise ValueError(f"{where} has dtype {values.dtype}, expected {'integers' if kind is np.integer else 'floats'}")
    shapes = {
        "topk_ids": (T, plan.signals.top_k),
        "topk_logprobs": (T, plan.signals.top_k),
        "sample_offsets": (T + 1,),
        "sampled_ids": (values.size,),
        "sampled_counts": (values.size,),
    }
    expected = shapes.get(name, (T,))
    if values.shape != expected:
        raise ValueError(f"{where} has the shape {values.shape}, expected {expected}")
    if kind is np.integer:
        most = {"topk_ids": plan.vocab_size, "sampled_ids": plan.vocab_size, "sampled_counts": 2**16}.get(name, 2**32)
        wrong = np.flatnonzero((values < 0) | (values >= most))
        if len(wrong):
            raise ValueError(f"{where} contains {values.ravel()[wrong[0]]}, expected 0 to {most - 1}")
        return values
    if np.isnan(values).any() or np.isposinf(values).any():
        raise ValueError(f"{where} contains NaN or +inf")
    if name in ("target_logprob", "topk_logprobs"):
        if values.size and values.max() > NATS_TOLERANCE:
            raise ValueError(f"{where} goes up to {values.max():g}: log-probabilities are at most 0 nats")
        return np.minimum(values, 0.0)
    if name in ("tail_mass", "score_topk_mass"):
        if values.size and not (values.min() >= -MASS_TOLERANCE and values.max() <= 1 + MASS_TOLERANCE):
            raise ValueError(f"{where} is {values.min():g} to {values.max():g}, expected a fraction in [0, 1]")
        return np.clip(values, 0.0, 1.0)
    return values


def _check_mass(fields: Fields, sequence: Row) -> None:
    logprobs = fields["topk_logprobs"].astype(np.float64)
    p = np.exp(logprobs)
    # Half precision gives each log-probability a relative error of up to 2^-11.
    noise = p * np.where(p > 0, -logprobs, 0.0) * 2.0**-11 if fields["topk_logprobs"].dtype == np.float16 else 0.0 * p
    above = (p - noise).sum(1) + fields["tail_mass"] - 1.0
    below = 1.0 - (p + noise).sum(1) - fields["tail_mass"]
    for off, what in ((above, "more"), (below, "less")):
        t = int(off.argmax())
        if off[t] > MASS_TOLERANCE:
            raise ValueError(
                f"sequence {sequence.seq_id}, position {t}: topk_logprobs and tail_mass sum to {off[t]:.3g} {what} "
                "than 1: give log-probabilities under the full softmax and the probability outside the K"
            )
    ids = np.sort(fields["topk_ids"], axis=1)
    twice = np.flatnonzero((ids[:, 1:] == ids[:, :-1]).any(1))
    if len(twice):
        raise ValueError(f"sequence {sequence.seq_id}, position {twice[0]}: topk_ids contains an id twice")
    rising = np.flatnonzero((np.diff(logprobs, axis=1) > NATS_TOLERANCE).any(1))
    if len(rising):
        raise ValueError(
            f"sequence {sequence.seq_id}, position {rising[0]}: topk_logprobs increase, expected descending ones"
        )
