"""Errors by kind. Messages say what was expected, what was found, where, and the remedy."""

from __future__ import annotations


class SaltworksError(Exception):
    """The base class of all errors that this package defines."""


class NotFinishedError(SaltworksError):
    """Labels that have no manifest, or were extended since: run `saltworks finalize`."""


class UnknownFormatError(SaltworksError):
    """A format version or a required feature that this version does not know: upgrade."""


class DamagedError(SaltworksError):
    """A file that does not match plan, manifest or its own footer."""


class MismatchError(SaltworksError):
    """Two things that do not belong together: another tokenizer, corpus, vocabulary or sequence length."""


class MissingGroupError(SaltworksError):
    """A requested column belongs to a group that these labels do not store."""


class ProgramError(SaltworksError):
    """A program of Saltworks was not found, or ended with an error.

    Attributes
    ----------
    exit_code
        1 failed (may be retried), 2 usage, 3 bad data, 75 interrupted; None if it did not start.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
