"""Writing: labels of another engine are those of the program, and what cannot be is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import K, T, V, label

import saltworks_lm as sl
from saltworks_lm import Engine, Labels, LabelWriter, Samples, signals_of_logits

ENGINE = Engine("numpy", np.__version__, "the bigram table of the tests")
SAMPLES = Samples(n_draws=12, tau=0.8, seed=5)
OPTIONS = {"top_k": K, "temperatures": [2.0, 0.5], "shard_bytes": 60000}
ARGUMENTS = ("--samples", "12", "--samples-tau", "0.8", "--samples-seed", "5", "--temperatures", "2,0.5")


def writer_of(made: Path, output: Path, **options) -> LabelWriter:
    options = {"groups": ("stats", "topk", "samples"), "samples": SAMPLES, **OPTIONS, **options}
    return LabelWriter(output, made / "tokens", ENGINE, vocab_size=V, seq_len=T, **options)


def write_all(writer: LabelWriter, table: np.ndarray, most: int | None = None) -> int:
    n = 0
    for row in itertools.islice(writer.todo(), most):
        writer.write_logits(row, table[row.inputs])
        n += 1
    return n


@pytest.fixture(scope="module")
def table(made: Path) -> np.ndarray:
    return np.load(made / "table.npy")


@pytest.fixture(scope="module")
def by_program(made: Path) -> Labels:
    return Labels(label(made, "by-program", *ARGUMENTS, "--shard-bytes", "60000"))


def test_the_labels_are_those_of_the_program(made: Path, tmp_path: Path, table: np.ndarray, by_program: Labels) -> None:
    with writer_of(made, tmp_path / "labels") as writer:
        assert write_all(writer, table) == len(by_program)
    labels = Labels(tmp_path / "labels")
    assert "sound" in labels.verify()
    assert not list(tmp_path.glob("*.writing"))
    assert labels.plan.raw["teacher"]["engine"] == {"name": "numpy", "version": np.__version__, "model": ENGINE.model}
    assert labels.plan.required_features == ("samples", "engine")
    assert labels.seq_ids.tolist() == by_program.seq_ids.tolist()
    assert labels.group_sizes.tolist() == by_program.group_sizes.tolist()
    n_other_draws = 0
    for ours, theirs in zip(labels, by_program, strict=True):
        for name in ("input_ids", "doc_starts", "doc_indices", "target_rank", "topk_ids"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
        for name in ("target_logprob", "entropy", "logsumexp", "tail_mass"):
            assert np.allclose(getattr(ours, name), getattr(theirs, name), atol=1e-4, rtol=2.0**-10), name
        # A number between two rounded ones may go to either.
        assert np.allclose(ours.topk_logprobs, theirs.topk_logprobs, atol=1e-4, rtol=2.0**-5)
        assert (ours.topk_logprobs == theirs.topk_logprobs).mean() > 0.99
        for tau in (2.0, 0.5):
            assert np.allclose(ours.log_partitions[tau], theirs.log_partitions[tau], atol=1e-4)
        n_other_draws += not np.array_equal(ours.sampled_ids, theirs.sampled_ids)
        for name, value in ours.scores.items():
            assert value == pytest.approx(theirs.scores[name], abs=1e-4), name
    # A draw on a border of two ids may fall to either.
    assert n_other_draws <= 0.01 * len(labels)


def test_files_are_encoded_like_the_programs(made: Path, tmp_path: Path, table: np.ndarray, by_program: Labels) -> None:
    with writer_of(made, tmp_path / "labels") as writer:
        write_all(writer, table)
    for kind in ("scores", "positions"):
        ours, theirs = (pq.read_metadata(root / kind / "part-00000.parquet") for root in (writer.path, by_program.path))
        assert ours.schema.equals(theirs.schema)
        assert ours.metadata.keys() == theirs.metadata.keys()
        for column in range(ours.num_columns):
            assert ours.row_group(0).column(column).encodings == theirs.row_group(0).column(column).encodings


def test_an_interrupted_writer_goes_on_where_it_was(made: Path, tmp_path: Path, table: np.ndarray) -> None:
    whole = tmp_path / "whole"
    with writer_of(made, whole) as writer:
        n = write_all(writer, table)
    broken = tmp_path / "broken"
    with pytest.raises(RuntimeError, match="stop"), writer_of(made, broken) as writer:
        write_all(writer, table, most=n // 2)
        raise RuntimeError("stop")
    with pytest.raises(sl.NotFinishedError):
        Labels(broken)
    assert not list(tmp_path.glob("*.writing"))
    with writer_of(made, broken) as writer:
        left = write_all(writer, table)
    assert 0 < left < n
    for path in whole.rglob("*.parquet"):
        assert path.read_bytes() == (broken / path.relative_to(whole)).read_bytes()
    with writer_of(made, broken) as writer:
        assert list(writer.todo()) == []


def test_batches_in_any_order_are_accepted(made: Path, tmp_path: Path, table: np.ndarray) -> None:
    with writer_of(made, tmp_path / "labels", groups=("topk",), samples=None, packing="document") as writer:
        todo = writer.todo()
        while batch := list(itertools.islice(todo, 50)):
            for row in reversed(batch):
                writer.write_logits(row.seq_id, table[row.inputs])
    assert "sound" in sl.verify(tmp_path / "labels")


def test_tasks_share_a_set(made: Path, tmp_path: Path, table: np.ndarray) -> None:
    for task in ("0/2", "1/2"):
        with writer_of(made, tmp_path / "labels", task=task) as writer:
            write_all(writer, table)
    assert not (tmp_path / "labels.writing").exists()
    sl.programs.run_saltworks("finalize", str(tmp_path / "labels"))
    assert "sound" in sl.verify(tmp_path / "labels")


def test_arrays_of_an_engine_are_taken_as_they_are(made: Path, tmp_path: Path, table: np.ndarray) -> None:
    """As an engine gives them that has a normaliser and no logits: no `logsumexp`, so no group `stats`."""
    with writer_of(made, tmp_path / "labels", groups=("topk",), samples=None, top_k=12, temperatures=[]) as writer:
        for row in writer.todo():
            fields = signals_of_logits(table[row.inputs], row.targets, top_k=12)
            del fields["logsumexp"], fields["score_topk_mass"]
            writer.write(row, **fields)
    labels = Labels(tmp_path / "labels")
    assert "sound" in labels.verify()
    assert labels.groups == ("scores", "topk")
    assert 0 < labels[0].scores["score_mean_topk_mass"] < 1


def test_selection_and_trainer_accept_them(made: Path, tmp_path: Path, table: np.ndarray) -> None:
    with writer_of(made, tmp_path / "labels") as writer:
        write_all(writer, table)
    run = sl.programs.run_saltworks
    run("select", str(writer.path), "--policy", "top", "--fraction", "0.5", "--output", str(tmp_path / "s.parquet"))
    assert len(Labels(writer.path).select(tmp_path / "s.parquet")) == -(-len(Labels(writer.path)) // 2)
    assert "numpy" in (writer.path / "README.md").read_text()


@pytest.fixture
def open_writer(made: Path, tmp_path: Path):
    writer = writer_of(made, tmp_path / "labels", temperatures=[])
    yield writer
    writer._drop()


@pytest.fixture
def good(open_writer: LabelWriter, table: np.ndarray):
    row = next(open_writer.todo())
    fields = signals_of_logits(table[row.inputs], row.targets, top_k=K, samples=SAMPLES, seq_id=row.seq_id)
    return row, fields


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("topk_ids", lambda a: a + V, r"topk_ids contains \d+, expected 0 to 299"),
        ("topk_ids", lambda a: a[:, :3], r"topk_ids has the shape \(32, 3\), expected \(32, 8\)"),
        ("topk_ids", lambda a: a.astype(float), "topk_ids has dtype float64, expected integers"),
        ("topk_ids", lambda a: np.repeat(a[:, :1], K, 1), "topk_ids contains an id twice"),
        ("topk_logprobs", lambda a: a + 1.0, "log-probabilities are at most 0 nats"),
        ("topk_logprobs", lambda a: a / 2, "sum to .* more than 1: give log-probabilities under the full softmax"),
        ("topk_logprobs", lambda a: a - 1.0, "sum to .* less than 1"),
        ("topk_logprobs", lambda a: a[:, ::-1], "topk_logprobs increase, expected descending"),
        ("topk_logprobs", lambda a: a * np.nan, "contains NaN"),
        ("tail_mass", lambda a: a + 2.0, r"expected a fraction in \[0, 1\]"),
        ("target_logprob", lambda a: a[1:], r"target_logprob has the shape \(31,\), expected \(32,\)"),
        ("target_logprob", lambda a: a.astype(int), "expected floats"),
        ("target_rank", lambda a: -a.astype(int) - 1, "target_rank contains -"),
        ("entropy", lambda a: a + np.inf, r"entropy contains NaN or \+inf"),
        ("sampled_ids", lambda a: a + V, "sampled_ids contains"),
    ],
)
def test_invalid_labels_are_refused_at_once(open_writer: LabelWriter, good, name, change, message) -> None:
    row, fields = good
    with pytest.raises(ValueError, match=f"sequence {row.seq_id}.*{message}"):
        open_writer.write(row, **(fields | {name: change(fields[name])}))
    open_writer.write(row, **fields)
    with pytest.raises(sl.MismatchError, match="was already written"):
        open_writer.write(row, **fields)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tail_mass", "the group topk needs tail_mass, .*normaliser.*write without the group topk"),
        ("logsumexp", "the group stats needs logsumexp"),
        ("entropy", "the group scores needs entropy, and it is over the whole vocabulary"),
        ("sampled_counts", "the group samples needs sampled_counts"),
        ("score_topk_mass", "follows from topk_logprobs where K >= 10"),
    ],
)
def test_groups_that_an_engine_cannot_provide_are_refused_by_name(
    open_writer: LabelWriter, good, name, message
) -> None:
    row, fields = good
    del fields[name]
    with pytest.raises(sl.MissingGroupError, match=message):
        open_writer.write(row, **fields)


def test_draws_that_do_not_sum_to_n_are_refused_by_the_program(made: Path, tmp_path: Path, table: np.ndarray) -> None:
    writer = writer_of(made, tmp_path / "labels")

    def write_one_wrong() -> None:
        for row in writer.todo():
            fields = signals_of_logits(
                table[row.inputs], row.targets, top_k=K, temperatures=(2.0, 0.5), samples=SAMPLES, seq_id=row.seq_id
            )
            fields["sampled_counts"][3] += 1
            partitions = {tau: fields.pop(f"log_partition_{x}") for x, tau in enumerate((2.0, 0.5))}
            writer.write(row, log_partitions=partitions, **fields)

    with pytest.raises(sl.ProgramError, match="sampled_counts|draws") as failed:
        write_one_wrong()
    assert failed.value.exit_code in (1, 3)
    writer._drop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["entropy"]), "there is no column entropy"),
        (lambda t: t.set_column(0, "seq_id", t["seq_id"].cast("int64")), "no column seq_id of uint64"),
        (lambda t: t.slice(1), r"row group 0 has \d+ rows, expected"),
        (lambda t: t.take([1, 0, *range(2, len(t))]), r"row 0 of row group 0 \(sequence \d+\): it is sequence"),
        (lambda t: t.set_column(1, "target_logprob", t["target_rank"]), "expected a list of Float64"),
        (lambda t: t.set_column(1, "target_logprob", t["topk_logprobs"].cast(t["entropy"].type)), "items, expected 32"),
    ],
)
def test_rows_that_are_not_the_shards_are_refused_by_the_program(
    made: Path, tmp_path: Path, table: np.ndarray, monkeypatch, change, message: str
) -> None:
    writer = writer_of(made, tmp_path / "labels", groups=("topk",), samples=None, temperatures=[])
    published = LabelWriter._import

    def changed(self, *arguments: str) -> dict:
        if "--rows" in arguments:
            rows = pq.ParquetFile(arguments[-1])
            sizes = [rows.metadata.row_group(i).num_rows for i in range(rows.num_row_groups)]
            pq.write_table(change(rows.read()), arguments[-1], row_group_size=sizes[0])
        return published(self, *arguments)

    monkeypatch.setattr(LabelWriter, "_import", changed)
    with pytest.raises(sl.ProgramError, match=message) as failed:
        write_all(writer, table)
    assert failed.value.exit_code == 3
    assert not list((tmp_path / "labels").rglob("part-*"))
    writer._drop()


def test_an_extra_row_group_is_refused(made: Path, tmp_path: Path, table: np.ndarray, monkeypatch) -> None:
    writer = writer_of(made, tmp_path / "labels", groups=("topk",), samples=None, temperatures=[])
    published = LabelWriter._import

    def longer(self, *arguments: str) -> dict:
        if "--rows" in arguments:
            rows = pq.ParquetFile(arguments[-1])
            groups = [rows.read_row_group(i) for i in range(rows.num_row_groups)]
            with pq.ParquetWriter(arguments[-1], groups[0].schema) as file:
                for group in [*groups, groups[-1]]:
                    file.write_table(group)
        return published(self, *arguments)

    monkeypatch.setattr(LabelWriter, "_import", longer)
    with pytest.raises(sl.ProgramError, match=r"it has \d+ row groups, expected the \d+ of the plan's shard") as failed:
        write_all(writer, table)
    assert failed.value.exit_code == 3
    assert not list((tmp_path / "labels").rglob("part-*"))
    writer._drop()


def test_an_unfinished_set_and_another_engine_are_refused(made: Path, tmp_path: Path, table: np.ndarray) -> None:
    writer = writer_of(made, tmp_path / "labels")
    write_all(writer, table, most=3)
    with pytest.raises(sl.MismatchError, match="shards are still to be made, the next is 0"):
        writer.finish()
    with pytest.raises(sl.MismatchError, match="not among those that todo"):
        writer.write_logits(writer._import("--shard", "2")["row_groups"][0][0], table[:T])
    with pytest.raises(ValueError, match=r"are \(3, 300\), expected \[T, V\]"):
        writer.write_logits(next(writer.todo()), table[:3])
    writer._drop()
    with pytest.raises(sl.ProgramError, match="engine|fingerprint|vocab_size"):
        LabelWriter(
            tmp_path / "labels", made / "tokens", Engine("vllm", "1", "x"), vocab_size=V, seq_len=T, groups=("topk",)
        )
    with pytest.raises(sl.ProgramError, match="99"):
        LabelWriter(tmp_path / "small", made / "tokens", ENGINE, vocab_size=100, seq_len=T)
    with pytest.raises(sl.ProgramError, match="unknown field `top_q`"):
        writer_of(made, tmp_path / "odd", top_q=3)
    with pytest.raises(ValueError, match="go together"):
        writer_of(made, tmp_path / "odd", samples=None)
    with pytest.raises(ValueError, match="expected some of stats"):
        writer_of(made, tmp_path / "odd", groups=("all",))


def test_signals_follow_the_definition_with_ties_and_impossible_ids() -> None:
    rng = np.random.default_rng(1)
    logits = rng.integers(-2, 3, (40, 30)).astype(np.float32)
    logits[:, 7] = -np.inf
    targets = rng.integers(0, 7, 40)
    got = signals_of_logits(logits, targets, top_k=5, temperatures=[2.0], samples=Samples(50, 1.0, 3))
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    for t in range(40):
        order = sorted(range(30), key=lambda v, t=t: (-logits[t, v], v))
        assert got["topk_ids"][t].tolist() == order[:5]
        assert got["target_rank"][t] == order.index(targets[t])
        assert got["tail_mass"][t] == pytest.approx(p[t, order[5:]].sum())
        assert got["score_topk_mass"][t] == pytest.approx(p[t, order[:10]].sum())
        kept = p[t][p[t] > 0]
        assert got["entropy"][t] == pytest.approx(-(kept * np.log(kept)).sum())
        assert got["log_partition_0"][t] == pytest.approx(np.log((p[t] ** 0.5).sum()))
    assert np.diff(got["sample_offsets"]).min() > 0
    assert got["sampled_counts"].sum() == 40 * 50
    assert 7 not in got["sampled_ids"]
    with pytest.raises(ValueError, match=r"NaN or \+inf"):
        signals_of_logits(np.full_like(logits, np.nan), targets)


def test_draws_are_unbiased() -> None:
    logits = np.random.default_rng(2).normal(0, 1, (1, 20)).astype(np.float32)
    p = np.exp(logits[0].astype(np.float64))
    p /= p.sum()
    n, counts = 400, np.zeros(20)
    for seq_id in range(n):
        got = signals_of_logits(logits, [0], samples=Samples(50, 1.0, 3), seq_id=seq_id)
        counts[got["sampled_ids"]] += got["sampled_counts"]
    assert (np.abs(counts / (50 * n) - p) < 4 * np.sqrt(p * (1 - p) / (50 * n))).all()


def test_the_specification_is_in_the_plan(made: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    model.write_bytes(b"weights")
    engine = Engine("vllm", "0.1", "m", files=(model,))
    writer = LabelWriter(tmp_path / "labels", made / "tokens", engine, vocab_size=V, seq_len=T, groups=())
    plan = json.loads((tmp_path / "labels/plan.json").read_text())
    assert plan["teacher"]["files"][0]["name"] == "model.bin"
    assert plan["signals"]["groups"] == ["scores"]
    writer._drop()
