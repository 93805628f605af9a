"""Labelling on a Ray cluster: `label(...)`, or `python -m saltworks_lm.ray label ...`.

Tasks of Ray Core, each of which runs `saltworks label --task i/n` as a separate process. A task whose machine is lost,
or that fails (exit code 1) or is interrupted (75), is run again, elsewhere if necessary; an error that would recur (2,
3) ends the work. Finished shards are kept, so the same call resumes.
"""

from .run import Event, label

__all__ = ["Event", "label"]
