"""Reading: what the program wrote comes back, joined, selected, nested; what is wrong is named."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import EOD, FIXTURES, K, T, V, documents, label, write_megatron

import saltworks_lm as sl
from saltworks_lm import Labels
from saltworks_lm.programs import run_saltworks


def everything(root: Path) -> dict[int, dict]:
    """All rows by pyarrow alone: the slow reference."""
    rows: dict[int, dict] = {}
    for kind in ("scores", "positions"):
        for path in sorted((root / kind).glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                rows.setdefault(row["seq_id"], {}).update(row)
    return rows


def assert_is_row(row: sl.Row, wanted: dict, top_k: int) -> None:
    for name in ("input_ids", "doc_starts", "doc_indices", "target_logprob", "target_rank", "entropy", "logsumexp"):
        assert getattr(row, name).tolist() == wanted[name], name
    assert row.topk_ids.tolist() == np.reshape(wanted["topk_ids"], (-1, top_k)).tolist()
    assert row.topk_logprobs.ravel().tolist() == wanted["topk_logprobs"]
    assert row.tail_mass.tolist() == wanted["tail_mass"]
    for tau, values in row.log_partitions.items():
        assert values.tolist() == wanted[f"log_partition_tau_{tau:g}"]
    for name in ("sampled_ids", "sampled_counts", "sample_offsets"):
        assert getattr(row, name).tolist() == wanted[name], name
    for name, value in row.scores.items():
        assert value == wanted[name], name


def test_every_row_is_what_pyarrow_reads(made: Path) -> None:
    labels = Labels(made / "labels")
    wanted = everything(made / "labels")
    assert len(labels) == len(wanted) > 200
    assert len(labels.places) > 20
    assert labels.seq_ids.tolist() != sorted(labels.seq_ids.tolist())
    for i, row in enumerate(labels):
        assert row.seq_id == labels.seq_ids[i]
        assert set(row.log_partitions) == {2.0, 0.5}
        assert_is_row(row, wanted[row.seq_id], K)


def test_the_golden_set_reads_as_the_rust_writer_made_it() -> None:
    for name in ("labels", "labels-with-samples"):
        labels = Labels(FIXTURES / name)
        assert labels.seq_ids.tolist() == [20, 24, 21, 26, 25, 27, 22, 28, 23]
        assert labels.group_sizes.tolist() == [4, 2, 3]
        assert (labels.top_k, labels.vocab_size, labels.seq_len) == (4, 23, 6)
        row = labels.by_seq_id(26)
        assert row.input_ids.tolist() == [14, 22, 5, 13, 11]
        assert row.topk_ids[0].tolist() == [19, 21, 14, 22]
        assert row.log_partitions[2.0][0] == np.float32(0.34643984)


def test_signals_are_the_teachers(made: Path) -> None:
    table = np.load(made / "table.npy").astype(np.float64)
    logprobs = table - np.log(np.exp(table).sum(1, keepdims=True))
    labels = Labels(made / "labels")
    for i in (0, 7, len(labels) - 1):
        row = labels[i]
        wanted = logprobs[row.inputs]
        assert np.allclose(row.target_logprob, wanted[np.arange(row.n_targets), row.targets], atol=2e-5)
        kept = np.take_along_axis(wanted, row.topk_ids.astype(np.int64), 1)
        assert (np.abs(row.topk_logprobs - kept) <= 2.0**-6 * np.abs(kept) + 2e-5).all()
        assert np.allclose(row.tail_mass, 1 - np.exp(kept).sum(1), atol=1e-3)


def test_rows_are_found_by_place_number_and_from_the_end(made: Path) -> None:
    labels = Labels(made / "labels")
    for i in (0, 13, len(labels) - 1):
        row = labels[i]
        assert labels.by_seq_id(row.seq_id).input_ids.tolist() == row.input_ids.tolist()
        assert labels[i - len(labels)].seq_id == row.seq_id
        assert labels.row_of([row.seq_id]).tolist() == [i]
    assert labels.row_of([10**9]).tolist() == [-1]
    with pytest.raises(IndexError, match=r"row \d+ of"):
        labels[len(labels)]
    for wrong in (10**9, -1):
        with pytest.raises(KeyError, match="is not among"):
            labels.by_seq_id(wrong)


def test_row_groups_are_decoded_once_and_kept_within_bounds(made: Path) -> None:
    labels = Labels(made / "labels")
    for i in range(len(labels)):
        labels[i]
    assert labels.n_decoded == len(labels.places)
    small = Labels(made / "labels", cache_bytes=1)
    small[0], small[1], small[len(small) - 1], small[0]
    assert small.n_decoded == 3


def test_only_the_groups_that_are_asked_for_are_read(made: Path) -> None:
    row = Labels(made / "labels", groups=["topk"])[3]
    assert row.topk_ids is not None
    assert row.entropy is None
    assert row.sampled_ids is None
    assert row.scores == {}
    with pytest.raises(sl.MissingGroupError, match=r"not samples.*--groups"):
        Labels(FIXTURES / "labels", groups=["samples"])


def test_arrow_pandas_and_nested_agree_with_the_rows(made: Path) -> None:
    labels = Labels(made / "labels")
    table = labels.to_arrow()
    assert table.column_names == list(labels.columns)
    assert table["seq_id"].to_pylist() == labels.seq_ids.tolist()
    assert table["score_salt"].to_pylist() == [row.scores["score_salt"] for row in labels]
    nested = labels.nested(["seq_id", "topk_ids", "topk_logprobs"])
    assert nested["topk_ids"].type == pa.list_(pa.list_(pa.uint32(), K))
    for i in (0, 5, len(labels) - 1):
        assert nested["topk_ids"][i].as_py() == labels[i].topk_ids.tolist()
        assert nested["topk_logprobs"][i].as_py() == labels[i].topk_logprobs.tolist()
    with pytest.raises(KeyError, match="no column nothing"):
        labels.to_arrow(["nothing"])
    with pytest.raises(sl.MissingGroupError, match="sampled_ids|samples"):
        Labels(FIXTURES / "labels").to_arrow(["sampled_ids"])


def test_pandas_gets_a_frame(made: Path) -> None:

    frame = Labels(made / "labels").to_pandas(["seq_id", "score_mean_nll"])
    assert list(frame.columns) == ["seq_id", "score_mean_nll"]


def test_a_selection_keeps_its_sequences_in_the_order_of_the_files(made: Path, tmp_path: Path) -> None:
    labels = Labels(made / "labels")
    kept = [int(i) for i in labels.seq_ids[::3]]
    path = tmp_path / "selection.parquet"
    rows = {"seq_id": labels.seq_ids.astype(np.int64), "kept": np.isin(labels.seq_ids, kept)}
    pq.write_table(pa.table(rows), path)
    for selection in (path, kept):
        some = labels.select(selection)
        assert some.seq_ids.tolist() == kept
        assert [row.seq_id for row in some] == kept
        assert some.group_sizes.sum() == len(kept)
        assert some.to_arrow(["seq_id", "entropy"])["seq_id"].to_pylist() == kept
    again = labels.select(kept).select(kept[:5])
    assert again.seq_ids.tolist() == kept[:5]
    assert len(labels) > len(kept)
    with pytest.raises(sl.MismatchError, match="1 of the 2 sequences"):
        labels.select([kept[0], 10**9])
    assert len(labels.select([kept[0], 10**9], allow_missing=True)) == 1


def test_a_selection_of_the_program_is_read(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "selection.parquet"
    sl.programs.run_saltworks(
        "select", str(made / "labels"), "--policy", "top", "--fraction", "0.25", "--output", str(path), "--quiet"
    )
    some = Labels(made / "labels").select(path)
    wanted = pq.read_table(path)
    assert sorted(some.seq_ids.tolist()) == sorted(wanted.filter(wanted["kept"])["seq_id"].to_pylist())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kept": [True]}, "no column seq_id"),
        ({"seq_id": [1.5]}, "cast it to int64"),
        ({"seq_id": [1, None]}, "are null"),
        ({"seq_id": [-4]}, "is negative"),
        ({"seq_id": [3, 3], "kept": [True, False]}, "3 appears twice"),
        ({"seq_id": [3], "kept": [1]}, "expected boolean"),
    ],
)
def test_invalid_selections_are_refused(tmp_path: Path, table: dict, message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    with pytest.raises(sl.DamagedError, match=message):
        sl.read_selection(tmp_path / "s.parquet")


def test_a_shard_is_not_a_selection() -> None:
    with pytest.raises(sl.DamagedError, match="is a file of labels"):
        sl.read_selection(FIXTURES / "labels/scores/part-00000.parquet")


def test_documents_of_a_sequence(made: Path) -> None:
    several = 0
    for row in Labels(made / "labels"):
        of = row.document_ids()
        assert len(of) == row.n_targets + 1
        assert of[-1] == len(row.doc_starts) - 1
        # A document ends with EOD, so what follows one begins the next.
        starts = {0, *(np.flatnonzero(row.input_ids[:-1] == EOD) + 1).tolist()}
        assert set(row.doc_starts.tolist()) == starts
        assert (np.flatnonzero(~row.within_documents()) + 1).tolist() == row.doc_starts[1:].tolist()
        restarted = row.position_ids(restart=True)
        assert (restarted[row.doc_starts] == 0).all()
        assert row.position_ids().tolist() == list(range(T + 1))[: row.n_targets + 1]
        several += len(row.doc_starts) > 1
    assert several > 50


def test_two_teachers_over_one_corpus_are_joined(made: Path) -> None:
    label(made, "second", "--sequences", "5..60", "--groups", "stats", "--order-seed", "none")
    first, second = Labels(made / "labels"), Labels(made / "second")
    joined = sl.JoinedLabels(first, second)
    assert len(joined) == 55
    for i, (one, other) in enumerate(joined[i] for i in range(len(joined))):
        assert one.seq_id == other.seq_id == joined.seq_ids[i]
        assert one.input_ids.tolist() == other.input_ids.tolist()
    assert [row.seq_id for row in joined.by_seq_id(17)] == [17, 17]
    label(made, "by-document", "--packing", "document")
    with pytest.raises(sl.MismatchError, match="packing concat, .* document"):
        sl.JoinedLabels(first, Labels(made / "by-document"))


def test_labels_extended_by_a_range_read_as_one_set(made: Path) -> None:
    label(made, "extended", "--sequences", "0..40", "--groups", "topk")
    label(made, "extended", "--sequences", "40..70", "--groups", "topk")
    labels = Labels(made / "extended")
    assert len(labels.plans) == 2
    assert sorted(labels.seq_ids.tolist()) == list(range(70))
    assert [row.seq_id for row in labels] == labels.seq_ids.tolist()


def test_scores_alone_are_a_set_too(made: Path) -> None:
    labels = Labels(label(made, "scores-alone", "--groups", "scores"))
    assert len(labels[0].input_ids) == 0
    assert labels[0].scores["score_mean_nll"] > 0
    assert labels.to_arrow(["seq_id", "score_salt"]).num_rows == len(labels)


def test_an_open_set_travels_to_another_process_without_what_it_decoded(made: Path) -> None:
    labels = Labels(made / "labels")
    before = labels[5].topk_ids.tolist()
    packed = pickle.dumps(labels)
    assert len(packed) < 200_000
    assert pickle.loads(packed)[5].topk_ids.tolist() == before


def test_verify_calls_the_program(made: Path, golden: Path) -> None:
    assert "sound" in sl.verify(made / "labels") or Labels(made / "labels").verify() is not None
    damage(golden / "positions/part-00001.parquet", 300)
    with pytest.raises(sl.ProgramError) as failed:
        sl.verify(golden)
    assert failed.value.exit_code == 3


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + 40] = bytes(byte ^ 0x5A for byte in content[at : at + 40])
    path.write_bytes(content)


def rewrite(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_labels_that_are_not_finished_are_refused(golden: Path) -> None:
    (golden / "manifest.json").unlink()
    with pytest.raises(sl.NotFinishedError, match="saltworks finalize"):
        Labels(golden)


def test_labels_extended_since_they_were_finalized_are_refused(golden: Path) -> None:
    (golden / "plan-00001.json").write_bytes((golden / "plan.json").read_bytes())
    with pytest.raises(sl.NotFinishedError, match="extended since"):
        Labels(golden)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda plan: plan.update(format_version=2), sl.UnknownFormatError, "format version 2.*--upgrade"),
        (lambda plan: plan["required_features"].append("shapes"), sl.UnknownFormatError, "features shapes"),
        (lambda plan: plan.pop("format_version"), sl.DamagedError, "is this the plan"),
        (lambda plan: plan.pop("layout"), sl.DamagedError, "not a plan of labels.*layout"),
        (lambda plan: plan["signals"].update(top_k="many"), sl.DamagedError, "'many'"),
        (lambda plan: plan["sequences"].update(end=30), sl.DamagedError, "end 30"),
    ],
)
def test_unknown_and_incomplete_plans_are_refused(golden: Path, change, error, message: str) -> None:
    rewrite(golden / "plan.json", change)
    with pytest.raises(error, match=message):
        Labels(golden)


def test_a_plan_of_other_shards_is_detected_when_they_are_read(golden: Path) -> None:
    rewrite(golden / "plan.json", lambda plan: plan["teacher"].update(vocab_size=40))
    labels = Labels(golden)
    with pytest.raises(sl.DamagedError, match=r"part-00000.parquet.*vocab_size 23, but the plan says 40"):
        labels[0]


def test_a_shard_of_another_plan_is_refused(golden: Path) -> None:
    rewrite(golden / "manifest.json", lambda m: m["segments"][0].update(plan_fingerprint="blake3:00"))
    with pytest.raises(sl.DamagedError, match="plan_fingerprint"):
        Labels(golden)[0]


def test_missing_truncated_and_damaged_files_are_named(golden: Path) -> None:
    path = golden / "positions/part-00001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(
        sl.DamagedError, match=r"positions/part-00001.parquet has \d+ bytes, but manifest.json says \d+"
    ):
        Labels(golden)
    path.write_bytes(content)
    damage(path, 300)
    labels = Labels(golden, checksums=True)
    assert labels[0].seq_id == 20
    with pytest.raises(sl.DamagedError, match=r"positions/part-00001.parquet, row group 0: .*saltworks verify"):
        labels[8]
    path.unlink()
    with pytest.raises(sl.DamagedError, match="is missing"):
        Labels(golden)


def test_directories_that_are_not_labels_are_distinguished(tmp_path: Path, golden: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Labels(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="give the directory that plan.json is in"):
        Labels(golden / "plan.json")
    with pytest.raises(FileNotFoundError, match="contains part-00000.parquet.*no plan.json"):
        Labels(golden / "scores")


def test_a_model_of_another_tokenizer_or_a_smaller_vocabulary_is_refused(golden: Path) -> None:
    labels = Labels(golden)
    labels.check_tokenizer(vocab_size=23, fingerprint="blake3:" + "f" * 64)
    with pytest.raises(sl.MismatchError, match="made with the tokenizer"):
        labels.check_tokenizer(fingerprint="blake3:00")
    with pytest.raises(sl.MismatchError, match="ids below 23, but the model has 22"):
        labels.check_tokenizer(vocab_size=22)


def test_impossible_values_are_refused(made: Path, tmp_path: Path) -> None:
    """A file rewritten with an id past the vocabulary, lists of other lengths, or numbers that are none."""
    path = Labels(made / "labels")._files.path("positions", Labels(made / "labels").places[0])
    table = pq.ParquetFile(path).read()
    wrong = {
        "topk_ids": (V, "has id 300, but the vocabulary has 300"),
        "topk_logprobs": (float("nan"), "topk_logprobs goes up to nan"),
        "tail_mass": (1.5, r"expected a fraction in \[0, 1\]"),
    }
    for name, (value, message) in wrong.items():
        lists = table[name].to_pylist()
        lists[0][0] = value
        assert_refused(made, tmp_path / name, table, name, lists, message)
    lists = table["entropy"].to_pylist()
    lists[1].pop()
    assert_refused(made, tmp_path / "entropy", table, "entropy", lists, "row 1: entropy has 31 items, expected 32")


def assert_refused(made: Path, root: Path, table: pa.Table, name: str, lists: list, message: str) -> None:
    import shutil

    shutil.copytree(made / "labels", root)
    column = pa.array(lists, table[name].type)
    changed = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    path = root / "positions/part-00000.parquet"
    size = Labels(root).places[0].n_rows
    pq.write_table(changed.replace_schema_metadata(pq.read_metadata(path).metadata), path, row_group_size=size)
    for shard in (manifest := json.loads((root / "manifest.json").read_text()))["shards"]:
        for file in shard["files"]:
            file["bytes"] = (root / file["name"]).stat().st_size
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(sl.DamagedError, match=message):
        Labels(root)[0]


def test_documents_are_the_sums_of_their_positions(made: Path) -> None:
    labels = Labels(made / "labels")
    sums: dict[int, list[float]] = {}
    for row in sorted(labels, key=lambda row: row.seq_id):
        starts = [*row.doc_starts.tolist(), len(row.input_ids)]
        for document, start, end in zip(row.doc_indices.tolist(), starts, starts[1:], strict=False):
            for t in range(max(start, 1) - 1, end - 1):
                sums.setdefault(document, []).append(-float(row.target_logprob[t]))
    documents = labels.documents().to_pydict()
    assert documents["doc_index"] == sorted(sums)
    for document, n_targets, nll_sum in zip(
        documents["doc_index"], documents["n_targets"], documents["nll_sum"], strict=True
    ):
        assert n_targets == len(sums[document])
        # The lists are f32.
        assert nll_sum == pytest.approx(sum(sums[document]), rel=1e-6)


def test_golden_documents_are_read_and_damage_is_named(tmp_path: Path) -> None:
    golden = FIXTURES / "labels-with-documents"
    documents = Labels(golden).documents()
    index = json.loads((golden / "documents" / "documents.json").read_text())
    assert documents.num_rows == index["n_documents"]
    assert sum(documents["n_targets"].to_pylist()) == index["n_targets"] > 0
    with pytest.raises(sl.NotFinishedError, match="saltworks finalize"):
        Labels(FIXTURES / "labels").documents()
    copy = tmp_path / "labels"
    shutil.copytree(golden, copy)
    part = copy / "documents" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(sl.DamagedError, match="bytes"):
        Labels(copy).documents()
    part.unlink()
    with pytest.raises(sl.DamagedError, match="missing"):
        Labels(copy).documents()


def test_a_selection_of_other_sequences_is_refused(made: Path, tmp_path: Path) -> None:
    def select(labels: Path, output: str) -> Path:
        path = tmp_path / output
        run_saltworks("select", str(labels), "--output", str(path), "--fraction", "0.25")
        return path

    labels = Labels(made / "labels")
    ours = select(made / "labels", "ours.parquet")
    kept = labels.select(ours)
    assert 0 < len(kept) < len(labels)
    # Other labels of the same sequences have the same numbers.
    again = label(made, "labels-again", "--groups", "scores")
    assert (labels.select(select(again, "again.parquet")).seq_ids == Labels(again).select(ours).seq_ids).all()
    write_megatron(made / "others", documents(160, seed=8))
    others = label(made, "labels-others", "--groups", "scores", tokens="others")
    with pytest.raises(sl.MismatchError, match="was made from other labels: it names blake3:"):
        labels.select(select(others, "others.parquet"))
    # One that does not say what it is of is taken by its numbers.
    table = pq.read_table(ours).replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "unnamed.parquet")
    assert (labels.select(tmp_path / "unnamed.parquet").seq_ids == kept.seq_ids).all()
