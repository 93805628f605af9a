"""One task of `saltworks label`, for engines that start many: it ends with the process that runs it, and reports
progress.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import ProgramError
from .programs import find_program

# Exit codes after which a retry may succeed; 2 (usage) and 3 (bad data) would recur.
RETRIED = (1, 75)
# Options that the engine sets.
_RESERVED = ("--task", "--tasks", "--progress", "--json", "--quiet", "-q", "--dry-run", "--profile")
# Seconds to wait after SIGTERM; the program stops within five.
_STOP_TIMEOUT_SECONDS = 30.0
_MAX_LINES = 12


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses options that the engine sets itself.

    Raises
    ------
    ProgramError
        With exit code 2.
    """
    for argument in arguments:
        if argument.split("=", 1)[0] in _RESERVED:
            raise ProgramError(f"{argument}: leave it out, the engine sets it", 2)


def run_task(
    arguments: Sequence[str],
    index: int,
    count: int,
    report: Callable[[dict[str, Any]], None] | None = None,
    cwd: str | None = None,
) -> dict[str, Any]:
    """Runs `saltworks label` with these arguments as task `index` of `count`.

    Parameters
    ----------
    report
        Called with each progress line (`--progress json`): tokens, tokens_per_s, shards, ….
    cwd
        Folder that relative paths are relative to.

    Returns
    -------
    dict
        The output of `label --json`.

    Raises
    ------
    ProgramError
        With its exit code: those in `RETRIED` may be retried. Termination by a signal counts as 75.
    """
    check_arguments(arguments)
    own = ("--task", f"{index}/{count}", "--progress", "json", "--json")
    printed = run_program(("label", *arguments, *own), report, cwd)
    facts: dict[str, Any] = json.loads(printed)
    return facts


def run_program(
    arguments: Sequence[str], report: Callable[[dict[str, Any]], None] | None = None, cwd: str | None = None
) -> str:
    """Runs `saltworks` and returns its output. It is told to stop if this process or the call ends early.

    Raises
    ------
    ProgramError
        As `run_task`.
    """
    if cwd is not None and not Path(cwd).is_dir():
        raise ProgramError(f"there is no folder {cwd} on {os.uname().nodename}: all machines need the same paths", 2)
    with tempfile.TemporaryFile("w+") as results:
        program = subprocess.Popen(
            [find_program(), *arguments],
            stdout=results,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        try:
            lines = _listen(program, report)
            code = program.wait()
        except BaseException:
            _stop(program)
            raise
        results.seek(0)
        printed = results.read()
    if code != 0:
        message = "\n".join(lines) or "it printed nothing"
        raise ProgramError(f"saltworks {arguments[0]}: {message}", 75 if code < 0 else code)
    return printed


def _listen(program: subprocess.Popen[str], report: Callable[[dict[str, Any]], None] | None) -> deque[str]:
    """Reads standard error to its end. Results go to a file, since large ones would block in an unread pipe."""
    lines: deque[str] = deque(maxlen=_MAX_LINES)
    for line in program.stderr or ():
        progress = _progress_of(line)
        if progress is None:
            lines.append(line.rstrip())
        elif report is not None:
            report(progress)
    return lines


def _progress_of(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "event" in value else None


def _stop(program: subprocess.Popen[str]) -> None:
    program.terminate()
    try:
        program.wait(_STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def _end_with_parent() -> None:
    """Sends SIGTERM when the parent ends in any way, so that a killed worker leaves no program running."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
