//! Finds what each input is for, by the names that exporters use.

use super::error::OnnxError;
use super::neighbours::Neighbours;
use super::types::{DType, Dim, TensorInfo};
use super::walk::WindowCache;
use std::path::Path;

/// What to feed to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputRole {
    /// Token ids `[B, T]`.
    InputIds,
    /// `[B, T]`: 1 at tokens, 0 at padding (the past is empty, so it is as long as the ids).
    AttentionMask,
    /// 0, 1, 2, …: rank 1 `[T]`, rank 2 `[B, T]`, or rank 3 `[3, B, T]` (multimodal rotary models).
    PositionIds {
        /// 1, 2 or 3.
        rank: usize,
    },
    /// Zeros `[B, T]`.
    TokenTypeIds,
    /// Keys or values of earlier tokens; there are none, so it has no elements.
    Past {
        /// Size of each dimension.
        dims: Vec<PastDim>,
    },
    /// Convolution or recurrent state of a hybrid model before its first token: zeros.
    State {
        /// Size of each dimension; none is [`PastDim::Empty`].
        dims: Vec<PastDim>,
    },
    /// `false` selects the branch of a merged decoder for an empty past.
    UseCacheBranch,
    /// Number of tokens in the past: 0. Scalar, `[1]` or `[B, 1]`.
    PastLength,
    /// Total number of tokens: T. Scalar or `[1]`.
    TotalLength,
    /// How many positions, from the end, get logits: T, all of them. Scalar or `[1]`.
    LogitsToKeep,
}

/// One dimension of a past input, at length 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastDim {
    /// B times a factor (1, or the number of heads in a layout that folds them into the batch).
    Batch {
        /// Entries of this dimension per row of the batch.
        factor: u64,
    },
    /// The length of the past: 0.
    Empty,
    /// A size of the model, such as heads or head width.
    Fixed(u64),
}

/// Limit on elements of one input per row of a batch, and on ids of a batch of fixed shape. Beyond it the file
/// is damaged or the model too large to run.
const MAX_ELEMENTS: u64 = 1 << 28;

/// Finds every input's role, or refuses the model.
pub(super) fn assign_roles(
    path: &Path,
    inputs: &[TensorInfo],
    neighbours: &Neighbours,
    window_caches: &[WindowCache],
) -> Result<Vec<(TensorInfo, InputRole)>, OnnxError> {
    refuse_other_kinds(path, inputs)?;
    let ids = find_input_ids(inputs).ok_or_else(|| OnnxError::NoInputIds {
        path: path.to_owned(),
        found: super::outputs::list(inputs),
    })?;
    let role = |input: &TensorInfo| {
        let role = match input.name == ids.name {
            true => input_ids_role(path, input)?,
            false => other_role(path, input, ids, neighbours)?,
        };
        Ok((input.clone(), with_window(role, &input.name, window_caches)))
    };
    inputs.iter().map(role).collect()
}

/// The past of an operator with a window cache is a buffer as long as the window, whether filled or not.
fn with_window(role: InputRole, name: &str, window_caches: &[WindowCache]) -> InputRole {
    let cache = window_caches.iter().find(|cache| cache.past == name);
    match (role, cache) {
        (InputRole::Past { dims }, Some(cache)) => {
            let size = |dim| match dim {
                PastDim::Empty => PastDim::Fixed(cache.window),
                dim => dim,
            };
            InputRole::Past {
                dims: dims.into_iter().map(size).collect(),
            }
        }
        (role, _) => role,
    }
}

