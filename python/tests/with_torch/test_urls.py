"""URLs where PyTorch is: file systems of fsspec, which comes with it, and a run of the trainer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from training import prepare, write_config

from saltworks_lm import Labels
from saltworks_lm.train.__main__ import main


@pytest.fixture(scope="module")
def start(made: Path) -> Path:
    return prepare(made)


def test_an_fsspec_file_system_is_accepted(made: Path) -> None:
    fsspec = pytest.importorskip("fsspec") if False else __import__("fsspec")
    memory = fsspec.filesystem("memory")
    for path in (made / "labels").rglob("*"):
        if path.is_file():
            memory.pipe(f"/bucket/{path.relative_to(made)}", path.read_bytes())
    there = Labels("memory://bucket/labels", groups=["topk"], filesystem=memory)
    assert (there[0].topk_ids == Labels(made / "labels")[0].topk_ids).all()


def test_a_run_over_urls_is_the_run_over_the_files(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALTWORKS_CACHE", str(tmp_path / "cache"))
    over = {"train__steps": 4, "kd__n_kd": 2}
    plain = write_config(start, "by-path", **over)
    urls = {"data__labels": (start / "labels").as_uri()}
    by_url = write_config(start, "by-url", **over, **urls)
    for config in (plain, by_url):
        monkeypatch.setattr(sys, "argv", ["train", "--config", str(config), "--device", "cpu"])
        assert main() == 0
    a, b = (load_file(start / name / "final" / "model.safetensors") for name in ("by-path", "by-url"))
    assert all((a[name] == b[name]).all() for name in a)
