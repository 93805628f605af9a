"""One row group, decoded and checked, and rows as views of it."""

from __future__ import annotations

import multiprocessing
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .columns import SCORES, Array, columns_of, flat
from .errors import DamagedError
from .plan import Plan, check_footer, log_partition_name
from .remote import AnyPath, RemotePath
from .row import Row

_EMPTY = {"input_ids": np.uint32, "doc_starts": np.uint32, "doc_indices": np.uint64}
#: Tolerance for positive log-probabilities: rounding never moves 0, so stored values are at most about 0.
_MAX_LOGPROB_NATS = 1e-6


@dataclass(frozen=True)
class Place:
    """Location of a row group: its plan, shard, number in the shard, first row in the set, and number of rows."""

    plan: Plan
    fingerprint: str
    shard: int
    group: int
    start: int
    n_rows: int


class Lock:
    """A lock between threads: a stream may read ahead on one thread while its user reads rows on
    another.

    A forked process, or one that gets a copy, has its own unlocked lock.
    """

    def __init__(self) -> None:
        self._process, self._lock = os.getpid(), RLock()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), RLock()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class RowGroup:
    """The decoded columns of one row group; `row(r)` returns a row without copying."""

    def __init__(self, place: Place, lists: Mapping[str, tuple[Array, Array]], scalars: Mapping[str, Any]) -> None:
        self.place = place
        self._lists = lists
        self._scalars = scalars
        self._seq_ids: Array = scalars["seq_id"]
        signals = place.plan.signals
        self._k = signals.top_k
        self._partitions = [(tau, log_partition_name(tau)) for tau in signals.temperatures]
        self._scores = [name for name in scalars if name != "seq_id"]
        self.n_bytes = sum(values.nbytes + offsets.nbytes for values, offsets in lists.values())

    def row(self, r: int) -> Row:
        """Row r of the row group."""
        lists = {name: values[offsets[r] : offsets[r + 1]] for name, (values, offsets) in self._lists.items()}
        if "topk_ids" in lists:
            lists["topk_ids"] = lists["topk_ids"].reshape(-1, self._k)
            lists["topk_logprobs"] = lists["topk_logprobs"].reshape(-1, self._k)
        partitions = {tau: lists.pop(name) for tau, name in self._partitions if name in lists}
        for name, dtype in _EMPTY.items():
            lists.setdefault(name, np.empty(0, dtype))
        scores = {name: self._scalars[name][r] for name in self._scores}
        return Row(seq_id=int(self._seq_ids[r]), log_partitions=partitions, scores=scores, **lists)


