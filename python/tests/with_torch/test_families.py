"""KD of a model to its own labels is nothing, for every causal family that builds without a network, or it is refused.

``python python/tests/torch/test_families.py`` prints the table of docs/experiments.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from saltworks_lm.losses import Head, KdPolicy, TopK, UnknownHeadError, head_loss, topk_targets
from saltworks_lm.losses.head import base_model_of

V, K, N_TOKENS = 97, 12, 24
#: A model that has more was not made tiny by the sizes below.
MAX_PARAMETERS = 5_000_000
#: Sizes, by whichever of these names a configuration has.
SIZES: dict[str, Any] = {
    "vocab_size": V, "hidden_size": 32, "n_embd": 32, "d_model": 32, "n_embed": 32, "embed_dim": 32,
    "num_hidden_layers": 2, "n_layer": 2, "num_layers": 2, "n_layers": 2, "num_attention_heads": 4, "n_head": 4,
    "n_heads": 4, "num_heads": 4, "num_key_value_heads": 2, "num_kv_heads": 2, "head_dim": 8, "intermediate_size":
    64, "ffn_dim": 64, "n_inner": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 64, "n_positions": 64,
    "max_seq_len": 64, "rotary_dim": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "num_local_experts": 2, "num_experts": 2, "num_experts_per_tok": 1, "n_routed_experts": 4,
    "moe_intermediate_size": 32, "decoder_ffn_dim": 64, "decoder_layers": 2, "decoder_attention_heads": 4,
    "hidden_size_per_layer_input": 8,
}  # fmt: skip
#: Those whose own keys decide that the head is scaled or capped, at values that show.
SPECIAL: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.0625},
    "cohere2": {"logit_scale": 0.0625},
    "gemma2": {"final_logit_softcapping": 2.0},
    "granite": {"logits_scaling": 8.0},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "mpt": {"expansion_ratio": 2},
}
#: What has to give a loss.
TAKEN = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "granite", "cohere", "cohere2", "olmo",
    "olmo2", "phi", "phi3", "gpt2", "gpt_neo", "gpt_neox", "gptj", "smollm3", "opt", "falcon", "mpt", "bloom",
    "stablelm", "starcoder2", "mixtral", "codegen", "glm", "helium", "ernie4_5", "arcee", "gpt_bigcode",
    "persimmon", "olmo3", "nemotron", "biogpt", "qwen2_moe", "qwen3_moe", "hunyuan_v1_dense", "apertus", "exaone4",
    "seed_oss",
)  # fmt: skip


#: Sizes that some families derive from others, left out one after the other until a model runs.
DERIVED = ((), ("head_dim",), ("head_dim", "num_key_value_heads", "num_kv_heads"), ("num_layers",), ("rotary_dim",))


def sized(name: str, without: tuple[str, ...] = ()) -> Any:
    """The configuration of a tiny model: sizes that it has are set, others stay."""
    config = transformers.CONFIG_MAPPING[name]()
    wanted = {key: value for key, value in SIZES.items() if hasattr(config, key) and key not in without}
    return type(config)(**{**wanted, **SPECIAL.get(name, {})})


def tiny(name: str) -> nn.Module:
    """A model of the family that makes a forward pass."""
    for without in DERIVED:
        try:
            model = built(sized(name, without))
            with torch.no_grad():
                model(input_ids=torch.arange(3, 12)[None])
            return model
        except Exception as error:
            last = error
    raise last


def built(config: Any) -> nn.Module:
    with torch.device("meta"):
        n = sum(p.numel() for p in transformers.AutoModelForCausalLM.from_config(config).parameters())
    if n > MAX_PARAMETERS:
        raise ValueError(f"{n} parameters")
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    # Random weights of the usual size give logits near 0, where every head looks alike.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.3)
    return model.eval()


def self_kd(model: nn.Module) -> tuple[float, float]:
    """KD in nats to the top K of the model's own logits: as it is, and scaled by what the head's keys say."""
    ids = torch.randint(3, V, (1, N_TOKENS), generator=torch.Generator().manual_seed(1))
    head = Head.of(model)
    with torch.no_grad():
        hidden: Tensor = base_model_of(model)(input_ids=ids, use_cache=False).last_hidden_state[0]
        logprobs = model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(1)
    values, kept = logprobs.topk(K)
    tail = logprobs.exp().scatter(1, kept, 0.0).sum(1)
    topk = TopK(kept, values.float(), tail.float())
    kd = topk_targets(KdPolicy("tail-bucket"), topk, 1.0)
    target = ids[0].roll(-1)
    naive = head_loss(hidden, Head(head.projection), target, kd=kd).kd.mean().item()
    return head_loss(hidden, head, target, kd=kd).kd.mean().item(), naive


@pytest.mark.parametrize("name", TAKEN)
def test_a_family_has_no_kd_to_its_own_labels(name: str) -> None:
    found, naive = self_kd(tiny(name))
    assert abs(found) < 1e-3, found
    if name in ("cohere", "cohere2", "gemma2", "granite"):
        assert naive > 1e-2, "the test would not see a head that is scaled or capped"


def test_a_head_unknown_to_the_configuration_is_refused() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny("llama")
            self.config, self.base_model = self.inner.config, self.inner.base_model

        def get_output_embeddings(self) -> nn.Module:
            return self.inner.lm_head

        def forward(self, **inputs: Any) -> Any:
            out = self.inner(**inputs)
            out.logits = 20.0 * torch.tanh(out.logits / 20.0)
            return out

    with pytest.raises(UnknownHeadError, match="Shifted.*logits up to"):
        Head.of(Shifted())


def test_a_softcap_too_high_for_random_weights_is_detected() -> None:
    torch.manual_seed(0)
    config = sized("gemma2")
    config.final_logit_softcapping = 30.0
    model = transformers.AutoModelForCausalLM.from_config(config)
    assert Head.of(model).softcap == 30.0
    model.config.final_logit_softcapping = None
    plain = Head.of(model)
    assert plain.softcap is None
    model.config.final_logit_softcapping = 30.0
    model.config.logit_scale = 1.001
    with pytest.raises(UnknownHeadError):
        Head.of(model)


def test_the_check_leaves_mode_weights_and_random_state_as_they_were() -> None:
    model = tiny("gpt2").train()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    Head.of(model)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not model.get_output_embeddings()._forward_pre_hooks


def test_a_tokenizer_larger_than_the_head_is_refused() -> None:
    with pytest.raises(UnknownHeadError, match="vocabulary of 1 to 97"):
        Head.of(tiny("llama"), vocab_size=98)


def test_the_snippet_of_the_page_runs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "python-training.md").read_text()
    snippets = re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL)
    snippet = next(code for code in snippets if "Head.of(" in code)
    ids = torch.arange(12).reshape(2, 6) % V
    logprobs, kept = torch.randn(12, V).log_softmax(1).topk(4)
    given = {"model": tiny("llama"), "input_ids": ids, "target": ids.flatten(), "topk_ids": kept}
    given |= {"topk_logprobs": logprobs, "tail_mass": 1.0 - logprobs.exp().sum(1)}
    exec(snippet, given)
    assert given["model"].lm_head.weight.grad.abs().sum() > 0


def line(name: str) -> str:
    try:
        model = tiny(name)
    except Exception as error:
        return f"| {name} | - | not built tiny: {type(error).__name__} |"
    try:
        found, naive = self_kd(model)
    except UnknownHeadError as error:
        return f"| {name} | - | refused: {str(error).split('understood: ')[1].split('; give')[0]} |"
    except Exception as error:
        return f"| {name} | - | failed: {type(error).__name__}: {str(error)[:80]} |"
    head = Head.of(model)
    kind = f"scale {head.scale:g}, cap {head.softcap}, bias {head.bias is not None}"
    return f"| {name} | {found:.1e} | {naive:.1e} | {kind} |"


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    for name in names:
        print(line(name), flush=True)
