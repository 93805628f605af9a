"""Labels and tokens behind URLs: the same rows, by ranges, or from a copy that is taken once."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from pyarrow import fs

import saltworks_lm as sl
from saltworks_lm import Labels, TokenCorpus
from saltworks_lm.remote import RemotePath, place_of, url_scheme


@pytest.fixture
def store(made: Path) -> fs.FileSystem:
    """What is in the folder, as in a bucket."""
    return fs.SubTreeFileSystem(str(made), fs.LocalFileSystem())


def test_labels_behind_a_url_are_the_labels(made: Path, store: fs.FileSystem) -> None:
    here = Labels(made / "labels")
    for there in (Labels("given://labels", filesystem=store), Labels((made / "labels").as_uri())):
        assert len(there) == len(here)
        assert there.identity == here.identity
        for i in (0, len(here) // 2, len(here) - 1):
            assert (there[i].input_ids == here[i].input_ids).all()
            assert (there[i].topk_logprobs == here[i].topk_logprobs).all()
            assert there[i].scores == here[i].scores
        assert there.to_arrow(["seq_id", "score_salt"]).equals(here.to_arrow(["seq_id", "score_salt"]))
        assert len(there.select(here.seq_ids[:7])) == 7
        assert (pickle.loads(pickle.dumps(there))[3].targets == here[3].targets).all()


def test_missing_and_incomplete_labels_are_refused(made: Path, store: fs.FileSystem, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="given://nowhere does not exist"):
        Labels("given://nowhere", filesystem=store)
    with pytest.raises(FileNotFoundError, match=r"given://tokens\.bin is a file: give the directory"):
        Labels("given://tokens.bin", filesystem=store)
    copied = tmp_path / "labels"
    for name in ("plan.json", "manifest.json"):
        copied.mkdir(exist_ok=True)
        (copied / name).write_bytes((made / "labels" / name).read_bytes())
    there = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    with pytest.raises(sl.DamagedError, match="given://labels/.*/part-00000.parquet is missing"):
        Labels("given://labels", filesystem=there)


def test_tokens_behind_a_url_are_copied_once_and_again_where_they_changed(
    made: Path, tmp_path: Path, store: fs.FileSystem
) -> None:
    corpus = tmp_path / "source" / "corpus"
    corpus.mkdir(parents=True)
    for ending in ("bin", "idx"):
        (corpus / f"tokens.{ending}").write_bytes((made / f"tokens.{ending}").read_bytes())
    there = fs.SubTreeFileSystem(str(tmp_path / "source"), fs.LocalFileSystem())

    def opened() -> TokenCorpus:
        return TokenCorpus("given://corpus", filesystem=there, cache=tmp_path / "cache")

    here, first = TokenCorpus(made / "tokens"), opened()
    assert (np.asarray(first.tokens) == np.asarray(here.tokens)).all()
    assert (first.document_starts == here.document_starts).all()
    copy = first.path / "tokens.bin"
    taken = copy.stat().st_mtime_ns
    assert copy.is_relative_to(tmp_path / "cache")
    opened()
    assert copy.stat().st_mtime_ns == taken
    changed = bytearray((corpus / "tokens.bin").read_bytes())
    changed[0] ^= 1
    (corpus / "tokens.bin").write_bytes(changed)
    assert opened().tokens[0] == here.tokens[0] ^ 1
    raw = TokenCorpus("given://tokens.bin", filesystem=store, cache=tmp_path / "cache", eod=299)
    assert raw.n_tokens == here.n_tokens
    with pytest.raises(FileNotFoundError, match="given://nothing does not exist: give the URL of a directory"):
        TokenCorpus("given://nothing", filesystem=store, cache=tmp_path / "cache")
    with pytest.raises(FileNotFoundError, match=r"given://labels has no tokens\.bin"):
        TokenCorpus("given://labels", filesystem=store, cache=tmp_path / "cache")


def test_what_is_a_url_and_what_is_a_path() -> None:
    assert [url_scheme(x) for x in ("s3://b/k", "a/b", "C://x", "a b://c", "://x")] == ["s3", None, "C", None, None]
    assert place_of("file:///tmp/labels") == Path("/tmp/labels")
    assert isinstance(place_of("s3://bucket/labels"), RemotePath)
    parts = RemotePath("s3://bucket/labels?endpoint_override=localhost:9") / "plan.json"
    assert parts.url == "s3://bucket/labels/plan.json?endpoint_override=localhost:9"
    assert str(parts) == "s3://bucket/labels/plan.json"
    assert parts.name == "plan.json"