class Files:
    """The Parquet files of a set, opened on first use, with their footers checked against the plan."""

    def __init__(self, root: AnyPath, groups: tuple[str, ...], use_threads: bool, checksums: bool) -> None:
        self.root = root
        self.groups = groups
        self.use_threads = use_threads
        self.checksums = checksums
        self._open: OrderedDict[AnyPath, pq.ParquetFile] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Open files are not pickled."""
        return {**self.__dict__, "_open": OrderedDict()}

    def read(self, place: Place) -> RowGroup:
        """Decodes one row group and checks everything that a trainer relies on.

        Raises
        ------
        DamagedError
            A file that cannot be decoded, is of another plan, or breaks an invariant.
        """
        signals = place.plan.signals
        lists: dict[str, tuple[Array, Array]] = {}
        scalars: dict[str, Any] = {}
        if set(signals.groups) != {"scores"}:
            names = columns_of(self.groups, signals)
            table = self.table("positions", place, names)
            scalars["seq_id"] = table["seq_id"].to_numpy()
            lists = {name: flat(table[name]) for name in names if name != "seq_id"}
        if "scores" in self.groups:
            table = self.table("scores", place, ("seq_id", "n_targets", "first_doc_index", *SCORES))
            scalars |= {name: table[name].to_pylist() for name in table.column_names if name != "seq_id"}
            of_scores = table["seq_id"].to_numpy()
            if not np.array_equal(scalars.setdefault("seq_id", of_scores), of_scores):
                raise DamagedError(f"{self.path('scores', place)} has other sequences than its positions")
        if lists:
            _check(self.path("positions", place), place, lists)
        return RowGroup(place, lists, scalars)

    def path(self, kind: str, place: Place) -> AnyPath:
        """Path of one of the two files of a shard."""
        return self.root / kind / f"part-{place.shard:05}.parquet"

    def table(self, kind: str, place: Place, columns: tuple[str, ...]) -> pa.Table:
        """Columns of one row group as stored."""
        path = self.path(kind, place)
        try:
            with self._lock:
                file = self._file(path, place)
                table = file.read_row_group(place.group, columns=list(columns), use_threads=self._use_threads())
        except (pa.ArrowException, OSError, ValueError, EOFError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            if isinstance(path, RemotePath) and isinstance(error, OSError):
                raise OSError(f"{path}, row group {place.group}: {error}; check the connection and retry") from error
            raise DamagedError(
                f"{path}, row group {place.group}: {error}; fetch it again, or find what else is damaged with "
                f"saltworks verify {self.root}"
            ) from error
        missing = [name for name in columns if name not in table.column_names]
        if missing or table.num_rows != place.n_rows:
            raise DamagedError(
                f"{path}, row group {place.group}: {table.num_rows} rows, but the plan has {place.n_rows}"
                + (f", and no column {', '.join(missing)}" if missing else "")
            )
        return table

    def _use_threads(self) -> bool:
        """Not in workers of a loader, which already run in parallel."""
        return self.use_threads and multiprocessing.parent_process() is None

    def _file(self, path: AnyPath, place: Place) -> pq.ParquetFile:
        file = self._open.get(path)
        if file is None:
            source = path.open() if isinstance(path, RemotePath) else path
            file = pq.ParquetFile(
                source,
                page_checksum_verification=self.checksums,
                # One request for adjacent columns if requests are slow.
                pre_buffer=isinstance(path, RemotePath),
            )
            check_footer(path, file.metadata.metadata, place.plan, place.fingerprint, place.shard)
            self._open[path] = file
            # Each holds a footer in memory and a file descriptor.
            while len(self._open) > 64:
                self._open.popitem(last=False)
        self._open.move_to_end(path)
        return file


class Cache:
    """The most recently used row groups within a number of bytes; the latest is always kept."""

    def __init__(self, read: Callable[[Place], RowGroup], n_bytes: int) -> None:
        self._read = read
        self._max_bytes = n_bytes
        self._cached: OrderedDict[int, RowGroup] = OrderedDict()
        self._n_bytes = 0
        self._lock = Lock()
        #: Number of row groups decoded so far, which shows the cost of an order of reading.
        self.n_decoded = 0

    def __getstate__(self) -> dict[str, Any]:
        """Decoded row groups are not pickled."""
        return {**self.__dict__, "_cached": OrderedDict(), "_n_bytes": 0}

    def get(self, number: int, place: Place) -> RowGroup:
        """The row group with that number in the set."""
        with self._lock:
            return self._get(number, place)

    def _get(self, number: int, place: Place) -> RowGroup:
        group = self._cached.get(number)
        if group is not None:
            self._cached.move_to_end(number)
            return group
        group = self._read(place)
        self.n_decoded += 1
        self._cached[number] = group
        self._n_bytes += group.n_bytes
        while self._n_bytes > self._max_bytes and len(self._cached) > 1:
            self._n_bytes -= self._cached.popitem(last=False)[1].n_bytes
        return group


def _check(path: AnyPath, place: Place, lists: Mapping[str, tuple[Array, Array]]) -> None:
    """Checks for faults that would break a trainer: lengths, ids past the vocabulary, NaN."""
    where = f"{path}, row group {place.group}"
    n_targets = np.diff(lists["input_ids"][1]) - 1
    if (n_targets < 1).any() or (n_targets > place.plan.sequences.seq_len).any():
        raise DamagedError(f"{where}: a sequence of {n_targets.min() + 1} to {n_targets.max() + 1} ids")
    draws = np.diff(lists["sampled_ids"][1]) if "sampled_ids" in lists else n_targets
    expected = {
        "topk_ids": n_targets * place.plan.signals.top_k,
        "topk_logprobs": n_targets * place.plan.signals.top_k,
        "sampled_ids": draws,
        "sampled_counts": draws,
        "sample_offsets": n_targets + 1,
    }
    for name, (values, offsets) in lists.items():
        if name not in ("input_ids", "doc_starts", "doc_indices"):
            lengths = np.diff(offsets)
            wrong = np.flatnonzero(lengths != expected.get(name, n_targets))
            if len(wrong):
                want = expected.get(name, n_targets)[wrong[0]]
                raise DamagedError(f"{where}, row {wrong[0]}: {name} has {lengths[wrong[0]]} items, expected {want}")
        _check_values(where, name, values, place.plan)


def _check_values(where: str, name: str, values: Array, plan: Plan) -> None:
    if not len(values):
        return
    if name in ("input_ids", "topk_ids", "sampled_ids"):
        # Ids of the text must be within the labelled vocabulary.
        if int(values.max()) >= plan.vocab_size:
            raise DamagedError(f"{where}: {name} has id {values.max()}, but the vocabulary has {plan.vocab_size} ids")
    elif name in ("topk_logprobs", "target_logprob"):
        if not values.max() <= _MAX_LOGPROB_NATS:
            raise DamagedError(f"{where}: {name} goes up to {values.max()}, expected nats of at most 0")
    elif name == "tail_mass" and not (values.min() >= 0.0 and values.max() <= 1.0 + _MAX_LOGPROB_NATS):
        raise DamagedError(f"{where}: tail_mass is {values.min()} to {values.max()}, expected a fraction in [0, 1]")
