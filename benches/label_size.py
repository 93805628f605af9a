"""The size of labels on disk, for every candidate layout of the label columns, on real labels.

    saltworks label --teacher model.onnx --tokens train -o labels --seq-len 256 \
        --top-k 128 --round f32 --max-sequences 240
    python benches/label_size.py labels --teacher model.onnx --student other.onnx

Prints Markdown. Sizes are bytes per predicted position ("token") of compressed column chunks with their
page headers, in row groups and pages as in the shards. Needs numpy and pyarrow; --teacher (samples) and
--student (the effect of rounding on the KD loss) need onnxruntime, --readers needs duckdb, polars and
datasets.

Letters: R rows (sequences), N positions, K stored ids, V vocabulary.
"""

import argparse
import glob
import io
import json
import math
import os
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_RAW_BYTES = 16 << 20
PAGE_BYTES = 1 << 20
BSS, PLAIN, DELTA, DICT = "BYTE_STREAM_SPLIT", "PLAIN", "DELTA_BINARY_PACKED", "DICTIONARY"
N_DRAWS = 50
STATS = ["target_logprob", "entropy", "logsumexp"]


# ---- labels ---------------------------------------------------------------------------------------------------------


class Labels:
    """The first rows of a label directory that was written unrounded, with K as large as the largest studied."""

    def __init__(self, path, n_rows):
        plan = json.load(open(os.path.join(path, "plan.json")))
        if plan["signals"]["rounding"] != "f32":
            raise SystemExit(f"{path} is rounded to {plan['signals']['rounding']}: label with --round f32")
        files = sorted(glob.glob(os.path.join(path, "positions", "*.parquet")))
        table = pa.concat_tables([pq.read_table(file) for file in files])
        full = np.array([len(ids) == plan["sequences"]["seq_len"] + 1 for ids in table["input_ids"]])
        self.table = table.filter(pa.array(full)).slice(0, n_rows)
        self.vocab_size = plan["teacher"]["vocab_size"]
        self.max_k = plan["signals"]["top_k"]
        self.n_rows = len(self.table)
        self.row_len = plan["sequences"]["seq_len"]
        self.n = self.n_rows * self.row_len

    def flat(self, column):
        return self.table[column].combine_chunks().flatten().to_numpy()

    def top(self, k):
        """ids [N, k], log-probabilities [N, k] in nats, tail mass [N], as a set of K = k would hold them."""
        shape = (self.n, self.max_k)
        ids = self.flat("topk_ids").reshape(shape)
        logprobs = self.flat("topk_logprobs").reshape(shape)
        dropped = np.exp(logprobs[:, k:].astype(np.float64)).sum(axis=1)
        return ids[:, :k], logprobs[:, :k], (self.flat("tail_mass") + dropped).astype(np.float32)

    def rows_per_group(self, k):
        return max(1, int(ROW_GROUP_RAW_BYTES / (100 + self.row_len * (4 + 14 + 8 * k + 4))))


# ---- sizes ----------------------------------------------------------------------------------------------------------


def list_array(values, n_rows, offsets=None):
    values = np.ascontiguousarray(values).ravel()
    if offsets is None:
        offsets = np.linspace(0, len(values), n_rows + 1)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))


def write(sink, columns, encodings, level, rows_per_group):
    """Writes `columns` (name -> list array) with an encoding each."""
    split = {f"{name}.list.element": enc for name, enc in encodings.items() if enc != DICT}
    by_dictionary = [f"{name}.list.element" for name, enc in encodings.items() if enc == DICT]
    pq.write_table(
        pa.table(columns),
        sink,
        compression="zstd",
        compression_level=level,
        data_page_size=PAGE_BYTES,
        row_group_size=rows_per_group,
        write_statistics=False,
        use_dictionary=by_dictionary or False,
        column_encoding=split or None,
    )


def size(labels, values, k, encoding=BSS, level=3, offsets=None):
    """Bytes a token of one list column."""
    buffer = io.BytesIO()
    column = list_array(values, labels.n_rows, offsets)
    write(buffer, {"x": column}, {"x": encoding}, level, labels.rows_per_group(k))
    buffer.seek(0)
    meta = pq.ParquetFile(buffer).metadata
    chunks = [meta.row_group(i).column(0) for i in range(meta.num_row_groups)]
    return sum(chunk.total_compressed_size for chunk in chunks) / labels.n


