"""What can be wrong, by kind. Messages say what was expected, what was found, where, and what to do."""

from __future__ import annotations


class SaltworksError(Exception):
    """The base of everything that this package raises of its own."""


class NotFinishedError(SaltworksError):
    """Labels that have no manifest, or were extended since: `saltworks finalize` them."""


class UnknownFormatError(SaltworksError):
    """A format version or a required feature that this version does not know: upgrade."""


class DamagedError(SaltworksError):
    """A file that is not what plan, manifest or its own footer say."""


class MismatchError(SaltworksError):
    """Two things that do not belong together: another tokenizer, corpus, vocabulary or sequence length."""


class MissingGroupError(SaltworksError):
    """A column was asked for whose group is not stored in these labels."""


class ProgramError(SaltworksError):
    """A program of Saltworks was not found, or ended with an error.

    Attributes
    ----------
    exit_code
        1 failed (may be retried), 2 usage, 3 bad data, 75 interrupted; None where it did not start.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
