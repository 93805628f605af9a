"""Labelling on a Ray cluster: `label(...)`, or `python -m saltworks_lm.ray label ...`.

Tasks of Ray Core, each `saltworks label --task i/n` in a process of its own, since the worker is a program. A task
whose machine is lost, or that fails (exit code 1) or is interrupted (75), is run again, elsewhere if need be; one that
cannot go better (2, 3) ends the work. Shards that are done stay, so the same call resumes.
"""

from .run import Event, label

__all__ = ["Event", "label"]