# ---- rounding -------------------------------------------------------------------------------------------------------


def to_mantissa(bits):
    """Nearest f32 (ties to even) with `bits` explicit mantissa bits; 7 is bfloat16."""
    drop = 23 - bits

    def apply(values):
        word = values.astype(np.float32).view(np.uint32).astype(np.uint64)
        half = (1 << (drop - 1)) - 1 + ((word >> drop) & 1)
        return (((word + half) >> drop) << drop).astype(np.uint32).view(np.float32)

    return apply


def to_grid(per_nat):
    return lambda values: (np.round(values.astype(np.float64) * per_nat) / per_nat).astype(np.float32)


ROUNDINGS = {
    "f32": lambda values: values,
    "f16": lambda values: values.astype(np.float16).astype(np.float32),
    "bf16": to_mantissa(7),
    "m6": to_mantissa(6),
    "m5": to_mantissa(5),
    "m4": to_mantissa(4),
    "grid 1/64": to_grid(64),
    "grid 1/32": to_grid(32),
    "grid 1/16": to_grid(16),
    "grid 1/8": to_grid(8),
    "grid 1/4": to_grid(4),
}


def distillkit(logprobs, n_exact, powers):
    """DistillKit's layouts: the best in bf16, the others as a sum of powers of their rank, least squares a position."""
    n_fitted = logprobs.shape[1] - n_exact
    exact = to_mantissa(7)(logprobs[:, :n_exact])
    if n_fitted <= 0:
        return exact
    rank = np.arange(n_fitted, dtype=np.float64) / n_fitted
    terms = np.stack([rank**power for power in powers], axis=1)
    fitted = logprobs[:, n_exact:].astype(np.float64) @ np.linalg.pinv(terms).T @ terms.T
    return np.concatenate([exact, fitted.astype(np.float32)], axis=1)


def distillkit_bytes(k, vocab_size, n_exact, powers):
    """The best in bf16, the coefficients in f32, ids in ceil(log2 V) bits."""
    return 2 * min(n_exact, k) + 4 * len(powers) + math.ceil(k * math.ceil(math.log2(vocab_size)) / 8)


# Its README's "budget pick" and "recommended configuration": how many are exact, and the powers fitted to the others.
DISTILLKIT = {"budget": (1, (0, 1, 0.5)), "recommended": (16, (0, 1, 2, 3, 4, 0.5))}


# ---- errors ---------------------------------------------------------------------------------------------------------


def with_tail(logprobs, tail):
    """[N, K + 1] probabilities: kept ones rescaled to make 1 - tail, as the trainer does, then the tail."""
    p = np.exp(logprobs.astype(np.float64))
    tail = tail.astype(np.float64)[:, None]
    return np.concatenate([p * (1 - tail) / p.sum(axis=1, keepdims=True), tail], axis=1)


def kl(p, q):
    """[N] KL(p || q) in nats."""
    return np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / np.maximum(q, 1e-300)), 0).sum(axis=1)


def errors(logprobs, tail, stored, stored_tail=None):
    p, q = with_tail(logprobs, tail), with_tail(stored, tail if stored_tail is None else stored_tail)
    divergence = kl(p, q)
    return {
        "kl": divergence.mean(),
        "kl_max": divergence.max(),
        "tv": np.abs(p - q).sum(axis=1).mean() / 2,
        "mass": np.abs(np.exp(stored.astype(np.float64)).sum(axis=1) + tail - 1).max(),
    }


# ---- models ---------------------------------------------------------------------------------------------------------


