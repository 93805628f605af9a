"""Token files, and the sequences into which a plan cuts them; only the requested sequence is copied."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .columns import Array
from .errors import DamagedError, MismatchError
from .hashes import fingerprint_of, hash_bytes, sampled_blake3
from .plan import Plan, read_json
from .remote import AnyPath, FileSystem, fetched, place_of
from .row import Row

_MAGIC = b"MMIDIDX\0\0"
#: Megatron's codes of integer types; 6 and 7 are floats.
_OF_CODE: dict[int, type[np.integer[Any]]] = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    8: np.uint16,
}
_OF_NAME = {"u8": np.uint8, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "u16": np.uint16}
_OF_NAME |= {"u32": np.uint32}
#: llm.c's magic and version, with the type of the ids after its header of 1024 bytes.
_LLM_C = {(20240520, 1): np.uint16, (20240801, 7): np.uint32}
#: Sequences that an order of reading keeps together, since they are adjacent on disk.
_BLOCK = 64


class TokenCorpus:
    """Token files of a corpus, read by position: Megatron's (with or without `corpus.json`), and the raw files
    of nanoGPT, NumPy and llm.c. Parquet has no random access by position: use `saltworks tokenize` on it first.

    Parameters
    ----------
    path
        A directory with `tokens.bin` and `tokens.idx`, a Megatron prefix or either of its files, or a raw file. From
        a URL (`s3://…`, `gs://…`) of such a directory or a raw file, a copy is made first.
    dtype
        For a file without a header: `u16` (the default), `i32`, `u32`, `i64`.
    eod, eod_position
        For a raw file: the id between documents, and whether it is at the `front` or the `back` of each. The
        default is that of `saltworks`: `front` if the file begins with the id and does not end with it, else
        `back`. Without an id the file is one document.
    filesystem
        A filesystem of pyarrow or fsspec that contains `path`; None: that of the URL.
    cache
        Directory for copies of files from a URL; None: `$SALTWORKS_CACHE`, else `~/.cache/saltworks`. A file is copied
        again if its size or modification time has changed; copies are not removed.

    Attributes
    ----------
    tokens : [n_tokens] integers, on disk
    document_starts : [n_documents + 1] int64
        Where documents start, and finally the number of tokens.
    files
        The token files that are read.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        dtype: str | None = None,
        eod: int | None = None,
        eod_position: str | None = None,
        filesystem: FileSystem = None,
        cache: str | PathLike[str] | None = None,
    ) -> None:
        place = place_of(path, filesystem)
        self.path = _copied(place, None if cache is None else Path(fspath(cache)))
        bin_path, idx_path = _megatron_pair(self.path)
        if bin_path.is_file() and idx_path.is_file():
            if dtype is not None or eod is not None:
                raise MismatchError(f"{idx_path} itself records dtype and documents: leave out dtype and eod")
            self.tokens, self.document_starts = _open_megatron(bin_path, idx_path)
            self.files: tuple[Path, ...] = (bin_path, idx_path)
        else:
            _check_is_raw_file(self.path, bin_path, idx_path)
            self.tokens = _open_raw(self.path, dtype)
            self.files = (self.path,)
            self.document_starts = _split(self.tokens, eod, eod_position or _position_of(self.tokens, eod))
        json = bin_path.with_name("corpus.json")
        self._json = read_json(json) if bin_path.is_file() and json.is_file() and bin_path.stem == "tokens" else None
        self._check_json(json)

    def _check_json(self, path: Path) -> None:
        for name, ours in [("n_tokens", self.n_tokens), ("n_documents", self.n_documents)]:
            if self._json is not None and self._json.get(name) != ours:
                raise DamagedError(f"{path} says {name} {self._json.get(name)}, but the token files have {ours}")

    @property
    def n_tokens(self) -> int:
        """Number of tokens in the whole corpus."""
        return len(self.tokens)

    @property
    def n_documents(self) -> int:
        """Number of documents in the whole corpus."""
        return len(self.document_starts) - 1

    @property
    def vocab_size(self) -> int | None:
        """Vocabulary size of the tokenizer, if `corpus.json` has it."""
        return None if self._json is None else self._json.get("vocab_size")

    @property
    def tokenizer_fingerprint(self) -> str | None:
        """Fingerprint of the tokenizer, if `corpus.json` has it."""
        return None if self._json is None else self._json.get("tokenizer_fingerprint")

    def sequences(self, seq_len: int, packing: str = "concat", sequence_bos: int | None = None) -> SequenceView:
        """The corpus cut into sequences of at most `seq_len` predicted positions.

        Parameters
        ----------
        seq_len
            T.
        packing
            `concat` or `document`.
        sequence_bos
            An id to put before every sequence.
        """
        return SequenceView(self, seq_len, packing, sequence_bos)

    def sequences_of(self, plan: Plan) -> SequenceView:
        """The sequences into which a plan cuts the corpus: `seq_id` is a sequence's number in this
        view.

        Raises
        ------
        MismatchError
            The plan is of another corpus.
        """
        raw, cut = plan.raw["corpus"], plan.sequences
        ours = {"n_tokens": self.n_tokens, "n_documents": self.n_documents}
        fields: list[tuple[str, Any, Any]] = [(name, raw[name], value) for name, value in ours.items()]
        if self.tokenizer_fingerprint is not None and plan.tokenizer_fingerprint is not None:
            fields.append(("tokenizer", plan.tokenizer_fingerprint, self.tokenizer_fingerprint))
        for name, expected, got in fields:
            if expected != got:
                raise MismatchError(f"{plan.path} is of a corpus with {name} {expected}, but {self.path} has {got}")
        view = self.sequences(cut.seq_len, cut.packing, cut.sequence_bos)
        if len(view) != cut.n_total:
            raise MismatchError(f"{plan.path} has {cut.n_total} sequences, but {self.path} is cut into {len(view)}")
        return view


