"""Files at a URL, through pyarrow's filesystems (or any of fsspec), with the methods of `Path` that reading needs."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from pyarrow import fs

from .hashes import hash_bytes

#: A filesystem: one of pyarrow's, one of fsspec, or None for that of the URL.
FileSystem: TypeAlias = Any


@dataclass(frozen=True)
class _Facts:
    st_size: int
    mtime_ns: int


@dataclass(frozen=True)
class RemotePath:
    """A file or directory at a URL; its string is the URL, and it can be pickled.

    Parameters
    ----------
    url
        Such as `s3://bucket/labels`.
    given
        A filesystem instead of the URL's own.
    """

    url: str
    given: FileSystem = field(default=None, compare=False, repr=False)

    @property
    def _opened(self) -> tuple[Any, str]:
        """The filesystem, and the path in it."""
        if self.given is None:
            system, path = fs.FileSystem.from_uri(self.url)
            return system, path
        system = self.given if isinstance(self.given, fs.FileSystem) else fs.PyFileSystem(fs.FSSpecHandler(self.given))
        return system, self.url.partition("://")[2]

    def __truediv__(self, name: str) -> RemotePath:
        base, query, rest = self.url.partition("?")
        return RemotePath(f"{base.rstrip('/')}/{name}{query}{rest}", self.given)

    def __str__(self) -> str:
        return self.url.partition("?")[0]

    @property
    def name(self) -> str:
        """Its last part."""
        return posixpath.basename(str(self).rstrip("/"))

    def _info(self) -> Any:
        system, path = self._opened
        return system.get_file_info(path)

    def is_file(self) -> bool:
        """Whether it is an existing file."""
        return bool(self._info().type == fs.FileType.File)

    def is_dir(self) -> bool:
        """Whether it is an existing directory, or a prefix of existing names."""
        return bool(self._info().type == fs.FileType.Directory)

    def exists(self) -> bool:
        """Whether it exists."""
        return bool(self._info().type != fs.FileType.NotFound)

    def iterdir(self) -> Iterator[RemotePath]:
        """Its entries."""
        system, path = self._opened
        return (self / info.base_name for info in system.get_file_info(fs.FileSelector(path)))

    def sizes(self) -> dict[str, int]:
        """Sizes of the files in it in bytes, by name."""
        system, path = self._opened
        found = system.get_file_info(fs.FileSelector(path))
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    def stat(self) -> _Facts:
        """Its size and modification time."""
        info = self._info()
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"{self} does not exist")
        return _Facts(info.size, info.mtime_ns or 0)

    def read_bytes(self) -> bytes:
        """Its contents."""
        with self.open() as file:
            content: bytes = file.read()
        return content

    def open(self) -> Any:
        """Opens it for random access."""
        system, path = self._opened
        return system.open_input_file(path)


AnyPath: TypeAlias = Path | RemotePath


def place_of(path: str | PathLike[str], filesystem: FileSystem = None) -> AnyPath:
    """A local path, or the place that a URL names. `file://` is local."""
    text = fspath(path)
    scheme = url_scheme(text)
    if filesystem is not None:
        return RemotePath(text if scheme else f"given://{text}", filesystem)
    if scheme == "file":
        return Path(fs.FileSystem.from_uri(text)[1])
    return RemotePath(text) if scheme else Path(text)


def url_scheme(text: str) -> str | None:
    """`s3` for `s3://bucket/key`; None if it is not a URL."""
    scheme, sign, _ = text.partition("://")
    return scheme if sign and scheme.isalnum() else None


def fetched(path: RemotePath, names: tuple[str, ...], cache: Path | None = None) -> Path:
    """A local directory with copies of the files `names` in `path` that exist.

    A file is copied again if its size or modification time at the URL has changed.

    Parameters
    ----------
    path
        A directory; with no `names` a file.
    cache
        Directory for the copies; None: `$SALTWORKS_CACHE`, else `~/.cache/saltworks`.
    """
    root = cache or Path(os.environ.get("SALTWORKS_CACHE") or Path.home() / ".cache" / "saltworks")
    target = root / "tokens" / hash_bytes(str(path).encode())[:24]
    target.mkdir(parents=True, exist_ok=True)
    for name in names or (path.name,):
        _fetch(path / name if names else path, target / name)
    return target


def _fetch(source: RemotePath, target: Path) -> None:
    """Copies one file atomically; removes the copy of a file that is gone."""
    stamp = target.with_name(f"{target.name}.source")
    if not source.is_file():
        target.unlink(missing_ok=True)
        return
    facts = source.stat()
    now = f"{source} {facts.st_size} {facts.mtime_ns}"
    if target.is_file() and target.stat().st_size == facts.st_size and stamp.is_file() and stamp.read_text() == now:
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with source.open() as remote, temporary.open("wb") as local:
        while block := remote.read(1 << 24):
            local.write(block)
    if temporary.stat().st_size != facts.st_size:
        n_bytes = temporary.stat().st_size
        temporary.unlink()
        raise OSError(f"{source}: only {n_bytes} of {facts.st_size} bytes arrived: try again")
    stamp.unlink(missing_ok=True)
    os.replace(temporary, target)
    stamp.write_text(now)
