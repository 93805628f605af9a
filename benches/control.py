"""The control with which `cargo bench --bench control` compares labelling: the same model and
tokens, labelled by a typical script with onnxruntime, numpy and pyarrow.

    python benches/control.py MODEL TOKENS OUTPUT --top-k 64 --seq-len 512 --batch-rows 2

TOKENS is a headerless file of u16 or (--dtype uint32) u32. Writes one row per sequence: ids, the
log-probability of each target, the K top ids and their log-probabilities. Prints one JSON line.
"""

import argparse
import json
import os
import time

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 64


def main():
    args = parse_args()
    session = open_session(args)
    sequences = read_sequences(args)
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("target_logprob", pa.list_(pa.float32())),
            ("topk_ids", pa.list_(pa.int32())),
            ("topk_logprobs", pa.list_(pa.float32())),
        ]
    )
    began = time.perf_counter()
    with pq.ParquetWriter(args.output, schema, compression="zstd") as writer:
        rows = []
        for first in range(0, len(sequences), args.batch_rows):
            rows += label(session, sequences[first : first + args.batch_rows], args.top_k)
            if len(rows) >= ROWS_PER_GROUP:
                write(writer, schema, rows)
                rows = []
        if rows:
            write(writer, schema, rows)
    seconds = time.perf_counter() - began
    n_targets = len(sequences) * args.seq_len
    print(
        json.dumps(
            {
                "tokens_per_s": n_targets / seconds,
                "bytes_per_token": os.path.getsize(args.output) / n_targets,
            }
        )
    )


def label(session, sequences, top_k):
    (logits,) = session.run(None, {"input_ids": sequences[:, :-1].astype(np.int64)})
    targets = sequences[:, 1:].astype(np.int64)
    peak = logits.max(axis=-1, keepdims=True)
    logsumexp = peak + np.log(np.exp(logits - peak).sum(axis=-1, keepdims=True))
    ids = np.argpartition(logits, -top_k, axis=-1)[..., -top_k:]
    kept = np.take_along_axis(logits, ids, axis=-1)
    order = np.argsort(-kept, axis=-1)
    ids = np.take_along_axis(ids, order, axis=-1)
    logprobs = np.take_along_axis(kept, order, axis=-1) - logsumexp
    target_logprob = np.take_along_axis(logits, targets[..., None], axis=-1) - logsumexp
    return [
        (
            sequences[row].astype(np.int32),
            target_logprob[row].ravel(),
            ids[row].astype(np.int32).ravel(),
            logprobs[row].ravel(),
        )
        for row in range(len(sequences))
    ]


def write(writer, schema, rows):
    columns = [list(column) for column in zip(*rows)]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema)]
    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def open_session(args):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    return onnxruntime.InferenceSession(
        args.model, options, providers=["CPUExecutionProvider"]
    )


def read_sequences(args):
    tokens = np.memmap(args.tokens, dtype=args.dtype, offset=args.offset, mode="r")
    n_sequences = (len(tokens) - 1) // args.seq_len
    starts = np.arange(n_sequences) * args.seq_len
    return tokens[starts[:, None] + np.arange(args.seq_len + 1)]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("tokens")
    parser.add_argument("output")
    parser.add_argument("--top-k", type=int, required=True)
    parser.add_argument("--seq-len", type=int, required=True)
    parser.add_argument("--batch-rows", type=int, required=True)
    parser.add_argument("--dtype", default="uint16")
    parser.add_argument("--offset", type=int, default=0, help="bytes before the first token")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


if __name__ == "__main__":
    main()
