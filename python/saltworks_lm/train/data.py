"""The sequences of a step: a pure function of seed and position, whatever the number of processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ProgramError, SaltworksError
from ..labels import Labels
from ..programs import tokenizer_fingerprint
from ..row import Row
from ..tokens import SequenceView, TokenCorpus
from .config import RunConfig, label_dirs, teacher_weights
from .errors import ConfigError, DataError
from .order import LabelOrder, TokenOrder
from .schedule import StagePlan
from .sources import sources_of
from .teachers import check_joins, joined


@dataclass
class Position:
    """Sequences returned so far by each stage: all that a checkpoint saves about the data."""

    labelled: int = 0
    tokens: int = 0


class Data:
    """Labels, token corpus and validation text of a run, checked against each other."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.stages = StagePlan(config)
        #: Labels of each teacher; the first determines the order and the selection.
        self.teachers = [
            _open_labels(config, path, config.data.selection if number == 0 else None, self.stages)
            for number, path in enumerate(label_dirs(config.data))
        ]
        self.labels = self.teachers[0] if self.teachers else None
        check_joins(self.teachers)
        self._take_view()
        self.tokens = self._open_tokens("tokens", config.data.tokens)
        self.validation = self._open_tokens("validation", config.data.validation)
        self.tokenizer = self._find_tokenizer()
        #: Notes to print before the first step.
        self.notes: list[str] = []
        self._check_tokenizers()
        self.label_order = self._label_order()
        self.token_order = self._token_order()
        self._check_budgets()
        self.sources = sources_of(
            config,
            self.teachers,
            None if self.tokens is None else self.tokens.corpus,
            None if self.validation is None else self.validation.corpus,
            self.tokenizer,
        )

    @property
    def seq_len(self) -> int:
        """T: predicted positions of a full sequence."""
        assert self.config.data.seq_len is not None
        return self.config.data.seq_len

    @property
    def vocab_size(self) -> int | None:
        """V of the tokenizer, if labels or a corpus have it."""
        sizes = [self.labels.vocab_size] if self.labels is not None else []
        corpora = [view.corpus for view in (self.tokens, self.validation) if view is not None]
        sizes += [corpus.vocab_size for corpus in corpora if corpus.vocab_size is not None]
        return max(sizes, default=None)

    def _find_tokenizer(self) -> Path | None:
        """The tokenizer.json for the trained model: the configured one, else the one next to ``init``."""
        named, init = self.config.data.tokenizer, self.config.init
        if named is not None and not Path(named).is_file():
            raise ConfigError.of("data.tokenizer", "the path of a tokenizer.json", named, "name one, or leave it out")
        if named is not None:
            return Path(named)
        beside = None if init is None else Path(init) / "tokenizer.json"
        return beside if beside is not None and beside.is_file() else None

    def rows(self, stage: int, start: int, stop: int) -> list[Row]:
        """The sequences at these positions of a stage's stream.

        Raises
        ------
        DataError
            A shard that cannot be read, with the position to resume from.
        """
        try:
            if stage == 1:
                assert self.labels is not None
                assert self.label_order is not None
                return [self._row(int(place)) for place in self.label_order.rows(start, stop)]
            assert self.tokens is not None
            assert self.token_order is not None
            return [self.tokens.by_seq_id(int(seq_id)) for seq_id in self.token_order.seq_ids(start, stop)]
        except (SaltworksError, OSError) as error:
            raise DataError(
                f"sequences {start} to {stop} of stage {stage}: {error}; resume with --resume once it is repaired"
            ) from error

    def _row(self, place: int) -> Row:
        """The joined row of all teachers for the sequence at an index of the first one's labels."""
        first = self.teachers[0][place]
        if len(self.teachers) == 1:
            return first
        rows = [first, *(labels.by_seq_id(first.seq_id) for labels in self.teachers[1:])]
        for labels, row in zip(self.teachers, rows, strict=True):
            if not np.array_equal(row.input_ids, first.input_ids):
                raise DataError(
                    f"{labels.path} has a different text at sequence {first.seq_id} than {self.teachers[0].path}: "
                    "label the same tokens with each teacher"
                )
        return joined(rows, self.config.kd.teachers, teacher_weights(self.config))

    @property
    def have_samples(self) -> bool:
        """Whether every teacher's labels have draws."""
        return bool(self.teachers) and all("samples" in of.plan.signals.groups for of in self.teachers)

    def _take_view(self) -> None:
        """Cuts the student's sequences like the labels'."""
        data = self.config.data
        if self.labels is not None:
            view = self.labels.plan.sequences
            for key, theirs in (
                ("seq_len", view.seq_len),
                ("packing", view.packing),
                ("sequence_bos", view.sequence_bos),
            ):
                ours = getattr(data, key)
                if ours is not None and ours != theirs:
                    raise ConfigError.of(
                        f"data.{key}", f"the labels' {theirs}", ours, "leave it out to use the labels' own"
                    )
                setattr(data, key, theirs)
        data.packing = data.packing or "concat"
        if data.seq_len is None:
            raise ConfigError.of("data.seq_len", "the sequence length T, tokens", None, "give it, or data.labels")

    def _open_tokens(self, key: str, path: str | None) -> SequenceView | None:
        if path is None:
            return None
        data = self.config.data
        try:
            corpus = TokenCorpus(path, dtype=data.dtype, eod=data.eod, eod_position=data.eod_position)
        except (SaltworksError, OSError, ValueError) as error:
            raise DataError(f"data.{key}: {error}") from error
        view = corpus.sequences(self.seq_len, data.packing or "concat", data.sequence_bos)
        if len(view) == 0:
            raise DataError(f"data.{key} is {path}, expected at least one sequence of 2 tokens: give a longer text")
        return view

    def _check_tokenizers(self) -> None:
        known: dict[str, str] = {}
        if self.labels is not None and self.labels.plan.tokenizer_fingerprint is not None:
            known["data.labels"] = self.labels.plan.tokenizer_fingerprint
        for key, view in (("data.tokens", self.tokens), ("data.validation", self.validation)):
            if view is not None and view.corpus.tokenizer_fingerprint is not None:
                known[key] = view.corpus.tokenizer_fingerprint
        if known and self.tokenizer is not None:
            known |= self._of_tokenizer(self.tokenizer)
        for key, fingerprint in known.items():
            first = next(iter(known))
            if fingerprint != known[first]:
                expected = f"of the tokenizer of {first}, {known[first]}"
                raise ConfigError.of(key, expected, f"of {fingerprint}", "tokenize it with that tokenizer")

    def _of_tokenizer(self, path: Path) -> dict[str, str]:
        """The fingerprint of the model's own tokenizer, by the key that names it."""
        key = "init" if self.config.data.tokenizer is None else "data.tokenizer"
        try:
            return {key: tokenizer_fingerprint(path)}
        except ProgramError as error:
            self.notes.append(f"{path} could not be compared with labels and tokens: {error}")
            return {}

    def check_vocabulary(self, n_ids: int) -> None:
        """Refuses ids that a model of ``n_ids`` does not have."""
        if self.labels is not None and self.labels.vocab_size > n_ids:
            raise DataError(
                f"data.labels has a vocabulary of {self.labels.vocab_size} ids, expected at most {n_ids}, the model's: "
                "label with a teacher of the model's tokenizer"
            )
        for key, view in (("tokens", self.tokens), ("validation", self.validation)):
            largest = max((int(part.max()) for part in _parts(view)), default=0)
            if largest >= n_ids:
                raise DataError(
                    f"data.{key} has id {largest}, expected ids below the model's {n_ids}: use its tokenizer"
                )

    def _label_order(self) -> LabelOrder | None:
        data, seed = self.config.data, self.config.train.seed
        return None if self.labels is None else LabelOrder(self.labels.group_sizes, seed, data.shuffle_row_groups)

    def _token_order(self) -> TokenOrder | None:
        """The order of token sequences, without those that stage 1 may use if both are of one corpus."""
        if self.tokens is None:
            return None
        left_out = np.empty(0, np.int64)
        n_labelled = self._n_reserved()
        if self.labels is not None and self.label_order is not None and n_labelled > 0 and self._is_labelled_corpus():
            n = min(n_labelled, self.label_order.n_rows)
            left_out = self.labels.seq_ids.astype(np.int64)[self.label_order.rows(0, n)]
        return TokenOrder(self.tokens.n_total, left_out, self.config.train.seed)

    def _n_reserved(self) -> int:
        kd = self.config.kd
        steps = kd.n_kd if kd.transition == "auto" and kd.n_kd is not None else self.stages.max_labelled_steps
        return steps * self.config.train.batch_size

    def _is_labelled_corpus(self) -> bool:
        """Whether the labels were made from ``data.tokens``: equally many tokens, and equal sequences in a sample."""
        assert self.tokens is not None
        assert self.labels is not None
        corpus, theirs = self.tokens.corpus, self.labels.plan.raw["corpus"]
        if corpus.n_tokens != theirs["n_tokens"]:
            return False
        if corpus.n_documents != theirs["n_documents"]:
            raise DataError(
                f"data.tokens is {corpus.path}, of as many tokens as the labels' corpus but {corpus.n_documents} "
                f"documents where that has {theirs['n_documents']}: set data.eod, data.eod_position and data.dtype as "
                "they were for the labels"
            )
        if self.tokens.n_total != self.labels.plan.sequences.n_total:
            raise DataError(
                f"data.tokens is {corpus.path}, cut into {self.tokens.n_total} sequences, the labels' corpus into "
                f"{self.labels.plan.sequences.n_total}: set data.eod and data.dtype as they were for the labels"
            )
        n = len(self.labels)
        rows = [self.labels[i] for i in sorted({0, n // 3, 2 * n // 3, n - 1})]
        same = [np.array_equal(row.input_ids, self.tokens.by_seq_id(row.seq_id).input_ids) for row in rows]
        if any(same) and not all(same):
            raise DataError(
                f"data.tokens is {corpus.path}, which has changed since the labels were made from it: label it again"
            )
        return all(same)

    def _check_budgets(self) -> None:
        config, batch = self.config, self.config.train.batch_size
        label_order, token_order = self.label_order, self.token_order
        wants = (
            (
                "labelled",
                self.stages.max_labelled_steps,
                label_order,
                config.data.label_epochs,
                "data.labels",
                "kd.n_kd",
                "data.label_epochs",
            ),
            (
                "token",
                self.stages.max_token_steps,
                token_order,
                config.data.token_epochs,
                "data.tokens",
                "train.steps",
                "data.token_epochs",
            ),
        )
        for kind, steps, order, epochs, key, steps_key, epochs_key in wants:
            if steps == 0:
                continue
            there = 0 if order is None else order.n_rows
            missing = steps * batch - there * epochs
            if missing > 0:
                raise DataError(
                    f"{key}: {steps} steps of {batch} need {steps * batch} {kind} sequences, found {there} for "
                    f"{epochs} epochs: {missing} are missing; give more, use fewer steps ({steps_key}), or raise "
                    f"{epochs_key}"
                )


def _parts(view: SequenceView | None, n: int = 1 << 24) -> Iterator[npt.NDArray[Any]]:
    tokens = np.empty(0) if view is None else view.corpus.tokens
    return (tokens[first : first + n] for first in range(0, len(tokens), n))


def _open_labels(config: RunConfig, path: str, selection: str | None, stages: StagePlan) -> Labels:
    kd = config.kd
    try:
        stored = Labels(path)
    except (SaltworksError, OSError) as error:
        raise DataError(f"data.labels: {error}") from error
    groups, signals = set(stored.plan.signals.groups), stored.plan.signals
    if groups == {"scores"}:
        raise DataError(f"data.labels is {path}, which has only scores; expected groups of positions: label again")
    loss = kd.loss or ("sampled" if _all_have_samples(config) else "tail-bucket")
    needs = {"stats"} & groups
    if stages.has_kd:
        needs |= _needed(config, loss, groups, signals.temperatures, signals.samples.tau if signals.samples else None)
    elif stages.learns_from_labels:
        needs |= _in_groups(groups, {"stats": f"kd.gate = {kd.gate}"})
    labels = Labels(path, needs or groups - {"scores"})
    try:
        chosen = labels if selection is None else labels.select(selection)
    except (SaltworksError, OSError) as error:
        raise DataError(f"data.selection: {error}") from error
    if len(chosen) == 0:
        raise DataError(f"data.selection is {selection}, which keeps no sequence of the labels: select more")
    return chosen


def _all_have_samples(config: RunConfig) -> bool:
    """Decided from the plans alone."""
    found = []
    for path in label_dirs(config.data):
        try:
            found.append("samples" in Labels(path).plan.signals.groups)
        except (SaltworksError, OSError) as error:
            raise DataError(f"data.labels: {error}") from error
    return all(found)


def _in_groups(groups: set[str], wanted: dict[str, str]) -> set[str]:
    """The groups of ``wanted``, which maps each to the setting that reads it; refuses labels that lack one."""
    for group, key in wanted.items():
        if group not in groups:
            raise DataError(
                f"data.labels: {key} needs the group {group}, found {', '.join(sorted(groups))}: label again with it"
            )
    return set(wanted)


def _needed(
    config: RunConfig, loss: str, groups: set[str], temperatures: tuple[float, ...], draws_tau: float | None
) -> set[str]:
    """Groups that the loss reads; refuses labels that lack them."""
    kd = config.kd
    wanted = {"samples" if loss == "sampled" else "topk": f"kd.loss = {loss}"}
    if kd.teachers == "lower-nll":
        wanted["stats"] = f"kd.teachers = {kd.teachers}"
    if kd.gate != "none":
        wanted["stats"] = f"kd.gate = {kd.gate}"
    if kd.transition == "auto":
        wanted["stats"] = "kd.transition = auto"
    _in_groups(groups, wanted)
    if loss == "sampled" and kd.tau != draws_tau:
        raise ConfigError.of("kd.tau", f"the temperature of the samples, {draws_tau}", kd.tau, "set it to that")
    if loss != "sampled" and kd.tau not in (1.0, *temperatures):
        raise ConfigError.of("kd.tau", f"1 or one of the labels' {list(temperatures)}", kd.tau, "choose one of them")
    return set(wanted)


class ReadAhead:
    """Reads the rows of coming steps on a thread."""

    def __init__(self, data: Data, ahead: int) -> None:
        self._data, self._ahead = data, ahead
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[tuple[tuple[int, int, int], Future[list[Row]]]] = deque()

    def rows(self, stage: int, start: int, stop: int, stride: int, most: int) -> list[Row]:
        """Rows ``start`` to ``stop`` of a stage; those of later steps, ``stride`` apart, are read ahead."""
        if self._waiting and self._waiting[0][0] != (stage, start, stop):
            self._waiting.clear()
        first = self._waiting[-1][0][1] + stride if self._waiting else start
        while len(self._waiting) <= self._ahead and (first < most or not self._waiting):
            key = (stage, first, first + stop - start)
            self._waiting.append((key, self._pool.submit(self._data.rows, *key)))
            first += stride
        return self._waiting.popleft()[1].result()

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown(cancel_futures=True)
