"""Holds a set of labels against numpy, over the same model's raw logits in onnxruntime, and against
itself as pyarrow, DuckDB and Polars read it.

    python check_labels.py LABELS MODEL [--tolerance NATS]

Draws are made again from the published generator, Philox4x32-10, and p in f64.
Prints one JSON object: rows, targets, mean target NLL, largest differences.
"""

import argparse
import json
import pathlib

import duckdb
import ml_dtypes
import numpy as np
import onnxruntime
import polars
import pyarrow.parquet

EMPTY_PAST_LENGTH = 0
# What f32 terms, and logits of another run, may move a border between ids, of all probability.
BOUNDARY_TOLERANCE = 1e-5


def read_everywhere(pattern):
    """The rows of all files, by each reader, as plain Python lists ordered by seq_id."""
    files = sorted(map(str, pathlib.Path(pattern).parent.glob("*.parquet")))
    arrow = pyarrow.concat_tables([pyarrow.parquet.read_table(f) for f in files]).sort_by("seq_id")
    duck = duckdb.sql(f"select * from read_parquet('{pattern}') order by seq_id")
    frame = polars.read_parquet(pattern).sort("seq_id")
    columns = arrow.column_names
    assert duck.columns == columns, (duck.columns, columns)
    assert frame.columns == columns, (frame.columns, columns)
    duck_rows = duck.fetchall()
    for i, name in enumerate(columns):
        expected = arrow.column(name).to_pylist()
        assert [row[i] for row in duck_rows] == expected, f"DuckDB differs in {name}"
        assert frame[name].to_list() == expected, f"Polars differs in {name}"
    return arrow.to_pylist()


def feeds(session, ids):
    """One sequence as the model's inputs: everything attended, positions counted, empty past."""
    dtypes = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
    out = {}
    for entry in session.get_inputs():
        dtype = dtypes[entry.type]
        if entry.name == "input_ids":
            out[entry.name] = np.array([ids], dtype)
        elif entry.name == "attention_mask":
            out[entry.name] = np.ones((1, len(ids)), dtype)
        elif entry.name == "position_ids":
            out[entry.name] = np.arange(len(ids), dtype=dtype)[None]
        elif entry.name.startswith("past"):
            names = {"batch_size": 1, "past_seq_len": EMPTY_PAST_LENGTH, "past_sequence_length": EMPTY_PAST_LENGTH}
            out[entry.name] = np.zeros([names.get(d, d) for d in entry.shape], dtype)
        else:
            raise SystemExit(f"no feed for the input {entry.name}")
    return out


# Explicit mantissa bits of kept log-probabilities, and of tail masses, by rounding.
MANTISSA_BITS = {"f32": 23, "f16": 10, "bf16": 7, "m6": 6, "m5": 5, "m4": 4}
TAIL_MANTISSA_BITS = {"f32": 23, "f16": 23, "bf16": 23, "m6": 10, "m5": 10, "m4": 10}


def has_mantissa(values, bits):
    """Whether each value is one of a float with so many explicit mantissa bits and f32's exponents."""
    mantissa, _ = np.frexp(values)
    scaled = np.ldexp(mantissa, bits + 1)
    return np.array_equal(scaled, np.trunc(scaled))


def is_rounded(values, rounding):
    if rounding in ("f16", "bf16"):
        kind = np.float16 if rounding == "f16" else ml_dtypes.bfloat16
        return np.array_equal(values.astype(np.float32).astype(kind).astype(np.float64), values)
    return has_mantissa(values, MANTISSA_BITS[rounding])


def philox(key, counter):
    """Four words a counter: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011."""
    low = np.uint64(0xFFFFFFFF)
    words = [np.asarray(word, np.uint64) for word in np.broadcast_arrays(*counter)]
    for i in range(10):
        keys = [np.uint64((key[j] + i * step) & 0xFFFFFFFF) for j, step in enumerate((0x9E3779B9, 0xBB67AE85))]
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        thirty_two = np.uint64(32)
        words = [
            (second >> thirty_two) ^ words[1] ^ keys[0],
            second & low,
            (first >> thirty_two) ^ words[3] ^ keys[1],
            first & low,
        ]
    return words


