"""The steps in a pipeline of datatrove: tasks of its local executor, and what they leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import K, T, label, written
from datatrove.executor import LocalPipelineExecutor

from saltworks_lm import ProgramError
from saltworks_lm.datatrove import FinalizeLabels, LabelTokens

SHARD_BYTES = ("--shard-bytes", "16000")


def arguments(made: Path, output: Path) -> tuple[str, ...]:
    return (
        *("--teacher", str(made / "teacher.onnx"), "--tokens", str(made / "tokens"), "--output", str(output)),
        *("--seq-len", str(T), "--top-k", str(K), "--device", "cpu", "--threads", "1", *SHARD_BYTES),
    )


def test_four_tasks_make_what_one_process_makes(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "labels"
    steps = [LabelTokens(*arguments(made, output))]
    logs = str(tmp_path / "logs")
    tasks = LocalPipelineExecutor(steps, tasks=4, workers=2, logging_dir=f"{logs}/label", skip_completed=True)
    last = [FinalizeLabels(str(output))]
    LocalPipelineExecutor(last, tasks=1, depends=tasks, logging_dir=f"{logs}/finalize").run()
    assert len(list((tmp_path / "logs/label/completions").iterdir())) == 4
    reference = label(made, f"datatrove-{tmp_path.name}", *SHARD_BYTES)
    assert written(output) == written(reference)
    assert len([name for name in written(output) if name.startswith("scores/")]) > 8


def test_documents_pass_through_and_one_task_finalizes(made: Path, tmp_path: Path) -> None:
    step = LabelTokens(*arguments(made, tmp_path / "labels"))
    assert list(step(iter(["a", "b"]))) == ["a", "b"]
    assert (tmp_path / "labels/manifest.json").exists()
    assert step.stats["shards"].total > 8


def test_a_task_that_would_fail_again_is_not_retried_and_reports_the_programs_message(
    made: Path, tmp_path: Path
) -> None:
    step = LabelTokens(*arguments(made, tmp_path / "labels"), "--top-k-ids", "3")
    with pytest.raises(ProgramError, match="--top-k-ids") as raised:
        list(step(None, 0, 2))
    assert raised.value.exit_code == 2
    with pytest.raises(ProgramError, match="leave it out"):
        LabelTokens("--task", "0/4")
    list(LabelTokens(*arguments(made, tmp_path / "half"))(None, 1, 2))
    with pytest.raises(ProgramError, match="shards are missing") as raised:
        list(FinalizeLabels(str(tmp_path / "half"))(None))
    assert raised.value.exit_code == 1
