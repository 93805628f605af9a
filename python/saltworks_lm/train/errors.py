"""Errors of a run, by kind, with the exit codes of ``saltworks-train``."""

from __future__ import annotations

from ..errors import SaltworksError


class TrainError(SaltworksError):
    """A run that cannot begin or continue."""

    exit_code = 1


class ConfigError(TrainError):
    """An unknown key, or a key with an impossible value."""

    exit_code = 2

    @classmethod
    def of(cls, key: str, expected: str, found: object, remedy: str) -> ConfigError:
        """The message of one key."""
        return cls(f"{key} is {shown(found)}, expected {expected}: {remedy}")


class DataError(TrainError):
    """Labels or tokens that a run cannot learn from."""

    exit_code = 3


class DivergedError(TrainError):
    """A loss or a gradient norm that is not finite."""

    exit_code = 3


class InterruptedRunError(TrainError):
    """A requested stop; the work done is saved."""

    exit_code = 75


def shown(value: object) -> str:
    """A value as in a configuration."""
    if value is None:
        return "missing"
    return str(value).lower() if isinstance(value, bool) else str(value)
