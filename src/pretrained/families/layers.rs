//! Layers that differ from each other: windows and positions.

use crate::pretrained::PretrainedError;
use crate::pretrained::section::Section;

/// Words of `layer_types`.
const LAYER_TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

/// Which layers attend within a window only, by `layer_types`, else by `otherwise`.
pub(super) fn local_layers(
    config: &Section,
    n_layers: usize,
    otherwise: impl Fn(usize) -> bool,
) -> Result<Vec<bool>, PretrainedError> {
    let types = config.words("layer_types", n_layers, &LAYER_TYPES)?;
    Ok(match types {
        Some(types) => types.iter().map(|&idx| idx == 1).collect(),
        None => (0..n_layers).map(otherwise).collect(),
    })
}

/// The window of each layer: the same one for all local layers, which need one.
pub(super) fn windows(
    config: &Section,
    is_local: &[bool],
    window: Option<usize>,
) -> Result<Vec<Option<usize>>, PretrainedError> {
    if window.is_none() && is_local.contains(&true) {
        let expected = "a window, since layer_types names layers with sliding_attention";
        return Err(config.refusal("sliding_window", expected, "correct the configuration"));
    }
    let of = |&is_local: &bool| window.filter(|_| is_local);
    Ok(is_local.iter().map(of).collect())
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
