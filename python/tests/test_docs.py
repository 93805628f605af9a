"""The page on this package names what there is. tests/docs.rs and with_torch/test_docs_torch.py run its snippets."""

from __future__ import annotations

import re

from conftest import ROOT

import saltworks_lm


def test_every_public_name_is_imported_from_where_the_page_says() -> None:
    page = (ROOT / "docs/python.md").read_text()
    names = re.findall(r"^from saltworks_lm import (.+)$", page, re.M)
    assert len(names) >= 4
    for name in ", ".join(names).split(", "):
        assert name in saltworks_lm.__all__