def uniforms(seed, seq_id, position, n):
    """n numbers in [0, 1), two from each counter."""
    pairs = np.arange((n + 1) // 2)
    halves = [seed & 0xFFFFFFFF, seed >> 32], [seq_id & 0xFFFFFFFF, seq_id >> 32]
    a, b, c, d = philox(halves[0], [*halves[1], position, pairs])
    bits = np.stack([b << np.uint64(32) | a, d << np.uint64(32) | c], -1).reshape(-1)[:n]
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Check:
    def __init__(self, plan, tolerance):
        self.plan, self.tolerance = plan, tolerance
        self.largest = {}
        self.n_draws, self.n_on_a_border = 0, 0

    def close(self, what, got, want, tolerance=None):
        difference = np.max(np.abs(np.asarray(got, np.float64) - want), initial=0.0)
        self.largest[what] = max(self.largest.get(what, 0.0), float(difference))
        limit = self.tolerance if tolerance is None else tolerance
        assert difference <= limit, f"{what} differs by {difference}"

    def row(self, row, score, logits):
        signals = self.plan["signals"]
        z = logits.astype(np.float64)
        z = z[:, : self.plan["teacher"]["vocab_size"]]
        peak = z.max(-1, keepdims=True)
        lse = peak + np.log(np.exp(z - peak).sum(-1, keepdims=True))
        logprob = z - lse
        p = np.exp(logprob)
        entropy = -(p * np.where(p > 0, logprob, 0)).sum(-1)
        targets = np.array(row["input_ids"][1:])
        t = np.arange(len(targets))
        order = np.argsort(-z, axis=-1, kind="stable")
        rank = np.argmax(order == targets[:, None], -1)
        nll = -logprob[t, targets]
        if "stats" in signals["groups"]:
            self.close("target_logprob", row["target_logprob"], -nll)
            self.close("entropy", row["entropy"], entropy)
            self.close("logsumexp", row["logsumexp"], lse[:, 0])
            assert row["target_rank"] == np.minimum(rank, 65535).tolist()
        if "topk" in signals["groups"]:
            k = signals["top_k"]
            kept = order[:, :k]
            assert np.array_equal(np.reshape(row["topk_ids"], (-1, k)), kept), "topk_ids differ"
            want = np.take_along_axis(logprob, kept, -1)
            rounding = signals["rounding"]
            half_step = 0.0 if rounding == "f32" else 2.0 ** -(MANTISSA_BITS[rounding] + 1)
            stored = np.reshape(np.array(row["topk_logprobs"], np.float64), (-1, k))
            assert is_rounded(stored, rounding), "not rounded as planned"
            off = np.abs(stored - want) - half_step * np.abs(want)
            self.close("topk_logprobs", np.maximum(off, 0), 0)
            tail, want = np.array(row["tail_mass"]), 1 - np.take_along_axis(p, kept, -1).sum(-1)
            bits = TAIL_MANTISSA_BITS[rounding]
            assert has_mantissa(tail, bits), "tail_mass not rounded as planned"
            half_step = 0.0 if bits == 23 else 2.0 ** -(bits + 1)
            self.close("tail_mass", np.maximum(np.abs(tail - want) - half_step * np.abs(want), 0), 0)
            for tau in signals["temperatures"]:
                want = np.log(np.exp(logprob / tau).sum(-1))
                self.close(f"log_partition_tau_{tau:g}", row[f"log_partition_tau_{tau:g}"], want)
        if "samples" in signals["groups"]:
            self.draws(row, logprob, signals["samples"])
        self.scores(score, nll, rank, entropy, np.take_along_axis(p, order[:, :10], -1).sum(-1))
        return nll

    def draws(self, row, logprob, samples):
        """Each uniform fell on an id whose span it is in, or borders on."""
        tempered = np.exp(logprob / samples["tau"])
        borders = np.cumsum(tempered / tempered.sum(-1, keepdims=True), -1)
        offsets = row["sample_offsets"]
        assert len(offsets) == len(logprob) + 1 and offsets[0] == 0
        assert offsets[-1] == len(row["sampled_ids"]) == len(row["sampled_counts"])
        for position, (start, end) in enumerate(zip(offsets, offsets[1:])):
            ids, counts = row["sampled_ids"][start:end], row["sampled_counts"][start:end]
            assert ids == sorted(set(ids)) and min(counts) > 0
            drawn = np.repeat(ids, counts)
            u = np.sort(uniforms(samples["seed"], row["seq_id"], position, samples["n_draws"]))
            assert len(drawn) == len(u), "the counts do not make N"
            least = np.searchsorted(borders[position], u - BOUNDARY_TOLERANCE, "right")
            most = np.searchsorted(borders[position], u + BOUNDARY_TOLERANCE, "right")
            assert ((least <= drawn) & (drawn <= most)).all(), f"draws of position {position} differ"
            self.n_draws += len(u)
            self.n_on_a_border += int((least != most).sum())

    def scores(self, score, nll, rank, entropy, mass):
        learnable = rank < 10
        wanted = {
            "score_salt": np.median(nll[learnable]) if learnable.any() else None,
            "score_salt_masked": np.median(nll * learnable),
            "score_mean_nll": nll.mean(),
            "score_median_nll": np.median(nll),
            "score_learnable_fraction": learnable.mean(),
            "score_mean_entropy": entropy.mean(),
            "score_mean_topk_mass": mass.mean(),
        }
        assert score["n_targets"] == len(nll)
        for name, want in wanted.items():
            if want is None:
                assert score[name] is None, name
            else:
                self.close(name, score[name], want)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("labels", type=pathlib.Path)
    parser.add_argument("model")
    # f32 logits, summed in f64 on one side and in vectors on the other, stored as f32.
    parser.add_argument("--tolerance", type=float, default=2e-5)
    arguments = parser.parse_args()
    plan = json.loads((arguments.labels / "plan.json").read_text())
    scores = read_everywhere(str(arguments.labels / "scores" / "*.parquet"))
    positions = read_everywhere(str(arguments.labels / "positions" / "*.parquet"))
    assert [r["seq_id"] for r in scores] == [r["seq_id"] for r in positions]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(arguments.model, options, providers=["CPUExecutionProvider"])
    check = Check(plan, arguments.tolerance)
    nll = []
    for row, score in zip(positions, scores):
        ids = row["input_ids"][:-1]
        logits = session.run(["logits"], feeds(session, ids))[0][0]
        nll.append(check.row(row, score, logits))
    nll = np.concatenate(nll)
    # A draw on a border fits two ids: of few, or the check would say little.
    assert check.n_on_a_border <= 0.02 * check.n_draws, (check.n_on_a_border, check.n_draws)
    counts = {"rows": len(positions), "targets": len(nll), "draws": check.n_draws}
    print(json.dumps({**counts, "mean_nll": nll.mean(), "largest": check.largest}))


if __name__ == "__main__":
    main()
