"""BLAKE3 as the programs use it: identities of files, and small JSON files with their own checksum."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blake3 import blake3

#: Blocks of a file that are sampled, and their bytes.
_BLOCKS, _BLOCK_BYTES = 64, 64 * 1024
#: Key of a JSON file's own checksum.
_CHECKSUM = "saltworks_blake3"


def hash_bytes(content: bytes) -> str:
    """64 hex digits."""
    return str(blake3(content).hexdigest())


def hash_file(path: Path) -> str:
    """64 hex digits of a whole file."""
    hasher = blake3()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            hasher.update(block)
    return str(hasher.hexdigest())


def fingerprint_of(hashes: Iterable[str]) -> str:
    """`blake3:` and 64 hex digits over hashes, in order."""
    return "blake3:" + hash_bytes(b"".join(part.encode() + b"\n" for part in hashes))


def sampled_blake3(path: Path) -> str:
    """64 hex digits over the size and up to 64 blocks of a file, evenly spread, including the first and last.

    It detects a truncated or different file, but not every flipped bit.
    """
    n_bytes = path.stat().st_size
    hasher = blake3(n_bytes.to_bytes(8, "little"))
    with path.open("rb") as file:
        for offset in _sampled_offsets(n_bytes):
            file.seek(offset)
            hasher.update(file.read(_BLOCK_BYTES))
    return str(hasher.hexdigest())


def _sampled_offsets(n_bytes: int) -> list[int]:
    n_blocks = -(-n_bytes // _BLOCK_BYTES)
    if n_blocks <= _BLOCKS:
        return [i * _BLOCK_BYTES for i in range(n_blocks)]
    return [(n_bytes - _BLOCK_BYTES) * i // (_BLOCKS - 1) for i in range(_BLOCKS)]


def checked_json(value: dict[str, Any]) -> bytes:
    """An object of text, whole numbers and null as indented JSON, with its checksum first."""
    checksum = hash_bytes(_canonical(value).encode())
    return (json.dumps({_CHECKSUM: checksum, **value}, indent=2, ensure_ascii=False) + "\n").encode()


def _canonical(value: Any) -> str:
    """The form over which the checksum is computed: sorted keys, a comma after every item."""
    if isinstance(value, dict):
        members = (f"{_canonical(key)}:{_canonical(value[key])}," for key in sorted(value))
        return "{" + "".join(members) + "}"
    if isinstance(value, list):
        return "[" + "".join(f"{_canonical(item)}," for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
