"""``python -m saltworks_lm.train --config run.toml``, alone or under torchrun."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import DamagedError, SaltworksError
from .config import read_config
from .errors import ConfigError
from .parallel import PARALLEL, close_world, open_world
from .run import Engine, Start, train


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m saltworks_lm.train", description="SALT's two stages for any causal model."
    )
    parser.add_argument("--config", type=Path, required=True, help="run.toml, with the keys of saltworks-train")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="overrides the file; KEY= removes the key"
    )
    parser.add_argument("--output", help="directory of the run")
    parser.add_argument("--resume", action="store_true", help="resume from the latest checkpoint")
    parser.add_argument("--resume-from", metavar="step-N", help="resume from an earlier checkpoint")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="bf16: autocast, weights in f32")
    parser.add_argument("--parallel", choices=PARALLEL, default="ddp", help="how processes of torchrun share the model")
    parser.add_argument("--device", help="cpu, cuda; by default cuda if available")
    return parser


def _start(resume: bool, resume_from: str | None) -> Start:
    if resume_from is None:
        return Start(resume)
    number = resume_from.removeprefix("step-")
    if not number.isdigit():
        raise ConfigError.of("--resume-from", "step-N", resume_from, "name a checkpoint of the run")
    return Start(True, int(number))


def main() -> int:
    """Runs; returns the exit code that ``saltworks-train`` would have."""
    given = _arguments().parse_args()
    try:
        config = read_config(given.config, given.set, given.output)
        start = _start(given.resume, given.resume_from)
        world = open_world(given.parallel, given.device)
        try:
            train(config, world, Engine(given.precision, given.parallel, given.device), start)
        finally:
            close_world()
    except (SaltworksError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return int(getattr(error, "exit_code", 3 if isinstance(error, DamagedError) else 1) or 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
