//! Settings that differ between layers: windows and positions.

use crate::onnx::decoder::DecoderSpec;
use crate::pretrained::PretrainedError;
use crate::pretrained::section::Section;

/// Values in `layer_types`.
const LAYER_TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

/// Gives `window` to the local layers: those in `layer_types`, else those by `otherwise`. Returns which layers are
/// local; they need a window.
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

/// `sliding_window`; null means none, a missing key the family's default.
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
