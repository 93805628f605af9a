"""The snippets of docs/python.md that need PyTorch, in one namespace, over labels made here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT


def test_the_snippets_that_need_pytorch_work(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/python.md").read_text()
    snippets = re.findall(r"^```python not-run: needs PyTorch\n(.*?)^```$", page, re.M | re.S)
    assert len(snippets) == 2
    monkeypatch.chdir(made)
    namespace: dict = {"__name__": "snippets"}
    for number, code in enumerate(snippets):
        exec(compile(code, f"docs/python.md, snippet {number}", "exec"), namespace)
    assert namespace["loss"].item() > 0
