"""The student: a causal model of transformers without its head, and the loss on the head."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..losses import Head, UnknownHeadError, head_loss
from ..losses.head import base_model_of
from .batch import Batch
from .config import ModelConfig, RunConfig
from .errors import ConfigError, TrainError


class Student(nn.Module):
    """A model whose forward pass returns the loss, so that wrappers (DDP, FSDP) see the head's weight being used."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        try:
            self.head = Head.of(model)
        except UnknownHeadError as error:
            raise TrainError(f"init: {error}") from error
        self.model = model

    def forward(self, batch: Batch, scale: float) -> tuple[Tensor, ...]:
        """The sum of the losses times ``scale``; then ce, kd, soft, omega, gate_weight ``[N]``, without a gradient."""
        out = base_model_of(self.model)(input_ids=batch.input_ids, use_cache=False)
        hidden = out.last_hidden_state.flatten(0, 1)
        found = head_loss(hidden, self.head, batch.target, kd=batch.kd, weight=batch.weight, scale=scale, check=False)
        return found.loss, found.ce, found.kd, found.soft, found.omega, found.gate_weight

    def blocks(self) -> list[nn.Module]:
        """The layers, which FSDP shards one by one: the longest list of modules."""
        lists = [list(module) for module in self.model.modules() if isinstance(module, nn.ModuleList)]
        return max(lists, key=len, default=[])


def open_student(config: RunConfig, vocab_size: int | None, seq_len: int) -> Student:
    """The initial model of a run: that of ``init``, or a new Llama.

    Raises
    ------
    TrainError
        A directory without a causal model of transformers, or a model with an unsupported head.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(config.train.seed)
    if config.model is not None:
        if vocab_size is None:
            raise ConfigError.of(
                "data", "labels or tokens that record the vocabulary size", None, "`saltworks tokenize` the text"
            )
        model = _fresh(config.model, vocab_size, seq_len)
    else:
        path = Path(str(config.init))
        if not (path / "config.json").is_file():
            raise ConfigError.of("init", "a Hugging Face directory with config.json", path, "name one")
        try:
            model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise TrainError(f"init is {path}, expected a causal model of transformers: {error}") from error
    _check_length(model, seq_len)
    if config.train.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return Student(model)


def _fresh(model: ModelConfig, vocab_size: int, seq_len: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=model.d_model,
        intermediate_size=model.d_ff,
        num_hidden_layers=model.n_layers,
        num_attention_heads=model.n_heads,
        num_key_value_heads=model.n_kv_heads or model.n_heads,
        head_dim=model.head_dim or model.d_model // model.n_heads,
        max_position_embeddings=model.max_seq_len or seq_len,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta or 10_000.0},
        rms_norm_eps=model.norm_eps or 1e-5,
        tie_word_embeddings=model.tie_embeddings,
        attention_bias=False,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


def _check_length(model: nn.Module, seq_len: int) -> None:
    longest = getattr(cast(Any, model).config, "max_position_embeddings", None)
    if isinstance(longest, int) and longest < seq_len:
        raise ConfigError.of(
            "data.seq_len", f"at most the model's {longest} positions", seq_len, "use shorter sequences"
        )
