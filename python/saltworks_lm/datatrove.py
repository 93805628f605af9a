"""Labelling as a step of a datatrove pipeline: task `rank` of `world_size`.

    from datatrove.executor import SlurmPipelineExecutor
    from saltworks_lm.datatrove import FinalizeLabels, LabelTokens

    label = SlurmPipelineExecutor([LabelTokens("--config", "label.toml")], tasks=64, ...)
    SlurmPipelineExecutor([FinalizeLabels("labels")], tasks=1, depends=label, ...).run()

datatrove itself knows which tasks have ended, and runs the others when the pipeline is started again; finished shards
of an unfinished task are kept too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datatrove.pipeline.base import PipelineStep

from .task import check_arguments, run_program, run_task


class LabelTokens(PipelineStep):  # type: ignore[misc]
    """Runs `saltworks label` for one task; documents pass through it unread.

    Parameters
    ----------
    arguments
        Arguments of `saltworks label`, without `--task`. With one task it writes the manifest
        itself.
    """

    name = "Saltworks labels"
    type = "LABEL"

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        check_arguments(arguments)
        self.arguments = arguments

    def run(self, data: Iterator[Any] | None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Labels, then passes its input on.

        Raises
        ------
        ProgramError
            With the program's exit code; the task then counts as not done.
        """
        with self.track_time("task"):
            facts = run_task(self.arguments, rank, world_size)
        self.stat_update("shards", value=facts["n_shards_made"], unit="task")
        yield from data or ()


class FinalizeLabels(PipelineStep):  # type: ignore[misc]
    """Writes the manifest when every shard is done: the one task of an executor that `depends` on the others.

    Parameters
    ----------
    labels
        Directory of the labels.
    """

    name = "Saltworks manifest"
    type = "LABEL"

    def __init__(self, labels: str) -> None:
        super().__init__()
        self.labels = str(labels)

    def run(self, data: Iterator[Any] | None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Finalizes in the first task, then passes its input on.

        Raises
        ------
        ProgramError
            With exit code 1 if shards are missing.
        """
        if rank == 0:
            run_program(("finalize", self.labels, "--quiet"))
        yield from data or ()
