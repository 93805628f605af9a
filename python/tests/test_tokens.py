"""Token corpora: the sequences are those that the program labelled, however they are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import EOD, T, documents, label, write_megatron

import saltworks_lm as sl
from saltworks_lm import Labels, TokenCorpus
from saltworks_lm.programs import run_saltworks


def assert_same_sequences(labels: Labels, corpus: TokenCorpus) -> None:
    view = corpus.sequences_of(labels.plan)
    assert len(view) == len(labels) > 100
    for row in labels:
        ours = view.by_seq_id(row.seq_id)
        assert ours.input_ids.tolist() == row.input_ids.tolist()
        assert ours.doc_starts.tolist() == row.doc_starts.tolist()
        assert ours.doc_indices.tolist() == row.doc_indices.tolist()
    assert view.seq_ids.tolist() == sorted(labels.seq_ids.tolist())


@pytest.mark.parametrize("packing", ["concat", "document"])
@pytest.mark.parametrize("bos", [None, 7])
def test_sequences_are_those_of_the_program(made: Path, packing: str, bos: int | None) -> None:
    extra = [] if bos is None else ["--sequence-bos", str(bos)]
    # Some documents have no text, some a token, and some are as long as several sequences.
    docs = [*documents(80, seed=3), *[np.empty(0, int)] * 3, *documents(60, seed=4, longest=3), np.empty(0, int)]
    write_megatron(made / "mixed", docs, np.int32)
    out = f"cut-{packing}-{bos}"
    labels = Labels(label(made, out, "--packing", packing, "--groups", "stats", *extra, tokens="mixed"))
    assert_same_sequences(labels, TokenCorpus(made / "mixed"))
    assert {row.n_targets for row in labels} != {T}


def test_a_corpus_of_tokenize_and_its_parts_are_found(made: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a line of text and another word or two\n" * 300)
    text, tokenizer = str(tmp_path / "text.txt"), str(tmp_path / "t.json")
    run_saltworks("tokenizer", "train", "--input", text, "--vocab-size", "290", "-o", tokenizer)
    run_saltworks("tokenize", "--input", text, "--tokenizer", tokenizer, "-o", str(tmp_path / "tokens"), "--quiet")
    corpus = TokenCorpus(tmp_path / "tokens")
    assert corpus.tokenizer_fingerprint.startswith("blake3:")
    for path in ("tokens/tokens", "tokens/tokens.bin", "tokens/tokens.idx"):
        assert TokenCorpus(tmp_path / path).n_tokens == corpus.n_tokens > 1000
    with pytest.raises(sl.MismatchError, match="of a corpus with n_tokens"):
        corpus.sequences_of(Labels(made / "labels").plan)


@pytest.mark.parametrize("position", ["front", "back"])
def test_raw_files_are_split_as_the_program_splits_them(made: Path, position: str) -> None:
    ids = np.concatenate(documents(100, seed=6))
    if position == "front":
        ids = np.roll(ids, 1)
    ids.astype(np.uint16).tofile(made / "raw.bin")
    extra = ["--eod", str(EOD), "--eod-position", position, "--tokens-format", "nanogpt", "--groups", "stats"]
    labels = Labels(label(made, f"raw-{position}", *extra, tokens="raw.bin"))
    assert_same_sequences(labels, TokenCorpus(made / "raw.bin", eod=EOD, eod_position=position))
    assert_same_sequences(labels, TokenCorpus(made / "raw.bin", eod=EOD))
    np.save(made / "raw.npy", ids.astype(np.uint32))
    assert TokenCorpus(made / "raw.npy").tokens.tolist() == ids.tolist()
    header = np.zeros(256, "<i4")
    header[:3] = 20240801, 7, len(ids)
    (made / "llmc.bin").write_bytes(header.tobytes() + ids.astype("<u4").tobytes())
    assert TokenCorpus(made / "llmc.bin").tokens.tolist() == ids.tolist()


def test_stage_two_reads_what_is_not_labelled(made: Path) -> None:
    view = TokenCorpus(made / "tokens").sequences_of(Labels(made / "labels").plan)
    rest = view.without([0, 5, len(view) - 1])
    assert len(rest) == len(view) - 3
    assert not {0, 5, len(view) - 1} & set(rest.seq_ids.tolist())
    assert [row.seq_id for row in rest] == rest.seq_ids.tolist()
    assert rest.group_sizes.sum() == len(rest)
    assert len(view) == len(view.without([]))


def test_invalid_token_files_are_refused(made: Path, tmp_path: Path) -> None:
    write_megatron(tmp_path / "t", documents(5))
    idx, tokens = (tmp_path / "t.idx").read_bytes(), (tmp_path / "t.bin").read_bytes()

    def refused(name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(sl.DamagedError, match=message):
            TokenCorpus(tmp_path / "t")
        (tmp_path / "t.idx").write_bytes(idx)
        (tmp_path / "t.bin").write_bytes(tokens)

    refused("t.bin", tokens[:-2], r"which has \d+")
    refused("t.idx", idx[:-3], "its tables for text take")
    refused("t.idx", b"OTHER" + idx[5:], "not a Megatron index")
    refused("t.idx", idx[:17] + b"\x07" + idx[18:], "type 7")
    refused("t.idx", idx[:36] + b"\x01" + idx[37:], "do not follow one another")
    refused("t.idx", idx[:-8] + b"\x04" + idx[-7:], "do not increase from 0 to 5")
    (tmp_path / "t.idx").unlink()
    with pytest.raises(FileNotFoundError, match=r"needs t.idx next to it"):
        TokenCorpus(tmp_path / "t")
    (tmp_path / "odd").write_bytes(b"123")
    with pytest.raises(sl.DamagedError, match="not a whole number of u16"):
        TokenCorpus(tmp_path / "odd")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        TokenCorpus(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="has no tokens.bin"):
        TokenCorpus(tmp_path)
    with pytest.raises(sl.MismatchError, match="leave out dtype"):
        TokenCorpus(made / "tokens", eod=3)
