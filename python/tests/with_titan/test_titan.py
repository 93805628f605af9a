"""The recipe of torchtitan against its own classes: data loader, loss, chunked loss, and the trainer's step.

Run by hand in an environment with torchtitan 0.3 (`make test-torch` has none). The trainer's set-up of processes and
devices is torchtitan's own, and not run here: its step is, over a model of torchtitan.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import T, V, label

sys.path.insert(0, str(Path(__file__).parents[1]))

from torchtitan.components.dataloader import ParallelAwareDataloader
from torchtitan.components.loss import BaseLoss, ChunkedLossWrapper
from torchtitan.models.common.attention import ScaledDotProductAttention
from torchtitan.models.llama3 import model_registry

from saltworks_lm import Labels
from saltworks_lm.losses import Head, KdPolicy, head_loss
from saltworks_lm.order import Order
from saltworks_lm.recipes.teacher import kd_of_fields
from saltworks_lm.recipes.titan import KdLoss, KdTrainer, LabelDataLoader

#: Two ways to sum the same f32 numbers.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def labels(made: Path) -> Path:
    return label(made, "titan-labels", "--samples", "12", "--shard-bytes", "16000")


def loader_of(labels: Path, rank: int = 0, world: int = 1, **over) -> LabelDataLoader:
    config = LabelDataLoader.Config(dataset_path=str(labels), **{"groups": ("topk", "stats"), "seed": 3, **over})
    return config.build(
        dp_world_size=world, dp_rank=rank, tokenizer=None, seq_len=T, local_batch_size=4, snapshot_every_n_steps=None
    )


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    config = model_registry("debugmodel").model
    layers = []
    for layer in config.layers[:2]:
        attention = replace(layer.attention, inner_attention=ScaledDotProductAttention.Config())
        layers.append(replace(layer, attention=attention))
    config = replace(
        config,
        vocab_size=V,
        layers=layers,
        lm_head=replace(config.lm_head, out_features=V),
        tok_embeddings=replace(config.tok_embeddings, num_embeddings=V),
    )
    built = config.build()
    built.init_states(buffer_device=torch.device("cpu"))
    return built


def test_the_loader_is_torchtitans_and_deals_the_order(labels: Path) -> None:
    loader = loader_of(labels)
    assert isinstance(loader, ParallelAwareDataloader)
    whole = Labels(labels)
    wanted = whole.seq_ids[Order(whole.group_sizes, 3).rows(0, 16)].tolist()
    batches = [iter(loader_of(labels, rank, 2)) for rank in (0, 1)]
    seen = []
    for _ in range(2):
        for of_rank in batches:
            inputs, targets = next(of_rank)
            assert inputs["input"].shape == targets.shape == inputs["positions"].shape == (4, T)
            assert inputs["topk_ids"].shape[:2] == (4, T)
            seen += inputs["input"].tolist()
    assert seen == [row + [0] * (T - len(row)) for row in (whole.by_seq_id(i).inputs.tolist() for i in wanted)]


def test_a_loader_goes_on_from_its_state(labels: Path) -> None:
    loader = loader_of(labels)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    state = loader.state_dict()
    expected = next(batches)[0]["input"]
    again = loader_of(labels)
    again.load_state_dict(state)
    assert torch.equal(next(iter(again))[0]["input"], expected)


@pytest.mark.parametrize("policy", [KdPolicy("tail-bucket"), KdPolicy("drop", gate="learnable")], ids=str)
@pytest.mark.parametrize("n_chunks", [None, 4])
def test_a_step_of_the_trainer_is_ours(labels: Path, policy: KdPolicy, n_chunks: int | None) -> None:
    config = KdLoss.Config(policy=policy, omega=0.7)
    assert issubclass(KdLoss, BaseLoss)
    wrapped = config if n_chunks is None else ChunkedLossWrapper.Config(num_chunks=n_chunks, loss_fn=config)
    loss_fn, decoder = wrapped.build(compile_config=None), model()
    if n_chunks is not None:
        loss_fn.set_lm_head(decoder.lm_head)
        decoder._skip_lm_head = True
    inputs, targets = next(iter(loader_of(labels)))
    n = (targets != -100).sum()
    trainer = SimpleNamespace(train_context=nullcontext, model_parts=[decoder], loss_fn=loss_fn)
    rest = {name: value for name, value in inputs.items() if name != "input"}
    got = KdTrainer._forward_backward_body(trainer, inputs["input"], targets, n, dict(rest))
    theirs = {name: p.grad.clone() for name, p in decoder.named_parameters()}
    decoder.zero_grad()
    decoder._skip_lm_head = True
    hidden = decoder(inputs["input"], positions=inputs["positions"]).flatten(0, 1)
    kd = kd_of_fields(policy, inputs, targets != -100, 0.7)
    expected = head_loss(hidden, Head.of_weight(decoder.lm_head.weight), targets.flatten(), kd=kd)
    expected.loss.backward()
    assert float(got) == pytest.approx(float(expected.loss), abs=TOLERANCE)
    assert float(expected.kd.sum()) > 0
    for name, parameter in decoder.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name], rtol=0.0, atol=TOLERANCE, msg=name)


def test_a_shorter_seq_len_is_refused(labels: Path) -> None:
    config = LabelDataLoader.Config(dataset_path=str(labels))
    with pytest.raises(ValueError, match=f"training.seq_len is 8, the labels' sequences have up to {T} targets"):
        config.build(dp_world_size=1, dp_rank=0, tokenizer=None, seq_len=8, local_batch_size=4)