/// Refuses models of other kinds, which are recognised by an input's name.
fn refuse_other_kinds(path: &Path, inputs: &[TensorInfo]) -> Result<(), OnnxError> {
    let foreign = inputs.iter().find(|input| {
        input.name.starts_with("decoder_input_ids") || input.name.starts_with("encoder_")
    });
    if let Some(input) = foreign {
        return Err(OnnxError::EncoderDecoder {
            path: path.to_owned(),
            input: input.to_string(),
        });
    }
    let has = |name: &str| inputs.iter().any(|input| input.name == name);
    if has("inputs_embeds") && !has("input_ids") {
        return Err(OnnxError::InputsEmbedsOnly {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Finds token ids by name, else takes the only integer matrix without another known name.
fn find_input_ids(inputs: &[TensorInfo]) -> Option<&TensorInfo> {
    let known = ["input_ids", "token_ids", "tokens", "ids", "idx", "input"];
    let named = known
        .iter()
        .find_map(|name| inputs.iter().find(|input| input.name == *name));
    named.or_else(|| {
        let mut nameless = inputs.iter().filter(|input| {
            input.dtype.is_index() && input.rank() == Some(2) && !has_known_name(&input.name)
        });
        nameless.next().filter(|_| nameless.next().is_none())
    })
}

fn has_known_name(name: &str) -> bool {
    let known = ["attention_mask", "position_ids", "token_type_ids"];
    known.contains(&name) || name.starts_with("past")
}

fn other_role(
    path: &Path,
    input: &TensorInfo,
    ids: &TensorInfo,
    neighbours: &Neighbours,
) -> Result<InputRole, OnnxError> {
    match input.name.as_str() {
        "attention_mask" => mask_role(path, input),
        "position_ids" | "cache_position" => position_role(path, input),
        "token_type_ids" => check_index(path, input, InputRole::TokenTypeIds, &[2]),
        "use_cache_branch" => use_cache_branch_role(path, input),
        "past_seq_len" | "past_sequence_length" => {
            check_index(path, input, InputRole::PastLength, &[0, 1, 2])
        }
        "total_seq_len" | "total_sequence_length" => {
            check_index(path, input, InputRole::TotalLength, &[0, 1])
        }
        "num_logits_to_keep" | "logits_to_keep" => {
            check_index(path, input, InputRole::LogitsToKeep, &[0, 1])
        }
        name if is_past(name) => past_role(path, input, ids, neighbours),
        _ => Err(OnnxError::UnknownInput {
            path: path.to_owned(),
            input: input.to_string(),
        }),
    }
}

/// `past_0`, `past_key_values.3.key`, `past.2`, `pkv_1`, `cache_k_0`, …
fn is_past(name: &str) -> bool {
    [
        "past",
        "pkv",
        "cache_k",
        "cache_v",
        "key_cache",
        "value_cache",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// `past_conv.0`, `past_ssm_3`, …: of fixed size whatever the past, and initially zero.
fn is_state(name: &str) -> bool {
    ["conv", "ssm", "recurrent", "state"]
        .iter()
        .any(|part| name.contains(part))
}

fn check_index(
    path: &Path,
    input: &TensorInfo,
    role: InputRole,
    ranks: &[usize],
) -> Result<InputRole, OnnxError> {
    let fits = input.rank().is_none_or(|rank| ranks.contains(&rank));
    if input.dtype.is_index() && fits {
        return Ok(role);
    }
    let ranks: Vec<String> = ranks.iter().map(usize::to_string).collect();
    bad_input(
        path,
        input,
        format!("int32 or int64 of rank {}", ranks.join(" or ")),
    )
}

/// Bool, integer or float: 1 at tokens, 0 at padding. Whether the model reads it that way is checked by running
/// it.
fn mask_role(path: &Path, input: &TensorInfo) -> Result<InputRole, OnnxError> {
    let is_dtype =
        input.dtype == DType::Bool || input.dtype.is_index() || input.dtype.is_logits_float();
    if is_dtype && input.rank().is_none_or(|rank| rank == 2) {
        return Ok(InputRole::AttentionMask);
    }
    let expected = "bool, int32, int64 or float of rank 2, [B, T]: 1 at tokens, 0 at padding";
    bad_input(path, input, expected.to_owned())
}

fn input_ids_role(path: &Path, input: &TensorInfo) -> Result<InputRole, OnnxError> {
    let dims = input.dims.iter().flatten().filter_map(Dim::fixed);
    match size_of(dims) {
        Some(1..) => check_index(path, input, InputRole::InputIds, &[2]),
        _ => bad_input(path, input, "a shape that can be run".to_owned()),
    }
}

/// The product, if it is no larger than [`MAX_ELEMENTS`].
fn size_of(mut dims: impl Iterator<Item = u64>) -> Option<u64> {
    dims.try_fold(1u64, u64::checked_mul)
        .filter(|size| *size <= MAX_ELEMENTS)
}

fn position_role(path: &Path, input: &TensorInfo) -> Result<InputRole, OnnxError> {
    let rank = input.rank().unwrap_or(2);
    let leads_with_3 = rank != 3 || input.dim(0).and_then(Dim::fixed).is_none_or(|n| n == 3);
    if input.dtype.is_index() && (1..=3).contains(&rank) && leads_with_3 {
        return Ok(InputRole::PositionIds { rank });
    }
    bad_input(
        path,
        input,
        "int32 or int64 [T], [B, T] or [3, B, T]".to_owned(),
    )
}

fn use_cache_branch_role(path: &Path, input: &TensorInfo) -> Result<InputRole, OnnxError> {
    if input.dtype == DType::Bool && input.rank().is_none_or(|rank| rank <= 1) {
        return Ok(InputRole::UseCacheBranch);
    }
    bad_input(path, input, "bool [1]".to_owned())
}

fn past_role(
    path: &Path,
    input: &TensorInfo,
    ids: &TensorInfo,
    neighbours: &Neighbours,
) -> Result<InputRole, OnnxError> {
    let Some(dims) = input
        .dims
        .as_ref()
        .filter(|_| input.dtype.is_logits_float())
    else {
        return bad_input(
            path,
            input,
            "a float tensor with a declared shape".to_owned(),
        );
    };
    let sizes = past_dims(dims, ids, neighbours);
    let n_empty = sizes
        .iter()
        .flatten()
        .filter(|size| **size == PastDim::Empty)
        .count();
    let has_zero = sizes
        .iter()
        .flatten()
        .any(|size| *size == PastDim::Fixed(0));
    // Zeros count as 1, so that the product stays within bounds in any order.
    let bounded = size_of(sizes.iter().flatten().filter_map(|size| match size {
        PastDim::Batch { factor: n } | PastDim::Fixed(n) => Some((*n).max(1)),
        PastDim::Empty => None,
    }));
    let complete = sizes.iter().all(Option::is_some) && bounded.is_some();
    if complete && n_empty == 0 && is_state(&input.name) {
        return Ok(InputRole::State {
            dims: sizes.into_iter().flatten().collect(),
        });
    }
    if !complete || n_empty > 1 || (n_empty == 0 && !has_zero) {
        let expected = "one dynamic dimension for the length of the past, heads and head width fixed (or given by config.json or genai_config.json next to the model)";
        return bad_input(path, input, expected.to_owned());
    }
    Ok(InputRole::Past {
        dims: sizes.into_iter().flatten().collect(),
    })
}

/// Each dimension of a past input; `None` for an unknown one.
fn past_dims(dims: &[Dim], ids: &TensorInfo, neighbours: &Neighbours) -> Vec<Option<PastDim>> {
    // [2, B, H, P, D] holds keys and values in one tensor; all others begin with the batch.
    let batch_idx = usize::from(dims.len() >= 5 && dims[0] == Dim::Fixed(2));
    let size = |(idx, dim): (usize, &Dim)| match dim {
        Dim::Fixed(size) => Some(PastDim::Fixed(*size)),
        Dim::Unknown if idx == batch_idx => Some(PastDim::Batch { factor: 1 }),
        Dim::Unknown => unnamed_past_dim(idx, dims, neighbours),
        Dim::Symbol(name) => named_past_dim(name, idx == batch_idx, dim, ids, neighbours),
    };
    dims.iter().enumerate().map(size).collect()
}

fn named_past_dim(
    name: &str,
    leads: bool,
    dim: &Dim,
    ids: &TensorInfo,
    neighbours: &Neighbours,
) -> Option<PastDim> {
    let name = name.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if says(&["batch"]) && says(&["head"]) {
        // BLOOM folds the heads into the batch: "batch_size x num_heads".
        return neighbours
            .n_kv_heads
            .map(|factor| PastDim::Batch { factor });
    }
    if ids.dim(0) == Some(dim) || says(&["batch"]) {
        return Some(PastDim::Batch { factor: 1 });
    }
    // Checked before lengths, since `kv_cache_dim` is not the length of a cache.
    if name.ends_with("dim") || says(&["head_size", "head_width"]) {
        return neighbours.head_dim.map(PastDim::Fixed);
    }
    if says(&["past", "seq", "len", "cache", "time"]) {
        return Some(PastDim::Empty);
    }
    if says(&["dim", "size", "width"]) {
        return neighbours.head_dim.map(PastDim::Fixed);
    }
    if says(&["head"]) {
        return neighbours.n_kv_heads.map(PastDim::Fixed);
    }
    Some(if leads {
        PastDim::Batch { factor: 1 }
    } else {
        PastDim::Empty
    })
}

/// A nameless dimension after the batch: the past's length if it is the only one, else by position.
fn unnamed_past_dim(idx: usize, dims: &[Dim], neighbours: &Neighbours) -> Option<PastDim> {
    let last = dims.len() - 1;
    let n_unnamed = dims
        .iter()
        .skip(1)
        .filter(|dim| **dim == Dim::Unknown)
        .count();
    if n_unnamed <= 1 + usize::from(dims.len() >= 5) || idx + 1 == last {
        return Some(PastDim::Empty);
    }
    match last - idx {
        0 => neighbours.head_dim.map(PastDim::Fixed),
        2 => neighbours.n_kv_heads.map(PastDim::Fixed),
        _ => None,
    }
}

fn bad_input(path: &Path, input: &TensorInfo, expected: String) -> Result<InputRole, OnnxError> {
    Err(OnnxError::BadInput {
        path: path.to_owned(),
        input: input.to_string(),
        expected,
        remedy: "export the model with dynamic axes, or without a past (no use_cache)",
    })
}
