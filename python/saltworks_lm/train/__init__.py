"""SALT's two stages for any causal model of transformers: ``python -m saltworks_lm.train --config run.toml``.

The keys of ``run.toml`` are those of ``saltworks-train`` (docs/training.md), as are the order of the data, the
losses, the schedule and the files of a run: from the same initial weights both trainers make the same steps, up to
rounding. Keys of ``saltworks-train`` that are not supported here are refused by name.

    config ─▶ run ─▶ data (the sequences of a step) ─▶ batch (targets) ─▶ student (model, head, loss)
                ├─▶ schedule (learning rate, omega: pure functions of the step)
                └─▶ metrics, checkpoint
"""

from .config import RunConfig, read_config
from .errors import ConfigError, DivergedError, InterruptedRunError, TrainError

__all__ = ["ConfigError", "DivergedError", "InterruptedRunError", "RunConfig", "TrainError", "read_config"]
