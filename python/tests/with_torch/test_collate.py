"""Collators: the fields that each trainer names, the teacher's beside them, padded and masked."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FIXTURES, K, T, label

from saltworks_lm import JoinedLabels, Labels
from saltworks_lm.torch import LabelDataset, hf, megatron, titan


@pytest.fixture
def rows() -> list:
    """Nine sequences of one document each, of 1 to 6 targets."""
    return list(Labels(FIXTURES / "labels-with-samples"))


def test_hf_has_unshifted_labels_and_a_mask(rows: list) -> None:
    batch = hf(rows, pad_id=22)
    assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items() if "ids" in name or name == "labels"} == {
        "input_ids": ((9, 7), torch.int64),
        "labels": ((9, 7), torch.int64),
        "position_ids": ((9, 7), torch.int64),
        "topk_ids": ((9, 6, 4), torch.int32),
        "sampled_ids": ((9, 6, batch["sampled_ids"].shape[2]), torch.int32),
        "seq_ids": ((9,), torch.int64),
    }
    for b, row in enumerate(rows):
        n = row.n_targets
        assert batch["input_ids"][b].tolist() == row.input_ids.tolist() + [22] * (6 - n)
        assert batch["labels"][b].tolist() == [-100, *row.targets.tolist()] + [-100] * (6 - n)
        assert batch["attention_mask"][b].tolist() == [1] * (n + 1) + [0] * (6 - n)
        assert batch["position_ids"][b].tolist() == list(range(7))


def test_titan_and_megatron_are_shifted(rows: list) -> None:
    of_titan, of_megatron = titan(rows), megatron(rows, pad_to=8)
    assert of_titan["labels"].shape == (9, 6)
    assert of_megatron["labels"].shape == of_megatron["tail_mass"].shape == (9, 8)
    for b, row in enumerate(rows):
        n = row.n_targets
        assert of_titan["input_ids"][b, :n].tolist() == row.inputs.tolist()
        assert of_titan["labels"][b].tolist() == row.targets.tolist() + [-100] * (6 - n)
        assert of_megatron["tokens"][b, :n].tolist() == row.inputs.tolist()
        assert of_megatron["labels"][b].tolist() == row.targets.tolist() + [0] * (8 - n)
        assert of_megatron["loss_mask"][b].tolist() == [1.0] * n + [0.0] * (8 - n)
    assert of_titan["positions"][0].tolist() == of_megatron["position_ids"][0, :6].tolist() == list(range(6))


def test_the_teachers_fields_are_the_rows(rows: list) -> None:
    batch = hf(rows)
    for b, row in enumerate(rows):
        n = row.n_targets
        for name in ("target_logprob", "target_rank", "entropy", "logsumexp", "tail_mass", "topk_ids", "topk_logprobs"):
            field = batch[name][b]
            assert field.dtype in (torch.float32, torch.int32), name
            assert field[:n].tolist() == getattr(row, name).tolist(), name
            assert not field[n:].any()
        assert batch["log_partition_tau_0.5"][b, :n].tolist() == row.log_partitions[0.5].tolist()


def test_draws_are_spread_over_slots_and_keep_their_counts(rows: list) -> None:
    batch = hf(rows)
    n_draws = Labels(FIXTURES / "labels-with-samples").plan.signals.samples.n_draws
    for b, row in enumerate(rows):
        for t in range(row.n_targets):
            ids = row.sampled_ids[row.sample_offsets[t] : row.sample_offsets[t + 1]]
            counts = row.sampled_counts[row.sample_offsets[t] : row.sample_offsets[t + 1]]
            assert batch["sampled_ids"][b, t, : len(ids)].tolist() == ids.tolist()
            assert batch["sampled_counts"][b, t].tolist() == counts.tolist() + [0] * (
                batch["sampled_counts"].shape[2] - len(counts)
            )
            assert batch["sampled_counts"][b, t].sum() == n_draws
        assert not batch["sampled_counts"][b, row.n_targets :].any()


def test_documents_can_be_kept_apart(made: Path) -> None:
    rows = [row for row in Labels(made / "labels") if len(row.doc_starts) > 2][:4]
    batch = titan(rows, across_documents=False, restart_positions=True)
    for b, row in enumerate(rows):
        first_of_document = row.doc_starts[1:].astype(int)
        assert (batch["labels"][b][first_of_document - 1] == -100).all()
        assert (batch["labels"][b] == -100).sum() == len(first_of_document) + T - row.n_targets
        inside = first_of_document[first_of_document < row.n_targets]
        assert (batch["positions"][b][inside] == 0).all()
    assert (hf(rows, across_documents=False)["labels"][:, 1:] == batch["labels"]).all()


def test_only_what_is_stored_or_asked_for_is_in_the_batch(made: Path) -> None:
    batch = hf([Labels(made / "labels", groups=["topk"])[0]])
    assert "topk_ids" in batch
    assert not {"sampled_ids", "entropy", "target_rank"} & set(batch)


def test_a_second_teacher_has_fields_of_its_own(made: Path) -> None:
    label(made, "small", "--groups", "stats")
    batch = hf([JoinedLabels(Labels(made / "labels"), Labels(made / "small"))[i] for i in range(3)])
    assert (batch["entropy"] == batch["entropy_2"]).all()
    assert "topk_ids_2" not in batch
    assert batch["topk_ids"].shape == (3, T, K)


def test_a_data_loader_makes_batches_of_the_data_set(made: Path) -> None:
    labels = Labels(made / "labels", groups=["samples"])
    data = LabelDataset(labels, seed=3)
    loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=2, collate_fn=partial(hf, pad_to=T))
    seen = torch.cat([batch["seq_ids"] for batch in loader]).tolist()
    assert sorted(seen) == sorted(labels.seq_ids.tolist())
    assert seen != labels.seq_ids.tolist()
    data.set_epoch(1)
    assert [data[i].seq_id for i in range(20)] != seen[:20]
    assert [row.seq_id for row in LabelDataset(labels).__getitems__([0, 1])] == labels.seq_ids[:2].tolist()


def test_invalid_batches_are_refused(rows: list) -> None:
    with pytest.raises(ValueError, match="an empty batch"):
        hf([])
    with pytest.raises(ValueError, match=r"pad_to is 3, but a sequence has \d targets"):
        titan(rows, pad_to=3)
    with pytest.raises(IndexError):
        LabelDataset(Labels(FIXTURES / "labels"))[9]


def test_batches_do_not_share_memory_with_the_row_group(rows: list) -> None:
    batch = hf(rows)
    before = rows[0].topk_logprobs.copy()
    batch["topk_logprobs"].zero_()
    assert np.array_equal(rows[0].topk_logprobs, before)
