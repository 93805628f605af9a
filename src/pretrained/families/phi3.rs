//! Phi-3 and Phi-4: Llama with queries, keys and values in one tensor, and gate and up in another.

use super::dims::DimDefaults;
use super::family::Family;
use super::layers::{set_window, sliding_window};
use super::llama::{DEFAULTS, Defaults, LLAMA, PRE_NORMS, STREAM, like_llama};
use crate::onnx::decoder::DecoderSpec;
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::{Cut, Entry, Part};
use crate::pretrained::rope::{ROPE_DEFAULTS, RopeDefaults};
use crate::pretrained::section::Section;

pub(super) const PHI3: Family = Family {
    model_type: "phi3",
    name: "Phi-3",
    architecture: "Phi3ForCausalLM",
    read: phi3,
    tensors: &[STREAM, PRE_NORMS, FUSED],
    may_bring_code: true,
    ..LLAMA
};

const QKV: &str = "self_attn.qkv_proj";
const GATE_UP: &str = "mlp.gate_up_proj";

const FUSED: &[Entry] = &[
    ("attention.query", QKV, Cut::Stacked(Part::Query)),
    ("attention.key", QKV, Cut::Stacked(Part::Key)),
    ("attention.value", QKV, Cut::Stacked(Part::Value)),
    ("feed_forward.gate", GATE_UP, Cut::GateUp(Part::Gate)),
    ("feed_forward.up", GATE_UP, Cut::GateUp(Part::Up)),
];

fn phi3(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let defaults = Defaults {
        dims: DimDefaults {
            max_positions: 4096,
            ..DEFAULTS.dims
        },
        rope: RopeDefaults {
            is_phi3: true,
            ..ROPE_DEFAULTS
        },
        norm_eps: 1e-5,
        ..DEFAULTS
    };
    let mut spec = like_llama(config, &defaults)?;
    // Early releases have these keys, always false.
    let remedy = "transformers has no biases in this family";
    for key in ["attention_bias", "mlp_bias"] {
        config.only(key, &false.into(), remedy)?;
    }
    // Keys of Phi-4-mini: full attention in every layer, no interpolation.
    for key in ["full_attn_mod", "interpolate_factor"] {
        config.only(key, &1.into(), "transformers supports no other value")?;
    }
    let window = sliding_window(config, None)?;
    set_window(&mut spec, window);
    Ok(spec)
}
