"""What one command costs."""

import os
import subprocess
import tempfile
import time
from typing import NamedTuple


class Cost(NamedTuple):
    """Seconds by the clock and of the processor, and the largest MiB in memory."""

    clock: float
    processor: float
    mib: float


def run(command: list[object], env: dict[str, str] | None = None) -> Cost:
    """Runs a command to its end; the benchmark ends with its messages if it fails."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=errors, env=env)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            errors.seek(0)
            raise SystemExit(f"{command}: {errors.read().decode()}")
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
