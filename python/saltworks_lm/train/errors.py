"""What a run can fail with, by kind; each has the exit code that ``saltworks-train`` has for it."""

from __future__ import annotations

from ..errors import SaltworksError


class TrainError(SaltworksError):
    """A run that cannot begin or go on."""

    exit_code = 1


class ConfigError(TrainError):
    """A key whose value is not possible, or that is not known here."""

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


class InterruptedRunError(TrainError):
    """A stop that was asked for; what was done is saved."""

    exit_code = 75


def shown(value: object) -> str:
    """A value as a configuration has it."""
    if value is None:
        return "not there"
    return str(value).lower() if isinstance(value, bool) else str(value)
