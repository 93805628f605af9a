"""The output head as a model applies it: weight, bias, scale, soft-cap, rows beyond the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

#: Keys of transformers' configurations that multiply the logits.
_MULTIPLIERS = ("logit_scale", "lm_head_multiplier")
#: Keys that divide them.
_DIVISORS = ("logits_scaling",)
#: Keys that cap them: cap * tanh(logits / cap).
_SOFTCAPS = ("final_logit_softcapping", "output_logit_soft_cap")
#: Spread of the logits in the check, large enough to reveal a scale, a cap or a bias.
_PROBE_LOGITS = 25.0
#: Maximum difference of two ways to compute a logit, in rounding steps of the model's dtype.
_ULPS = 32.0
#: The same on average (root mean square): each logit is rounded a few times, independently.
_MEAN_ULPS = 1.5


#: A dtype with at least this epsilon is coarse: bfloat16 has 2^-7, float16 2^-10.
_COARSE = 2.0**-11


class UnknownHeadError(ValueError):
    """A model whose logits do not come from a supported head."""


class _Projection(Protocol):
    """Anything with a weight ``[R, D]`` and a bias ``[R]`` or None, such as ``nn.Linear``."""

    @property
    def weight(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor | None: ...


@dataclass(frozen=True)
class _Tensors:
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Head:
    """logits = softcap(scale * (hidden W^T + b)) over the first ``vocab_size`` rows of W.

    Parameters
    ----------
    projection
        Module whose weight ``[R, D]`` and bias ``[R]`` (or None) are read at every use, so that tensors
        gathered by FSDP for a forward pass are used.
    scale
        Factor of the logits.
    softcap
        c in c * tanh(logits / c); None: no cap.
    vocab_size
        V; later rows of the weight are padding and get no probability. None: all rows.
    """

    projection: _Projection
    scale: float = 1.0
    softcap: float | None = None
    vocab_size: int | None = None

    @classmethod
    def of_weight(
        cls,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        scale: float = 1.0,
        softcap: float | None = None,
        vocab_size: int | None = None,
    ) -> Head:
        """The head of a weight ``[R, D]`` and a bias ``[R]``."""
        return cls(_Tensors(weight, bias), scale, softcap, vocab_size)

    @classmethod
    def of(cls, model: nn.Module, vocab_size: int | None = None) -> Head:
        """The head of a transformers model, checked against the model's own logits.

        The model runs twice over a few tokens: once unchanged, and once with large hidden states as input of its
        head, to reveal a scale or cap that random weights would hide. Call it before the model is wrapped or
        sharded. Weights, mode and random state are preserved.

        Parameters
        ----------
        model
            A causal language model of transformers, not wrapped.
        vocab_size
            Number of ids with probability, if fewer than the rows of the weight: the tokenizer's.

        Raises
        ------
        UnknownHeadError
            If the logits do not come from such a head; nothing is approximated.
        """
        projection = _projection_of(model)
        config = cast(Any, model).config
        config = config.get_text_config() if hasattr(config, "get_text_config") else config
        head = cls(projection, _scale_of(config), _softcap_of(config), vocab_size)
        _check_rows(head, model)
        _check(head, model)
        return head

    @property
    def weight(self) -> Tensor:
        """``[R, D]``."""
        return self.projection.weight

    @property
    def bias(self) -> Tensor | None:
        """``[R]``, or None."""
        return self.projection.bias

    @property
    def n_ids(self) -> int:
        """V."""
        return self.weight.shape[0] if self.vocab_size is None else self.vocab_size

    def logits(self, hidden: Tensor) -> Tensor:
        """``[..., D]`` -> ``[..., V]``, all at once, for small inputs and checks."""
        v = self.n_ids
        bias = None if self.bias is None else self.bias[:v]
        logits = linear(hidden, self.weight[:v], bias)
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits


def base_model_of(model: nn.Module) -> nn.Module:
    """The part of a transformers model below its head."""
    base = getattr(model, "base_model", None)
    if not isinstance(base, nn.Module) or base is model:
        raise _unknown(model, "a base model below the head", "none (base_model is the model itself)")
    return base


def _unknown(model: nn.Module, expected: str, found: str) -> UnknownHeadError:
    return UnknownHeadError(
        f"{type(model).__name__}: the output head is not understood: expected {expected}, found {found}; "
        "give the head yourself (saltworks_lm.losses.Head), or train another model"
    )


def _projection_of(model: nn.Module) -> _Projection:
    getter = getattr(model, "get_output_embeddings", None)
    module = getter() if callable(getter) else None
    if type(module) is not nn.Linear:
        found = "none" if module is None else type(module).__name__
        raise _unknown(model, "get_output_embeddings() to be a torch.nn.Linear", found)
    return cast(_Projection, module)


def _scale_of(config: object) -> float:
    scale = 1.0
    for name in _MULTIPLIERS:
        scale *= _number(config, name) or 1.0
    for name in _DIVISORS:
        scale /= _number(config, name) or 1.0
    return scale


def _softcap_of(config: object) -> float | None:
    caps = (_number(config, name) for name in _SOFTCAPS)
    return next((cap for cap in caps if cap), None)


def _number(config: object, name: str) -> float | None:
    value = getattr(config, name, None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _check_rows(head: Head, model: nn.Module) -> None:
    rows = head.weight.shape[0]
    if not 0 < head.n_ids <= rows:
        raise UnknownHeadError(
            f"{type(model).__name__}: expected a vocabulary of 1 to {rows} ids, the rows of the head's weight, "
            f"found {head.n_ids}; use the tokenizer that the model was made for"
        )


class _Probe:
    """Records the input of the head's projection, and can replace it."""

    def __init__(self, projection: nn.Module) -> None:
        self.seen: Tensor | None = None
        self.instead: Tensor | None = None
        self._handle = projection.register_forward_pre_hook(self._hook)

    def _hook(self, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        self.seen = args[0]
        return None if self.instead is None else (self.instead, *args[1:])

    def close(self) -> None:
        self._handle.remove()


@torch.no_grad()
def _check(head: Head, model: nn.Module) -> None:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    probe = _Probe(cast(nn.Module, head.projection))
    try:
        _compare(head, model, probe)
    finally:
        probe.close()
        for module, is_training in modes:
            module.training = is_training


def _compare(head: Head, model: nn.Module, probe: _Probe) -> None:
    ids = torch.arange(10, device=head.weight.device).reshape(2, 5) % head.n_ids
    hidden = base_model_of(model)(input_ids=ids, use_cache=False).last_hidden_state
    logits = model(input_ids=ids, use_cache=False).logits
    if probe.seen is None:
        raise _unknown(model, "a forward pass that calls its output embeddings", "one that does not")
    if not _close(probe.seen, hidden):
        expected = "the base model's last hidden state to be what the head is given"
        raise _unknown(model, expected, "another tensor, such as one that was scaled or projected")
    _require_logits(head, model, logits, hidden)
    probe.instead = _large(head, hidden)
    _require_logits(head, model, model(input_ids=ids, use_cache=False).logits, probe.instead)


def _large(head: Head, like: Tensor) -> Tensor:
    """Hidden states whose logits, before any cap, spread over tens of nats."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(like.shape, generator=generator, dtype=torch.float32)
    hidden = noise.to(device=like.device, dtype=like.dtype)
    plain = Head(head.projection, head.scale, None, head.vocab_size).logits(hidden)
    spread = plain.float().std().clamp_min(torch.finfo(torch.float32).tiny)
    return hidden * (_PROBE_LOGITS / spread).to(like.dtype)


def _require_logits(head: Head, model: nn.Module, logits: Tensor, hidden: Tensor) -> None:
    ours, own = head.logits(hidden), logits[..., : head.n_ids]
    if ours.shape == own.shape and _close(ours, own):
        return
    keys = ", ".join((*_MULTIPLIERS, *_DIVISORS, *_SOFTCAPS))
    gap = f"shapes {tuple(ours.shape)} and {tuple(own.shape)}"
    if ours.shape == own.shape:
        gap = f"logits up to {(ours.float() - own.float()).abs().max().item():.3g} apart"
    raise _unknown(model, f"its own logits from weight, bias and {keys}", gap)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    eps = max(torch.finfo(t.dtype).eps for t in (a, b))
    a, b = a.double(), b.double()
    largest = max(a.abs().max().item(), b.abs().max().item(), 1e-3)
    if (a - b).abs().max().item() > _ULPS * eps * largest:
        return False
    spread = max(a.square().mean().sqrt().item(), 1e-3)
    # For wider types rounding may add up over D, and the maximum difference is strict enough.
    return eps < _COARSE or (a - b).square().mean().sqrt().item() <= _MEAN_ULPS * eps * spread
