//! What can be wrong with a model file, with remedies.

use crate::error::{Classified, Kind};
use std::path::PathBuf;

/// A model file that cannot be read, or cannot be a teacher.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file cannot be opened, mapped or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model at all.
    #[error("{} is not an ONNX model: {found}; {remedy}", path.display())]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The file ends inside the model.
    #[error("{} is truncated: a field extends past its end at {n_bytes} bytes; copy or download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size.
        n_bytes: u64,
    },
    /// An external-data file is missing, too short, or outside the model's folder.
    #[error("{}: external data of tensor {tensor:?} in {location:?}: {problem}", path.display())]
    ExternalData {
        /// The model.
        path: PathBuf,
        /// The tensor whose bytes are elsewhere.
        tensor: String,
        /// Where the model says they are.
        location: String,
        /// What is wrong, with the remedy.
        problem: String,
    },
    /// The model has no input for token ids.
    #[error("{}: no input for token ids; expected `input_ids` int32 or int64 [B, T], found {found}; export the model with its token embedding", path.display())]
    NoInputIds {
        /// The model.
        path: PathBuf,
        /// The inputs it has.
        found: String,
    },
    /// The model starts from embeddings.
    #[error("{}: takes `inputs_embeds` instead of `input_ids`; expected token ids: export the model with its token embedding included", path.display())]
    InputsEmbedsOnly {
        /// The model.
        path: PathBuf,
    },
    /// The model has an encoder side.
    #[error("{}: input {input} belongs to an encoder-decoder model; expected a decoder-only (causal) language model", path.display())]
    EncoderDecoder {
        /// The model.
        path: PathBuf,
        /// The input that shows it.
        input: String,
    },
    /// A required input that we do not know how to fill.
    #[error("{}: required input {input} is unknown; expected input_ids, attention_mask, position_ids, token_type_ids, past_*, use_cache_branch; export the model without it, or make it an initializer with a default", path.display())]
    UnknownInput {
        /// The model.
        path: PathBuf,
        /// Name, dtype and shape.
        input: String,
    },
    /// An input with a known name, but with a dtype or shape that cannot be filled.
    #[error("{}: input {input} cannot be filled: expected {expected}; {remedy}", path.display())]
    BadInput {
        /// The model.
        path: PathBuf,
        /// Name, dtype and shape.
        input: String,
        /// What would be accepted.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The model gives logits for only one position.
    #[error("{}: output {output} has logits of one position only, or is a classification head; expected [B, T, V], logits of every position: export the causal language model without keeping only the last token's logits", path.display())]
    LastPositionOnly {
        /// The model.
        path: PathBuf,
        /// Name, dtype and shape.
        output: String,
    },
    /// The configuration next to the model names another task.
    #[error("{}: {} says that it is {architecture}, a model for classification or the like; expected a causal language model: export it with its language-model head (task text-generation)", path.display(), config.display())]
    OtherTask {
        /// The model.
        path: PathBuf,
        /// The configuration.
        config: PathBuf,
        /// The architecture that it names.
        architecture: String,
    },
    /// The model ends at hidden states.
    #[error("{}: outputs only hidden states ({output}); expected logits [B, T, V]: export it with its language-model head (task text-generation, not feature-extraction)", path.display())]
    HiddenStatesOnly {
        /// The model.
        path: PathBuf,
        /// Name, dtype and shape.
        output: String,
    },
    /// No output can be the logits.
    #[error("{}: no output can be the logits; expected float32, float16 or bfloat16 [B, T, V], found {found}; if the logits have another name, pass --logits-output", path.display())]
    NoLogits {
        /// The model.
        path: PathBuf,
        /// The outputs it has.
        found: String,
    },
    /// More than one output may be the logits.
    #[error("{}: several outputs may be the logits: {candidates}; name one with --logits-output", path.display())]
    AmbiguousLogits {
        /// The model.
        path: PathBuf,
        /// Those that qualify.
        candidates: String,
    },
    /// The requested output is missing.
    #[error("{}: no output is named {wanted:?}; it has {found}", path.display())]
    NoSuchOutput {
        /// The model.
        path: PathBuf,
        /// The requested name.
        wanted: String,
        /// The outputs it has.
        found: String,
    },
    /// The named output is not a float tensor of rank 3.
    #[error("{}: output {output} cannot be the logits; expected float32, float16 or bfloat16 [B, T, V]", path.display())]
    BadLogits {
        /// The model.
        path: PathBuf,
        /// Name, dtype and shape.
        output: String,
    },
    /// The model's operator set is too old for the head that reduces its logits.
    #[error("{}: its logits cannot be reduced in its graph: that needs ONNX operator set {} or newer, found {found}; use --reduce host, or export the model again with a newer operator set", path.display(), super::head::MIN_HEAD_OPSET)]
    HeadOpset {
        /// The model.
        path: PathBuf,
        /// Its version of ONNX's own operators, or "none".
        found: String,
    },
    /// With a head, the model would be too large.
    #[error("{}: its logits cannot be reduced in its graph: with the nodes for that it has {n_bytes} bytes, above protobuf's limit of 2 GiB; use --reduce host, or export the model with its weights in a separate file", path.display())]
    HeadTooLarge {
        /// The model.
        path: PathBuf,
        /// Its size with the head.
        n_bytes: u64,
    },
}

impl Classified for OnnxError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Kind::Usage,
            Self::Io { .. } => Kind::Failed,
            Self::NotOnnx { .. } | Self::Truncated { .. } | Self::ExternalData { .. } => {
                Kind::BadData
            }
            _ => Kind::Usage,
        }
    }
}
