"""A finished set of labels: rows by index or by `seq_id`, as arrays, Arrow or pandas."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .columns import SCORES, as_nested, check_groups, columns_of, group_of
from .documents import read_documents
from .errors import MismatchError
from .hashes import fingerprint_of, hash_bytes
from .plan import Manifest, Plan, read_set
from .programs import run_saltworks
from .remote import AnyPath, FileSystem, place_of
from .row import Row
from .row_groups import Cache, Files, Place, RowGroup
from .selection import check_provenance, read_selection

if TYPE_CHECKING:
    import pandas as pd

#: Bytes of decoded row groups to keep. A row group is about 16 MiB; a shuffled order uses 16 at a time.
DEFAULT_CACHE_BYTES = 384 << 20


class Labels:
    """A finished set of labels.

    Opening reads plan and manifest and checks the sizes of the files; row groups are decoded when their rows are
    requested, and the most recent ones are kept. Pickling it (as a data loader does for its workers) is cheap.

    Parameters
    ----------
    path
        The directory that `saltworks label` wrote, or its URL (`s3://…`, `gs://…`): row groups are read by byte
        ranges.
    groups
        Which groups of columns to read: `scores`, `stats`, `topk`, `samples`. None: all stored groups. Training
        reads faster with only `("topk",)` or `("samples",)`.
    cache_bytes
        Decoded bytes to keep.
    use_threads
        Whether to decode the columns of a row group on several threads.
    filesystem
        A filesystem of pyarrow or fsspec that contains `path`; None: that of the URL, with credentials from
        the environment.
    checksums
        Whether to compare each page with its checksum. It takes a third of the reading time; `verify`
        does it once for all.

    Raises
    ------
    NotFinishedError, UnknownFormatError, DamagedError, MissingGroupError

    Examples
    --------
    >>> labels = Labels("labels")
    >>> row = labels[0]
    >>> row.topk_ids.shape, row.targets.shape
    ((256, 64), (256,))
    """

    def __init__(
        self,
        path: str | PathLike[str],
        groups: Iterable[str] | None = None,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        use_threads: bool = True,
        checksums: bool = False,
        filesystem: FileSystem = None,
    ) -> None:
        self.path: AnyPath = place_of(path, filesystem)
        self.plans, self.manifest = read_set(self.path)
        stored = self.plan.signals.groups
        #: The groups that are read.
        self.groups = stored if groups is None else check_groups(groups, stored, str(self.path))
        self.places = _places(self.plans, self.manifest)
        self._starts = np.array([place.start for place in self.places], np.int64)
        self._files = Files(self.path, self.groups, use_threads, checksums)
        self._cache = Cache(self._files.read, cache_bytes)
        #: Rows of the set that are kept here, ascending; None: all.
        self._kept: npt.NDArray[np.int64] | None = None

    @property
    def plan(self) -> Plan:
        """The plan; of an extended set the first, since plans differ only in their ranges."""
        return self.plans[0]

    @property
    def top_k(self) -> int:
        """K, or 0 without the group `topk`."""
        return self.plan.signals.top_k

    @property
    def vocab_size(self) -> int:
        """V: every stored id is below it."""
        return self.plan.vocab_size

    @property
    def seq_len(self) -> int:
        """T: predicted positions of a full sequence."""
        return self.plan.sequences.seq_len

    @cached_property
    def fingerprint(self) -> str:
        """An identity for all labels of the directory, over its plans, which selections from them record."""
        return fingerprint_of(self.manifest.plan_fingerprints)

    @property
    def identity(self) -> str:
        """The same, including which rows a selection keeps; independent of the directory's name."""
        kept = b"all" if self._kept is None else self._kept.astype("<i8").tobytes()
        return fingerprint_of([self.fingerprint, hash_bytes(kept)])

    @property
    def n_decoded(self) -> int:
        """Number of row groups decoded so far."""
        return self._cache.n_decoded

    def __len__(self) -> int:
        """Number of sequences."""
        return self.manifest.n_rows if self._kept is None else len(self._kept)

    def __getitem__(self, i: int) -> Row:
        """The row at index i, in the order of the files; negative indices count from the end."""
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"row {i} of {n} in {self.path}")
        place = i % n if self._kept is None else int(self._kept[i])
        number = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self.row_group(number).row(place - int(self._starts[number]))

    def __iter__(self) -> Iterator[Row]:
        """Rows in the order of the files."""
        return (self[i] for i in range(len(self)))

    def row_group(self, number: int) -> RowGroup:
        """A decoded row group by its number in the set."""
        return self._cache.get(number, self.places[number])

    @cached_property
    def group_sizes(self) -> npt.NDArray[np.int64]:
        """[row groups] int64: number of rows here in each row group, which determine the order of reading."""
        sizes = np.array([place.n_rows for place in self.places], np.int64)
        if self._kept is None:
            return sizes
        of = np.searchsorted(self._starts, self._kept, side="right") - 1
        return np.bincount(of, minlength=len(sizes)).astype(np.int64)

    @property
    def is_shuffled(self) -> bool:
        """Whether the rows are in a seeded order, as they are unless `--order-seed none` was given."""
        return self.plan.layout.order_seed is not None

    @cached_property
    def seq_ids(self) -> npt.NDArray[np.uint64]:
        """[n] uint64: the `seq_id` of each row."""
        parts = [self._files.table("scores", place, ("seq_id",))["seq_id"].to_numpy() for place in self.places]
        every = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        return every if self._kept is None else every[self._kept]

    @cached_property
    def _by_seq_id(self) -> npt.NDArray[np.int64]:
        return np.argsort(self.seq_ids)

    def row_of(self, seq_ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """[m] int64: the row indices of the sequences `seq_ids` [m], -1 for those that are not here."""
        wanted = np.asarray(seq_ids, np.uint64)
        if not len(self):
            return np.full(wanted.shape, -1, np.int64)
        order = self._by_seq_id
        at = np.minimum(np.searchsorted(self.seq_ids, wanted, sorter=order), len(order) - 1)
        return np.where(self.seq_ids[order[at]] == wanted, order[at], -1)

    def by_seq_id(self, seq_id: int) -> Row:
        """The row of one sequence.

        Raises
        ------
        KeyError
            It is not labelled here.
        """
        place = int(self.row_of([seq_id])[0]) if seq_id >= 0 else -1
        if place < 0:
            raise KeyError(f"sequence {seq_id} is not among the {len(self)} of {self.path}")
        return self[place]

    def select(self, selection: str | PathLike[str] | npt.ArrayLike, *, allow_missing: bool = False) -> Labels:
        """The same labels with only the sequences that a selection keeps; decoded row groups are shared.

        Parameters
        ----------
        selection
            A Parquet file of `saltworks select` or of any other tool, or `seq_id`s.
        allow_missing
            Whether to ignore sequences of the selection that are not labelled here.

        Raises
        ------
        MismatchError
            A selection from other sequences, or with sequences that are not labelled here.
        """
        if isinstance(selection, str | PathLike):
            check_provenance(Path(fspath(selection)), self.fingerprint, self.plan)
        places = self.row_of(read_selection(selection))
        n_missing = int((places < 0).sum())
        if n_missing and not allow_missing:
            raise MismatchError(
                f"{n_missing} of the {len(places)} sequences that the selection keeps are not in {self.path}: "
                "label them, or pass allow_missing=True"
            )
        rows = np.sort(places[places >= 0])
        return self._with_rows(rows if self._kept is None else self._kept[rows])

    def _with_rows(self, rows: npt.NDArray[np.int64]) -> Labels:
        kept = copy.copy(self)
        for of_all_rows in ("group_sizes", "seq_ids", "_by_seq_id"):
            kept.__dict__.pop(of_all_rows, None)
        kept._kept = rows
        return kept

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `to_arrow` returns, including scores."""
        signals = self.plan.signals
        has_positions = set(signals.groups) != {"scores"}
        of_positions = columns_of(self.groups, signals) if has_positions else ("seq_id",)
        of_scores = ("n_targets", "first_doc_index", *SCORES) if "scores" in self.groups else ()
        return (*of_positions, *of_scores)

    def tables(self, columns: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """One table per row group, as stored, joined with scores."""
        names = self.columns if columns is None else tuple(columns)
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            check_groups({group_of(name) for name in unknown}, self.plan.signals.groups, str(self.path))
            raise KeyError(f"no column {', '.join(unknown)}; there are {', '.join(self.columns)}")
        return (table for place in self.places for table in self._table(place, names))

    def _table(self, place: Place, names: tuple[str, ...]) -> Iterator[pa.Table]:
        of_scores = tuple(name for name in names if name in ("n_targets", "first_doc_index", *SCORES))
        if set(self.plan.signals.groups) == {"scores"}:
            of_scores = names
        of_positions = tuple(name for name in names if name not in of_scores)
        parts = [("positions", of_positions), ("scores", of_scores)]
        columns: dict[str, pa.ChunkedArray] = {}
        for kind, wanted in parts:
            if wanted:
                table = self._files.table(kind, place, wanted)
                columns |= {name: table[name] for name in wanted}
        joined = pa.table({name: columns[name] for name in names})
        if self._kept is None:
            yield joined
            return
        first, last = np.searchsorted(self._kept, [place.start, place.start + place.n_rows])
        if first < last:
            yield joined.take(pa.array(self._kept[first:last] - place.start))

    def to_arrow(self, columns: Iterable[str] | None = None) -> pa.Table:
        """All rows as one table, joined with scores.

        Parameters
        ----------
        columns
            Columns to read; None: all of the groups that are read.
        """
        names = self.columns if columns is None else tuple(columns)
        tables = list(self.tables(names))
        return pa.concat_tables(tables) if tables else pa.table({name: [] for name in names})

    def nested(self, columns: Iterable[str] | None = None) -> pa.Table:
        """As `to_arrow`, with `topk_ids` and `topk_logprobs` as [T, K] per row rather than flat; nothing is copied."""
        return as_nested(self.to_arrow(columns), self.top_k)

    def to_pandas(self, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """As `to_arrow`, as a pandas DataFrame (pandas must be installed)."""
        return self.to_arrow(columns).to_pandas()

    def check_tokenizer(self, *, vocab_size: int | None = None, fingerprint: str | None = None) -> None:
        """Checks whether a model can learn from these labels.

        Parameters
        ----------
        vocab_size
            Number of the model's logits: at least the labels' vocabulary.
        fingerprint
            `tokenizer_fingerprint` of the `corpus.json` that the model's tokens come from.

        Raises
        ------
        MismatchError
        """
        ours = self.plan.tokenizer_fingerprint
        if fingerprint is not None and ours is not None and fingerprint != ours:
            raise MismatchError(
                f"{self.path} was made with the tokenizer {ours}, but the model's is {fingerprint}: "
                "label with a teacher of the model's tokenizer"
            )
        if vocab_size is not None and vocab_size < self.vocab_size:
            raise MismatchError(
                f"{self.path} has ids below {self.vocab_size}, but the model has {vocab_size} logits: "
                "label with a teacher of the model's vocabulary (or --mask-vocab-padding)"
            )

    def documents(self) -> pa.Table:
        """Totals of the labels for each document of the corpus: one row each, by increasing
        `doc_index`.

        Columns: `doc_index`, `id`, `source`, `record`, `n_tokens`, `n_targets`, `n_bytes`; `nll_sum` (nats),
        `bits_per_byte`, `mean_nll`, `learnable_fraction`, `nll_learnable_mean`, `mean_entropy`, `mean_topk_mass`.

        Raises
        ------
        NotFinishedError
            They have not been summed up: run `saltworks finalize`.
        UnknownFormatError, DamagedError
        """
        return read_documents(self.path)

    def verify(self, *arguments: str) -> str:
        """Runs `saltworks verify`: every checksum, footer and invariant. Returns its output.

        Raises
        ------
        ProgramError
            The labels are damaged, or the program `saltworks` is missing.
        """
        return run_saltworks("verify", str(self.path), *arguments)

    def __repr__(self) -> str:
        """A one-line summary."""
        return (
            f"Labels({str(self.path)!r}: {len(self)} sequences of {self.seq_len}, "
            f"groups {', '.join(self.groups)}, K {self.top_k}, V {self.vocab_size})"
        )


def _places(plans: tuple[Plan, ...], manifest: Manifest) -> tuple[Place, ...]:
    places, start = [], 0
    for plan, fingerprint in zip(plans, manifest.plan_fingerprints, strict=True):
        for shard, group, n_rows in plan.row_groups():
            places.append(Place(plan, fingerprint, shard, group, start, n_rows))
            start += n_rows
    return tuple(places)


class JoinedLabels:
    """Several sets of labels over one corpus, as by two teachers: rows are joined by `seq_id`.

    Parameters
    ----------
    sets
        At least one. Rows are those that all sets have, in the order of the first set.

    Raises
    ------
    MismatchError
        Sets of different corpora, or cut into different sequences.
    """

    def __init__(self, *sets: Labels) -> None:
        if not sets:
            raise ValueError("expected at least one set of labels")
        for other in sets[1:]:
            _check_joinable(sets[0], other)
        common = set(sets[0].seq_ids.tolist()).intersection(*(other.seq_ids.tolist() for other in sets[1:]))
        self.seq_ids = np.array([i for i in sets[0].seq_ids.tolist() if i in common], np.uint64)
        self.sets = tuple(labels.select(self.seq_ids) for labels in sets)
        self._rows = [labels.row_of(self.seq_ids) for labels in self.sets]

    @property
    def identity(self) -> str:
        """An identity over those of the sets."""
        return fingerprint_of(labels.identity for labels in self.sets)

    @property
    def group_sizes(self) -> npt.NDArray[np.int64]:
        """[row groups] int64: sizes in the first set."""
        return self.sets[0].group_sizes

    @property
    def is_shuffled(self) -> bool:
        """Whether the rows are in a seeded order."""
        return self.sets[0].is_shuffled

    def __len__(self) -> int:
        """Number of sequences that all sets have."""
        return len(self.seq_ids)

    def __getitem__(self, i: int) -> tuple[Row, ...]:
        """The rows of one sequence, one per set."""
        return tuple(labels[int(rows[i])] for labels, rows in zip(self.sets, self._rows, strict=True))

    def by_seq_id(self, seq_id: int) -> tuple[Row, ...]:
        """The rows of one sequence by its number."""
        return tuple(labels.by_seq_id(seq_id) for labels in self.sets)


def _check_joinable(first: Labels, other: Labels) -> None:
    for what, ours, theirs in [
        ("corpus", first.plan.corpus_fingerprint, other.plan.corpus_fingerprint),
        ("seq_len", first.seq_len, other.seq_len),
        ("packing", first.plan.sequences.packing, other.plan.sequences.packing),
        ("sequence_bos", first.plan.sequences.sequence_bos, other.plan.sequences.sequence_bos),
    ]:
        if ours != theirs:
            raise MismatchError(
                f"{first.path} has {what} {ours}, but {other.path} has {theirs}: their sequences cannot be joined"
            )


def verify(path: str | PathLike[str], *arguments: str) -> str:
    """Runs `saltworks verify` on a directory of labels, finished or not; see `Labels.verify`."""
    return run_saltworks("verify", fspath(path), *arguments)