def log_softmax_rows(model, labels, n_rows):
    """Yields (row, [T, V] log-probabilities in f64) of the first rows."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    ids = labels.flat("input_ids").reshape(labels.n_rows, -1)
    dtypes = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    for row in range(n_rows):
        tokens = ids[row : row + 1, :-1]
        positions = np.arange(tokens.shape[1])[None]
        made = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "position_ids": positions}
        feeds = {x.name: made[x.name].astype(dtypes[x.type]) for x in session.get_inputs()}
        logits = session.run(["logits"], feeds)[0][0].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        yield row, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def draw(logprobs, rng):
    """N_DRAWS ids a position from the full softmax: lists of (rising distinct ids, counts)."""
    cumulative = np.exp(logprobs).cumsum(axis=1)
    cumulative /= cumulative[:, -1:]
    points = rng.random((len(logprobs), N_DRAWS))
    ids = [np.searchsorted(row, at, side="right") for row, at in zip(cumulative, points)]
    return [np.unique(np.minimum(x, logprobs.shape[1] - 1), return_counts=True) for x in ids]


def kd_loss(target, logq_kept, logq_tail):
    """[N] tail-bucket KD loss of targets [N, K + 1] against a student's log-probabilities of the same buckets."""
    return kl(target, np.exp(np.concatenate([logq_kept, logq_tail[:, None]], axis=1)))


def student_buckets(model, labels, k, n_rows):
    """A student's log-probabilities of the kept ids and of the rest: [n, k], [n]."""
    ids = labels.top(k)[0].reshape(labels.n_rows, labels.row_len, k)
    kept, tail = [], []
    for row, logq in log_softmax_rows(model, labels, n_rows):
        q = np.take_along_axis(logq, ids[row].astype(np.int64), axis=1)
        np.put_along_axis(logq, ids[row].astype(np.int64), -np.inf, axis=1)
        kept.append(q)
        tail.append(np.log(np.exp(logq).sum(axis=1)))
    return np.concatenate(kept), np.concatenate(tail)


# ---- tables ---------------------------------------------------------------------------------------------------------


def print_table(title, header, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join("---" for _ in header) + " |")
    for row in rows:
        print("| " + " | ".join(x if isinstance(x, str) else f"{x:.2f}" for x in row) + " |", flush=True)


def values_table(labels, k):
    _, logprobs, tail = labels.top(k)
    rows = []
    for name, rounding in ROUNDINGS.items():
        stored = rounding(logprobs)
        e = errors(logprobs, tail, stored)
        sizes = [size(labels, stored, k, BSS, level) for level in (1, 3, 9, 19)]
        sizes += [size(labels, stored, k, PLAIN, 9), size(labels, stored, k, DICT, 9)]
        rows.append([name, f"{e['kl']:.1e}", f"{e['kl_max']:.1e}", f"{e['tv']:.4f}", f"{e['mass']:.4f}", *sizes])
    header = ["rounding", "KL, nats", "largest", "TV", "mass off by", *[f"BSS, zstd {x}" for x in (1, 3, 9, 19)]]
    print_table(f"topk_logprobs, K = {k}: f32 values, falling", header + ["PLAIN, 9", "dictionary, 9"], rows)


def steps_table(labels, k):
    """Integers in units of a step, absolute and as differences to the rank before."""
    _, logprobs, _ = labels.top(k)
    rows = []
    for per_nat in (8, 16, 32):
        units = np.round(-logprobs.astype(np.float64) * per_nat).astype(np.int32)
        for name, values in [("absolute", units), ("differences", np.diff(units, axis=1, prepend=0))]:
            sizes = [size(labels, values, k, encoding, 9) for encoding in (BSS, PLAIN, DELTA, DICT)]
            transposed = size(labels, by_rank(labels, values), k, BSS, 9)
            rows.append([f"1/{per_nat}, {name}", *sizes, transposed])
    print_table(f"topk_logprobs, K = {k}: integers, zstd 9", ["step", BSS, PLAIN, DELTA, DICT, "BSS, rank-major"], rows)


def by_rank(labels, values):
    """Rank-major in each sequence: all entries of rank 0, then of rank 1, ..."""
    return values.reshape(labels.n_rows, labels.row_len, -1).transpose(0, 2, 1)


def tied_by_id(ids, stored):
    """ids with every run of equal stored log-probabilities rising."""
    return np.take_along_axis(ids, np.lexsort((ids, -stored), axis=1), axis=1)