class SequenceView:
    """Sequences of a corpus by number, with the same arithmetic as the program.

    With N tokens, `concat` has tokens [iT, iT + T] in sequence i, so neighbours share a token and no target is
    lost; `document` the same within each document. With a sequence BOS: that id, then tokens [iT, iT + T).
    """

    def __init__(self, corpus: TokenCorpus, seq_len: int, packing: str, sequence_bos: int | None) -> None:
        if seq_len < 1:
            raise ValueError(f"seq_len is {seq_len}, expected at least 1")
        if packing not in ("concat", "document"):
            raise ValueError(f"packing is {packing!r}, expected 'concat' or 'document'")
        self.corpus = corpus
        self.seq_len = seq_len
        self.packing = packing
        self.sequence_bos = sequence_bos
        self._n_shared = int(sequence_bos is None)
        #: The `seq_id`s in this view, ascending; None: all.
        self._kept: npt.NDArray[np.int64] | None = None

    @cached_property
    def _sequences_before(self) -> npt.NDArray[np.int64]:
        """[n_documents + 1]: sequences before each document, with `document` packing."""
        n_targets = np.maximum(np.diff(self.corpus.document_starts) - self._n_shared, 0)
        return np.concatenate([[0], (-(-n_targets // self.seq_len)).cumsum()]).astype(np.int64)

    @property
    def n_total(self) -> int:
        """Number of sequences in the whole corpus."""
        if self.packing == "document":
            return int(self._sequences_before[-1])
        return -(-max(self.corpus.n_tokens - self._n_shared, 0) // self.seq_len)

    def __len__(self) -> int:
        """Number of sequences in this view."""
        return self.n_total if self._kept is None else len(self._kept)

    @cached_property
    def identity(self) -> str:
        """An identity of the sequences in this view and their token files, independent of names."""
        cut = f"{self.seq_len} {self.packing} {self.sequence_bos} {self.corpus.n_documents}"
        kept = b"all" if self._kept is None else self._kept.astype("<i8").tobytes()
        return fingerprint_of([*map(sampled_blake3, self.corpus.files), cut, hash_bytes(kept)])

    @property
    def seq_ids(self) -> npt.NDArray[np.uint64]:
        """[n] uint64: the number of each sequence."""
        kept = np.arange(self.n_total) if self._kept is None else self._kept
        return kept.astype(np.uint64)

    @property
    def group_sizes(self) -> npt.NDArray[np.int64]:
        """[blocks] int64: sizes of blocks that an order of reading keeps together."""
        n = len(self)
        return np.diff(np.append(np.arange(0, n, _BLOCK), n)).astype(np.int64)

    @property
    def is_shuffled(self) -> bool:
        """False: they are in the order of the corpus."""
        return False

    def without(self, seq_ids: npt.ArrayLike) -> SequenceView:
        """The same view without some sequences, such as those that stage 1 has used."""
        left_out = np.asarray(seq_ids).astype(np.int64)
        view = copy.copy(self)
        view.__dict__.pop("identity", None)
        view._kept = np.setdiff1d(self.seq_ids.astype(np.int64), left_out)
        return view

    def __getitem__(self, i: int) -> Row:
        """The sequence at index i as a row without signals."""
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"sequence {i} of {n} in {self.corpus.path}")
        return self.by_seq_id(i % n if self._kept is None else int(self._kept[i]))

    def __iter__(self) -> Iterator[Row]:
        """Sequences by increasing number."""
        return (self[i] for i in range(len(self)))

    def by_seq_id(self, seq_id: int) -> Row:
        """The sequence with that number, whether in this view or not."""
        if not 0 <= seq_id < self.n_total:
            raise KeyError(f"sequence {seq_id} of {self.n_total}")
        span = self._span(seq_id)
        ids = np.asarray(self.corpus.tokens[span.start : span.end]).astype(np.uint32)
        if self.sequence_bos is not None:
            ids = np.concatenate([np.array([self.sequence_bos], np.uint32), ids])
        starts, indices = self._documents(span)
        return Row(seq_id=seq_id, input_ids=ids, doc_starts=starts, doc_indices=indices)

    def _span(self, seq_id: int) -> _Span:
        first, last, document, chunk = 0, self.corpus.n_tokens, None, seq_id
        if self.packing == "document":
            document = int(np.searchsorted(self._sequences_before, seq_id, side="right")) - 1
            first, last = (int(start) for start in self.corpus.document_starts[document : document + 2])
            chunk = seq_id - int(self._sequences_before[document])
        start = first + chunk * self.seq_len
        return _Span(start, min(last, start + self.seq_len + self._n_shared), document)

    def _documents(self, span: _Span) -> tuple[Array, Array]:
        if span.document is not None:
            return np.zeros(1, np.uint32), np.array([span.document], np.uint64)
        starts = self.corpus.document_starts[:-1]
        low, high = np.searchsorted(starts, [span.start + 1, span.end])
        # Empty documents start where the next one does, and are not listed.
        later = np.unique(starts[low:high])
        at = np.concatenate([[span.start], later])
        indices = np.searchsorted(starts, at, side="right") - 1
        offsets = at - span.start + (1 - self._n_shared)
        offsets[0] = 0
        return offsets.astype(np.uint32), indices.astype(np.uint64)


@dataclass(frozen=True)
class _Span:
    """Tokens `start` to `end` of the corpus, within one document if it is given."""

    start: int
    end: int
    document: int | None


def _copied(path: AnyPath, cache: Path | None) -> Path:
    """A local copy, since tokens are read at random places."""
    if isinstance(path, Path):
        return path
    if path.is_file():
        return fetched(path, (), cache) / path.name
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path} does not exist: give the URL of a directory of saltworks tokenize, or of a file"
        )
    if not (path / "tokens.bin").is_file():
        raise FileNotFoundError(f"{path} has no tokens.bin and tokens.idx: give a directory of saltworks tokenize")
    return fetched(path, ("tokens.bin", "tokens.idx", "corpus.json"), cache)


def _megatron_pair(path: Path) -> tuple[Path, Path]:
    prefix = path / "tokens" if path.is_dir() else path
    name = prefix.name.removesuffix(".bin").removesuffix(".idx")
    return prefix.with_name(f"{name}.bin"), prefix.with_name(f"{name}.idx")


def _check_is_raw_file(path: Path, bin_path: Path, idx_path: Path) -> None:
    if path.is_dir():
        if any(path.glob("*.parquet")):
            raise MismatchError(f"{path} contains Parquet, which cannot be read by position: saltworks tokenize it")
        raise FileNotFoundError(f"{path} has no tokens.bin and tokens.idx: give a directory of saltworks tokenize")
    if path.suffix == ".parquet":
        raise MismatchError(f"{path} is Parquet, which cannot be read by position: saltworks tokenize it")
    if idx_path.is_file() or (bin_path.is_file() and not path.is_file()):
        there, missing = (bin_path, idx_path) if bin_path.is_file() else (idx_path, bin_path)
        raise FileNotFoundError(f"{there} needs {missing.name} next to it, which does not exist")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")


def _open_megatron(bin_path: Path, idx_path: Path) -> tuple[Array, npt.NDArray[np.int64]]:
    dtype, lengths, pointers, documents = _read_idx(idx_path)
    width = np.dtype(dtype).itemsize
    n_bytes = bin_path.stat().st_size
    ends = lengths.cumsum(dtype=np.int64) * width
    if (lengths < 0).any() or not np.array_equal(pointers, ends - lengths.astype(np.int64) * width):
        raise DamagedError(f"{idx_path}: its sequences do not follow one another: make the token files again")
    if (int(ends[-1]) if len(ends) else 0) != n_bytes:
        raise DamagedError(
            f"{idx_path}: its sequences end at byte {ends[-1] if len(ends) else 0} of the .bin, which has {n_bytes}: "
            "give the two that were written together, or fetch them again"
        )
    if documents[0] != 0 or documents[-1] != len(lengths) or (np.diff(documents) < 0).any():
        raise DamagedError(f"{idx_path}: its document entries do not increase from 0 to {len(lengths)}")
    boundaries = np.concatenate([[0], lengths.cumsum(dtype=np.int64)])
    return _map(bin_path, dtype, 0, n_bytes // width), boundaries[documents].astype(np.int64)


def _read_idx(path: Path) -> tuple[Any, Array, Array, Array]:
    content = path.read_bytes()
    if not content.startswith(_MAGIC) or len(content) < 34:
        raise DamagedError(f"{path} is not a Megatron index (MMIDIDX): give the .idx that was written with the .bin")
    version = int(np.frombuffer(content, "<u8", 1, 9)[0])
    n_sequences, n_entries = (int(n) for n in np.frombuffer(content, "<u8", 2, 18))
    if version != 1 or content[17] not in _OF_CODE:
        raise DamagedError(f"{path}: version {version} and type {content[17]}, expected 1 and an integer type")
    expected = 34 + 12 * n_sequences + 8 * n_entries
    # Multimodal data sets have a mode for each sequence after the tables: for text all are 0.
    modes = content[expected:]
    if n_entries < 1 or len(content) < expected or len(modes) not in (0, n_sequences) or any(modes):
        raise DamagedError(f"{path} has {len(content)} bytes, but its tables for text take {expected}: fetch it again")
    lengths = np.frombuffer(content, "<i4", n_sequences, 34)
    pointers = np.frombuffer(content, "<i8", n_sequences, 34 + 4 * n_sequences)
    return _OF_CODE[content[17]], lengths, pointers, np.frombuffer(content, "<i8", n_entries, 34 + 12 * n_sequences)


def _open_raw(path: Path, dtype: str | None) -> Array:
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"\x93NUMPY"):
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise DamagedError(f"{path} is an array {array.shape} of {array.dtype}, expected [n_tokens] integers")
        return array
    header = np.frombuffer(head, "<i4", 3) if len(head) == 1024 else np.zeros(3, np.int32)
    llm_c = _LLM_C.get((int(header[0]), int(header[1])))
    if llm_c is not None:
        n_bytes = 1024 + int(header[2]) * np.dtype(llm_c).itemsize
        if path.stat().st_size != n_bytes:
            raise DamagedError(f"{path}: its header says {n_bytes} bytes, but it has {path.stat().st_size}")
        return _map(path, llm_c, 1024, int(header[2]))
    if dtype is not None and dtype not in _OF_NAME:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(_OF_NAME)}")
    of_ids = _OF_NAME[dtype or "u16"]
    n_tokens, left = divmod(path.stat().st_size, np.dtype(of_ids).itemsize)
    if left:
        raise DamagedError(f"{path}: {path.stat().st_size} bytes are not a whole number of {dtype or 'u16'} ids")
    return _map(path, of_ids, 0, n_tokens)


def _map(path: Path, dtype: Any, offset: int, n_tokens: int) -> Array:
    if n_tokens == 0:
        return np.empty(0, dtype)
    return np.memmap(path, np.dtype(dtype).newbyteorder("<"), "r", offset, (n_tokens,))


def _position_of(tokens: Array, eod: int | None) -> str:
    begins_and_not_ends = len(tokens) > 0 and tokens[0] == eod and tokens[-1] != eod
    return "front" if begins_and_not_ends else "back"


def _split(tokens: Array, eod: int | None, position: str) -> npt.NDArray[np.int64]:
    if position not in ("front", "back"):
        raise ValueError(f"eod_position is {position!r}, expected 'front' or 'back'")
    if not len(tokens):
        return np.zeros(1, np.int64)
    found = np.empty(0, np.int64) if eod is None else np.flatnonzero(tokens == eod)
    starts = found if position == "front" else found + 1
    inside = starts[(starts > 0) & (starts < len(tokens))]
    return np.concatenate([[0], inside, [len(tokens)]]).astype(np.int64)
