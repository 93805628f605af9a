"""The programs of the wheel: finding them and running them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .errors import ProgramError


def find_program(name: str = "saltworks") -> Path:
    """Finds a program of Saltworks in `$SALTWORKS_BIN` (a folder), this environment, then the PATH.

    Raises
    ------
    ProgramError
        It is in none of these.
    """
    for folder in _folders():
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    raise ProgramError(
        f"there is no program {name} in {sysconfig.get_path('scripts')} or on the PATH: "
        "pip install saltworks-lm from a wheel, or cargo install saltworks"
    )


def _folders() -> Iterator[Path]:
    if os.environ.get("SALTWORKS_BIN"):
        yield Path(os.environ["SALTWORKS_BIN"])
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sys.prefix) / "bin"
    # `pip install --target DIR` puts programs into DIR/bin.
    yield Path(__file__).parents[1] / "bin"


def run_saltworks(*arguments: str) -> str:
    """Runs `saltworks` with these arguments and returns its output.

    Raises
    ------
    ProgramError
        With its message and exit code, or if it is missing.
    """
    program = find_program()
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        message = "\n".join(lines[-12:]) or "it printed nothing"
        raise ProgramError(f"saltworks {arguments[0] if arguments else ''}: {message}", done.returncode)
    return done.stdout


def tokenizer_fingerprint(path: Path) -> str:
    """The fingerprint of a `tokenizer.json` that plans and `corpus.json` record, by `saltworks tokenizer info`.

    Raises
    ------
    ProgramError
        The program is missing, or cannot read the tokenizer.
    """
    return str(json.loads(run_saltworks("tokenizer", "info", str(path), "--json"))["fingerprint"])