def by_frequency(ids):
    """ids renamed so that 0 is the most frequent of this set."""
    counts = np.bincount(ids.ravel())
    names = np.empty(len(counts), np.uint32)
    names[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return names[ids]


def entropy_bytes(ids, k):
    p = np.bincount(ids.ravel()) / ids.size
    return -(p[p > 0] * np.log2(p[p > 0])).sum() * k / 8


def ids_table(labels, k):
    ids, logprobs, _ = labels.top(k)
    rising = np.sort(ids, axis=1)
    order = np.argsort(ids, axis=1)
    follows = np.take_along_axis(ROUNDINGS["m5"](logprobs), order, axis=1)
    layouts = {
        "falling logit": ids,
        "falling logit, u16": ids.astype(np.uint16),
        "ties of m5 by id": tied_by_id(ids, ROUNDINGS["m5"](logprobs)),
        "ties of m4 by id": tied_by_id(ids, ROUNDINGS["m4"](logprobs)),
        "falling, rank-major": by_rank(labels, ids),
        "falling, named by frequency": by_frequency(ids),
        "rising": rising,
        "rising, differences": np.diff(rising, axis=1, prepend=0).astype(np.uint32),
        "rising, named by frequency": np.sort(by_frequency(ids), axis=1),
        "(log-probabilities m5 that follow rising ids)": follows,
    }
    rows = []
    for name, values in layouts.items():
        sizes = [size(labels, values, k, BSS, level) for level in (1, 3, 9, 19)]
        sizes += [size(labels, values, k, encoding, 9) for encoding in (PLAIN, DICT)]
        as_int = values.astype(np.int32) if values.dtype != np.float32 else None
        rows.append([name, *sizes, "" if as_int is None else size(labels, as_int, k, DELTA, 9)])
    header = ["order", *[f"BSS, zstd {x}" for x in (1, 3, 9, 19)], "PLAIN, 9", "dictionary, 9", "delta, 9"]
    print_table(f"topk_ids, K = {k}", header, rows)
    near = np.mean([len(np.intersect1d(ids[i], ids[i - 1], assume_unique=True)) for i in range(1, min(labels.n, 5000))])
    print(f"\nEntropy of single ids: {entropy_bytes(ids, k):.2f} B/token.")
    print(f"Shared with the position before: {near:.1f} of {k}.")


def small_table(labels, k):
    columns = {"tail_mass": labels.top(k)[2], **{name: labels.flat(name) for name in STATS}}
    bits = {"f32": ROUNDINGS["f32"], **{f"m{b}": to_mantissa(b) for b in (15, 12, 10, 7)}}
    sizes = {name: [size(labels, r(x), k, BSS, 9) for r in bits.values()] for name, x in columns.items()}
    rows = [[name, *row] for name, row in sizes.items()]
    print_table(f"other columns, K = {k}, BSS, zstd 9", ["column", *bits], rows)
    offsets = np.arange(labels.n_rows + 1) * (labels.row_len + 1)
    rank = size(labels, labels.flat("target_rank"), k, BSS, 9)
    tokens = size(labels, labels.flat("input_ids"), k, BSS, 9, offsets)
    print(f"\ntarget_rank {rank:.2f}, input_ids {tokens:.2f} B/token.")


def distillkit_cell(labels, k, n_exact, powers):
    _, logprobs, tail = labels.top(k)
    e = errors(logprobs, tail, distillkit(logprobs, n_exact, powers))
    return f"{distillkit_bytes(k, labels.vocab_size, n_exact, powers)} ({e['kl']:.1e}, {e['kl_max']:.1e})"


def totals_row(labels, k, level):
    ids, logprobs, tail = labels.top(k)
    stored, stored_tail = ROUNDINGS["m5"](logprobs), to_mantissa(10)(tail)
    parts = [size(labels, values, k, BSS, level) for values in (ids, stored, stored_tail)]
    before = sum(size(labels, values, k, BSS, 3) for values in (ids, ROUNDINGS["f16"](logprobs), tail))
    order = np.argsort(ids, axis=1)
    by_id = [np.take_along_axis(values, order, axis=1) for values in (ids, stored)]
    rising = sum(size(labels, values, k, BSS, level) for values in by_id) + parts[2]
    e = errors(logprobs, tail, stored, stored_tail)
    theirs = [distillkit_cell(labels, k, *layout) for layout in DISTILLKIT.values()]
    total = f"**{sum(parts):.1f}**"
    off = [f"{e['kl']:.1e}", f"{e['kl_max']:.1e}"]
    return [str(k), before, *parts, total, rising, *off, *theirs, str(5 * k)]


def totals_table(labels, level):
    header = ["K", "f16, zstd 3", "ids", "logprobs m5", "tail m10", "together", "ids rising", "KL, nats", "largest"]
    header += [f"DistillKit {name} (KL, largest)" for name in DISTILLKIT] + ["Megatron, before zstd"]
    rows = [totals_row(labels, k, level) for k in (16, 50, 64, 128) if k <= labels.max_k]
    print_table(f"topk columns, V = {labels.vocab_size}, zstd {level}, B/token", header, rows)


def sample_columns(drawn, n_rows):
    """Columns of the draws: name -> (values, offsets of the rows in them or None where rows are equally long)."""
    lengths = np.array([len(ids) for ids, _ in drawn]).reshape(n_rows, -1)
    ids = np.concatenate([ids for ids, _ in drawn]).astype(np.uint32)
    counts = np.concatenate([counts for _, counts in drawn])
    row_starts = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
    position_starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    differences = np.diff(ids.astype(np.int64), prepend=0)
    differences[position_starts] = ids[position_starts]
    offsets = np.concatenate([np.zeros((n_rows, 1), int), np.cumsum(lengths, axis=1)], axis=1)
    return {
        "ids, rising": (ids, row_starts),
        "ids, differences in a position": (differences.astype(np.uint32), row_starts),
        "counts, u16": (counts.astype(np.uint16), row_starts),
        "counts, u8": (counts.astype(np.uint8), row_starts),
        "offsets, T + 1": (offsets.astype(np.uint32), None),
        "lengths, T": (lengths.astype(np.uint16), None),
    }


def samples_table(labels, model, n_rows):
    rng = np.random.default_rng(0)
    drawn = [pair for _, logp in log_softmax_rows(model, labels, n_rows) for pair in draw(logp, rng)]
    part = argparse.Namespace(n_rows=n_rows, n=len(drawn), rows_per_group=labels.rows_per_group)
    rows, at_9 = [], {}
    for name, (values, at) in sample_columns(drawn, n_rows).items():
        sizes = [size(part, values, N_DRAWS, BSS, level, at) for level in (3, 9, 19)]
        at_9[name] = sizes[1]
        sizes += [size(part, values, N_DRAWS, encoding, 9, at) for encoding in (PLAIN, DICT)]
        sizes.append(size(part, values.astype(np.int32), N_DRAWS, DELTA, 9, at))
        rows.append([name, *sizes])
    mean = np.mean([len(ids) for ids, _ in drawn])
    header = ["column", "BSS, zstd 3", "BSS, 9", "BSS, 19", "PLAIN, 9", "dictionary, 9", "delta, 9"]
    print_table(f"samples, N = {N_DRAWS}, tau 1: B/token ({mean:.2f} distinct ids a position)", header, rows)
    total = sum(at_9[name] for name in ("ids, rising", "counts, u16", "offsets, T + 1"))
    print(f"\nids rising + counts + offsets, BSS, zstd 9: {total:.2f} B/token, {total / mean:.2f} B a distinct id.")


def student_table(labels, model, k, n_rows):
    kept, rest = student_buckets(model, labels, k, n_rows)
    _, logprobs, tail = (x[: len(kept)] for x in labels.top(k))
    exact = kd_loss(with_tail(logprobs, tail), kept, rest)
    gradient = np.abs(with_tail(logprobs, tail)[:, :-1] - np.exp(kept)).sum(axis=1).mean()
    layouts = {name: rounding(logprobs) for name, rounding in ROUNDINGS.items() if name != "f32"}
    for name, layout in DISTILLKIT.items():
        layouts[f"DistillKit {name}"] = distillkit(logprobs, *layout)
    rows = []
    for name, stored in layouts.items():
        moved = kd_loss(with_tail(stored, tail), kept, rest) - exact
        off = 2 * errors(logprobs, tail, stored)["tv"]
        rows.append([name, f"{moved.mean():+.1e}", f"{np.abs(moved).mean():.1e}", f"{off / gradient:.2%}"])
    print_table(f"tail-bucket KD loss of a student, K = {k}: exactly {exact.mean():.4f} nats",
                ["rounding", "change of the mean", "mean change of a position", "gradient (L1) off by"], rows)


def tempered(logprobs, log_partition, tau):
    """[N, K + 1] targets at another temperature as the trainer makes them: no rescaling, the tail is what is left."""
    p = np.exp(logprobs.astype(np.float64) / tau - log_partition[:, None])
    p /= np.maximum(p.sum(axis=1, keepdims=True), 1)
    return np.concatenate([p, np.maximum(1 - p.sum(axis=1, keepdims=True), 0)], axis=1)


def tempered_table(labels, model, k, n_rows, tau=2.0):
    partitions = [np.log(np.exp(logp / tau).sum(axis=1)) for _, logp in log_softmax_rows(model, labels, n_rows)]
    log_partition = np.concatenate(partitions)
    logprobs = labels.top(k)[1][: len(log_partition)]
    exact = tempered(logprobs, log_partition, tau)
    rows = []
    for name in ("f16", "bf16", "m6", "m5", "m4"):
        off = kl(exact, tempered(ROUNDINGS[name](logprobs), log_partition, tau))
        rows.append([name, f"{off.mean():.1e}", f"{off.max():.1e}"])
    print_table(f"targets at tau = {tau:g}, K = {k}", ["rounding", "KL, nats", "largest"], rows)


# ---- readers --------------------------------------------------------------------------------------------------------


def read_duckdb(path):
    import duckdb
    return duckdb.sql(f"select x from read_parquet('{path}')").fetchall()[0][0]


def read_polars(path):
    import polars
    return polars.read_parquet(path)["x"][0].to_list()


def read_datasets(path):
    import datasets
    cache = tempfile.mkdtemp()
    datasets.disable_progress_bars()
    return datasets.load_dataset("parquet", data_files=path, cache_dir=cache, split="train")[0]["x"]


def read_pyarrow(path):
    return pq.read_table(path)["x"][0].as_py()


READERS = {"pyarrow": read_pyarrow, "duckdb": read_duckdb, "polars": read_polars, "datasets": read_datasets}


def opens(reader, path, expected):
    try:
        return "yes" if list(reader(path)) == expected else "WRONG VALUES"
    except Exception as error:  # a refusal, of whatever type, is what is looked for
        return f"no: {type(error).__name__}"


def readers_table():
    values = np.arange(-64, 64)
    dtypes = [np.float32, np.float16, np.uint32, np.uint16, np.uint8, np.int8]
    cases = [(dtype, encoding) for dtype in dtypes for encoding in (BSS, PLAIN, DELTA, DICT)]
    cases = [(d, e) for d, e in cases if not (e == DELTA and np.issubdtype(d, np.floating))]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype, encoding in cases:
            path = os.path.join(folder, f"{np.dtype(dtype).name}-{encoding}.parquet")
            data = values.astype(dtype) if dtype != np.uint8 else (values + 64).astype(dtype)
            write(path, {"x": list_array(data, 1)}, {"x": encoding}, 3, 1)
            rows.append([np.dtype(dtype).name, encoding, *[opens(r, path, data.tolist()) for r in READERS.values()]])
    print_table("readers", ["type", "encoding", *READERS], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", help="label directory, made with --round f32 and the largest K studied")
    parser.add_argument("--rows", type=int, default=200, help="sequences to study")
    parser.add_argument("--top-k", type=int, default=50, help="K of the tables of single columns")
    parser.add_argument("--zstd-level", type=int, default=3, help="level of the totals")
    parser.add_argument("--teacher", help="ONNX file that made the labels: adds the samples")
    parser.add_argument("--student", help="ONNX file of another model of the vocabulary: adds the KD loss")
    parser.add_argument("--model-rows", type=int, default=60, help="sequences that the models see")
    parser.add_argument("--readers", action="store_true", help="which readers open which encoding")
    args = parser.parse_args()
    labels = Labels(args.labels, args.rows)
    print(f"V = {labels.vocab_size}, {labels.n} positions of {labels.n_rows} sequences")
    values_table(labels, args.top_k)
    steps_table(labels, args.top_k)
    ids_table(labels, args.top_k)
    small_table(labels, args.top_k)
    totals_table(labels, args.zstd_level)
    n_model_rows = min(args.model_rows, labels.n_rows)
    if args.teacher:
        samples_table(labels, args.teacher, n_model_rows)
        tempered_table(labels, args.teacher, args.top_k, n_model_rows)
    if args.student:
        student_table(labels, args.student, args.top_k, n_model_rows)
    if args.readers:
        readers_table()


if __name__ == "__main__":
    main()
