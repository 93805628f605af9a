"""Holds a set of labels against numpy, over the same model's raw logits in onnxruntime, and against
itself as pyarrow, DuckDB and Polars read it.

    python check_labels.py LABELS MODEL [--tolerance NATS]

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


def round_to(values, rounding):
    kinds = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
    return values.astype(np.float32).astype(kinds[rounding]).astype(np.float64)


class Check:
    def __init__(self, plan, tolerance):
        self.plan, self.tolerance = plan, tolerance
        self.largest = {}

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
            half_step = {"f32": 0.0, "f16": 2.0**-11, "bf16": 2.0**-8}[signals["rounding"]]
            stored = np.reshape(np.array(row["topk_logprobs"], np.float64), (-1, k))
            assert np.array_equal(round_to(stored, signals["rounding"]), stored), "not rounded as planned"
            off = np.abs(stored - want) - half_step * np.abs(want)
            self.close("topk_logprobs", np.maximum(off, 0), 0)
            self.close("tail_mass", row["tail_mass"], 1 - np.take_along_axis(p, kept, -1).sum(-1))
            for tau in signals["temperatures"]:
                want = np.log(np.exp(logprob / tau).sum(-1))
                self.close(f"log_partition_tau_{tau:g}", row[f"log_partition_tau_{tau:g}"], want)
        self.scores(score, nll, rank, entropy, np.take_along_axis(p, order[:, :10], -1).sum(-1))
        return nll

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
    print(json.dumps({"rows": len(positions), "targets": len(nll), "mean_nll": nll.mean(), "largest": check.largest}))


if __name__ == "__main__":
    main()
