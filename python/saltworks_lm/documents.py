"""Totals of labels for each document of their corpus: `documents/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DamagedError, NotFinishedError, UnknownFormatError
from .hashes import hash_bytes
from .plan import read_json
from .remote import AnyPath, RemotePath

_VERSION = 1


def read_documents(root: AnyPath) -> pa.Table:
    """One row per document that has a labelled target, by increasing `doc_index`.

    Raises
    ------
    NotFinishedError
        There are none yet: run `saltworks finalize`.
    UnknownFormatError, DamagedError
    """
    path = root / "documents" / "documents.json"
    if not path.is_file():
        raise NotFinishedError(f"{root} has no documents: saltworks finalize {root}")
    index = read_json(path)
    if index.get("format_version") != _VERSION:
        raise UnknownFormatError(
            f"{path} has format version {index.get('format_version')}, this version reads {_VERSION}: upgrade"
        )
    if index.get("manifest_blake3") != hash_bytes((root / "manifest.json").read_bytes()):
        raise NotFinishedError(f"{path} is of other shards than the labels now have: saltworks finalize {root}")
    try:
        tables = [_part(root, part) for part in index["parts"]]
        n_documents = index["n_documents"]
    except (KeyError, TypeError) as error:
        raise DamagedError(f"{path} is not an index of documents: {type(error).__name__} {error}") from error
    if not tables:
        raise DamagedError(f"{path} lists no file")
    documents = pa.concat_tables(tables)
    if documents.num_rows != n_documents:
        raise DamagedError(f"{path} says {n_documents} documents, but its files have {documents.num_rows}")
    return documents


def _part(root: AnyPath, part: dict[str, Any]) -> pa.Table:
    path = root / "documents" / Path(part["name"]).name
    if not path.is_file():
        raise DamagedError(f"{path} is missing: saltworks finalize {root}")
    n_bytes = path.stat().st_size
    if n_bytes != part["bytes"]:
        raise DamagedError(
            f"{path} has {n_bytes} bytes, but documents.json says {part['bytes']}: saltworks finalize {root}"
        )
    try:
        table = pq.read_table(path.open() if isinstance(path, RemotePath) else path)
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"{path} cannot be read as Parquet ({error}): saltworks finalize {root}") from error
    if table.num_rows != part["rows"]:
        raise DamagedError(f"{path} has {table.num_rows} rows, but documents.json says {part['rows']}")
    return table
