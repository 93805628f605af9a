"""Holds the documents of a set against its positions, the text and the sums in `scores/`.

    python check_documents.py LABELS CORPUS.jsonl

Sums over the lists in `positions/`, which are f32, are within their rounding; those of the pieces in
`scores/`, added in the order of the text, are the same to the last bit. Prints one JSON object.
"""

import collections
import json
import math
import pathlib
import sys

import pyarrow.parquet

SCORE_K = 10
# Relative: an f32 has 24 bits, and its sums here have thousands of terms.
F32_TOLERANCE = 1e-6


def read(directory):
    files = sorted(pathlib.Path(directory).glob("*.parquet"))
    return pyarrow.concat_tables([pyarrow.parquet.read_table(f) for f in files])


def from_positions(labels):
    """Sums of each document over its targets: [n, learnable, nll, entropy]."""
    sums = collections.defaultdict(lambda: [0, 0, 0.0, 0.0])
    for row in read(f"{labels}/positions").sort_by("seq_id").to_pylist():
        starts = row["doc_starts"] + [len(row["input_ids"])]
        for doc, start, end in zip(row["doc_indices"], starts, starts[1:], strict=False):
            for t in range(max(start, 1) - 1, end - 1):
                of = sums[doc]
                of[0] += 1
                of[1] += row["target_rank"][t] < SCORE_K
                of[2] -= row["target_logprob"][t]
                of[3] += row["entropy"][t]
    return sums


def from_pieces(labels):
    """Sums of each document over its pieces, in the order of the text: [n, learnable, nll, entropy, mass]."""
    names = ["n_targets", "n_learnable", "nll_sum", "entropy_sum", "topk_mass_sum"]
    sums = {}
    for row in read(f"{labels}/scores").sort_by("seq_id").to_pylist():
        for i, doc in enumerate(row["piece_doc_indices"]):
            piece = [row[f"piece_{name}"][i] for name in names]
            sums[doc] = [a + b for a, b in zip(sums[doc], piece, strict=True)] if doc in sums else piece
    return sums


def close(a, b):
    return abs(a - b) <= F32_TOLERANCE * max(abs(a), abs(b), 1.0)


def main(labels, corpus):
    texts = [json.loads(line) for line in pathlib.Path(corpus).read_text(encoding="utf-8").splitlines()]
    positions, pieces = from_positions(labels), from_pieces(labels)
    documents = read(f"{labels}/documents").to_pylist()
    assert [d["doc_index"] for d in documents] == sorted(positions), "other documents"
    n_whole, bytes_whole, nll_whole = 0, 0, 0.0
    for d in documents:
        n, learnable, nll, entropy, mass = pieces[d["doc_index"]]
        assert (d["n_targets"], d["nll_sum"]) == (n, nll), d
        assert (d["mean_nll"], d["mean_entropy"], d["mean_topk_mass"]) == (nll / n, entropy / n, mass / n), d
        assert d["learnable_fraction"] == learnable / n, d
        n_list, learnable_list, nll_list, entropy_list = positions[d["doc_index"]]
        assert (n, learnable) == (n_list, learnable_list), d
        assert close(nll, nll_list) and close(entropy, entropy_list), (d, nll_list)
        text = texts[d["record"] - 1]
        assert d["id"] == str(text["id"]) and d["source"].endswith(pathlib.Path(corpus).name), d
        n_bytes = len(text["text"].encode())
        assert d["n_bytes"] == n_bytes, d
        if d["bits_per_byte"] is not None:
            n_whole, bytes_whole, nll_whole = n_whole + 1, bytes_whole + n_bytes, nll_whole + nll
            assert math.isclose(d["bits_per_byte"], nll / (n_bytes * math.log(2)), rel_tol=1e-14), d
    index = json.loads(pathlib.Path(f"{labels}/documents/documents.json").read_text(encoding="utf-8"))
    assert (index["n_whole"], index["n_bytes_whole"]) == (n_whole, bytes_whole), index
    assert math.isclose(index["bits_per_byte"], nll_whole / (bytes_whole * math.log(2)), rel_tol=1e-12), index
    print(json.dumps({"documents": len(documents), "whole": n_whole}))


main(*sys.argv[1:])
