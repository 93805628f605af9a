"""Selections: which sequences are kept, from `saltworks select` or any other tool."""

from __future__ import annotations

import json
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DamagedError, MismatchError
from .hashes import hash_bytes
from .plan import Plan

_LABELS, _VIEW = b"saltworks.labels_fingerprint", b"saltworks.view_fingerprint"


def read_selection(selection: str | PathLike[str] | npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """The `seq_id`s that a selection keeps, ascending.

    Parameters
    ----------
    selection
        A Parquet file with `seq_id` and, unless every row is kept, `kept`; or the ids themselves.

    Returns
    -------
    seq_ids : [n] uint64

    Raises
    ------
    DamagedError
        A file without such columns, or with nulls, negative numbers or an id twice.
    """
    if isinstance(selection, str | PathLike):
        return _checked(*_from_file(Path(fspath(selection))))
    return _checked(np.asarray(selection), "the selection")


def check_provenance(path: Path, labels: str, plan: Plan) -> None:
    """Refuses a selection from other sequences than a plan's, where the same `seq_id`s mean different text.

    Parameters
    ----------
    path
        A selection; one that does not record its source, such as another tool's, is accepted.
    labels
        Fingerprint of the labels that it is used with.
    plan
        Plan of these labels.

    Raises
    ------
    MismatchError
        It names other labels with different sequences.
    """
    metadata = _opened(path).metadata.metadata or {}
    of_labels, of_view = metadata.get(_LABELS), metadata.get(_VIEW)
    view = view_fingerprint(plan)
    if of_labels == labels.encode() or of_view == view.encode() or (of_labels is None and of_view is None):
        return
    what, expected, got = ("sequences", view, of_view) if of_labels is None else ("labels", labels, of_labels)
    raise MismatchError(
        f"{path} was made from other {what}: it names {(got or b'').decode(errors='replace')}, these are {expected}; "
        "select from these labels, or from others of the same token files, cut in the same way"
    )


def view_fingerprint(plan: Plan) -> str:
    """An identity for the sequences that `seq_id`s of a plan number: the token files and how they are cut."""
    corpus, cut = plan.raw["corpus"], plan.raw["sequences"]
    view = {"corpus": corpus["fingerprint"], "eod": corpus.get("eod")}
    view |= {name: cut[name] for name in ("seq_len", "packing", "sequence_bos", "n_total")}
    return "blake3:" + hash_bytes(json.dumps(view, separators=(",", ":"), ensure_ascii=False).encode())


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DamagedError(f"{path} is not a Parquet file ({error}): give one with a column seq_id") from error


def _from_file(path: Path) -> tuple[npt.NDArray[np.generic], str]:
    file = _opened(path)
    names = file.schema_arrow.names
    kind = (file.metadata.metadata or {}).get(b"saltworks.file", b"selection")
    if kind != b"selection":
        raise DamagedError(f"{path} is a file of labels ({kind.decode()}), not a selection")
    if "seq_id" not in names:
        raise DamagedError(f"{path} has no column seq_id, only {', '.join(names)}")
    table = file.read(columns=[name for name in ("seq_id", "kept") if name in names])
    if not pa.types.is_integer(table["seq_id"].type):
        raise DamagedError(f"{path}: seq_id is {table['seq_id'].type}, expected whole numbers (cast it to int64)")
    for name in table.column_names:
        if table[name].null_count:
            raise DamagedError(f"{path}: {table[name].null_count} values of {name} are null, expected none")
    seq_ids = table["seq_id"].to_numpy()
    if "kept" not in table.column_names:
        return seq_ids, str(path)
    if not pa.types.is_boolean(table["kept"].type):
        raise DamagedError(f"{path}: kept is {table['kept'].type}, expected boolean")
    # A duplicate id is wrong even if only one of its rows is kept.
    _checked(seq_ids, str(path))
    return seq_ids[table["kept"].to_numpy()], str(path)


def _checked(seq_ids: npt.NDArray[np.generic], what: str) -> npt.NDArray[np.uint64]:
    if seq_ids.ndim != 1 or not np.issubdtype(seq_ids.dtype, np.integer):
        if seq_ids.size == 0:
            return np.empty(0, np.uint64)
        raise MismatchError(f"{what}: seq_ids of type {seq_ids.dtype} and shape {seq_ids.shape}, expected [n] integers")
    if len(seq_ids) and int(seq_ids.min()) < 0:
        raise DamagedError(f"{what}: seq_id {seq_ids.min()} is negative")
    ascending = np.sort(seq_ids.astype(np.uint64))
    twice = np.flatnonzero(ascending[1:] == ascending[:-1])
    if len(twice):
        raise DamagedError(f"{what}: seq_id {ascending[twice[0]]} appears twice")
    return ascending
