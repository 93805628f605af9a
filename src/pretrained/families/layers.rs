//! Layers that differ from each other: windows and positions.

use crate::onnx::decoder::DecoderSpec;
use crate::pretrained::PretrainedError;
use crate::pretrained::section::Section;

/// Words of `layer_types`.
const LAYER_TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

/// Gives `window` to the layers that attend within one only: by `layer_types`, else by `otherwise`. Says which they
/// are; they need a window.
pub(super) fn read_local_layers(
    config: &Section,
    spec: &mut DecoderSpec,
    window: Option<usize>,
    otherwise: impl Fn(usize) -> bool,
) -> Result<Vec<bool>, PretrainedError> {
    let n_layers = spec.layers.len();
    let types = config.words("layer_types", n_layers, &LAYER_TYPES)?;
    let is_local: Vec<bool> = match types {
        Some(types) => types.iter().map(|&idx| idx == 1).collect(),
        None => (0..n_layers).map(otherwise).collect(),
    };
    if window.is_none() && is_local.contains(&true) {
        let expected = "a window, since layer_types names layers with sliding_attention";
        return Err(config.refusal("sliding_window", expected, "correct the configuration"));
    }
    for (layer, &is_local) in std::iter::zip(&mut spec.layers, &is_local) {
        layer.attention.window = window.filter(|_| is_local);
    }
    Ok(is_local)
}

/// Gives every layer the same window.
pub(super) fn set_window(spec: &mut DecoderSpec, window: Option<usize>) {
    for layer in &mut spec.layers {
        layer.attention.window = window;
    }
}

/// `sliding_window`; null is none, no key is the family's default.
pub(super) fn sliding_window(
    config: &Section,
    default: Option<usize>,
) -> Result<Option<usize>, PretrainedError> {
    match (config.has("sliding_window"), config.get("sliding_window")) {
        (false, _) => Ok(default),
        (true, None) => Ok(None),
        (true, Some(_)) => config.count("sliding_window", None).map(Some),
    }
}
