//! Reads from a file what a caller must know before running it.

use super::error::OnnxError;
use super::external::check_external;
use super::neighbours::read_neighbours;
use super::outputs::choose_logits;
use super::roles::{InputRole, assign_roles};
use super::types::{DType, Dim, OpsetImport, TensorInfo};
use super::walk::{Outline, walk_model};
use super::wire::WireFault;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a teacher's file declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// Every input that must be fed, with its role.
    pub inputs: Vec<(TensorInfo, InputRole)>,
    /// The output that holds the logits `[B, T, V]`.
    pub logits: TensorInfo,
    /// All outputs, including the logits.
    pub outputs: Vec<TensorInfo>,
    /// V, if the file fixes it, including padding.
    pub vocab_size: Option<u64>,
    /// Operator sets that the model imports.
    pub opset: Vec<OpsetImport>,
    /// ONNX's version of the file format.
    pub ir_version: i64,
    /// The program that wrote the file, as declared; often empty.
    pub producer: String,
    /// Number of nodes, including those of subgraphs.
    pub n_nodes: u64,
    /// Whether activations are quantised by the range of the whole batch, as in dynamic int8 models: a
    /// sequence's logits then depend on the rest of the batch.
    pub scales_by_batch: bool,
    /// Whether weights or logits are float16 or bfloat16.
    pub has_half_precision: bool,
    /// Operators that draw random numbers, without duplicates.
    pub random_nodes: Vec<String>,
    /// Files next to the model that hold weights: relative to its folder, sorted.
    pub external_files: Vec<PathBuf>,
    /// B, if the file fixes it.
    pub fixed_batch: Option<u64>,
    /// T, if the file fixes it.
    pub fixed_seq_len: Option<u64>,
    /// The longest sequence, in tokens, that `config.json` or `genai_config.json` next to the model allows.
    pub max_seq_len: Option<u32>,
    /// The file that says so.
    pub max_seq_len_source: Option<PathBuf>,
    /// Tokens up to which rotary positions are those of pre-training, if they depend on the sequence length
    /// (rope `dynamic` and `longrope`), from `config.json`.
    pub original_seq_len: Option<u32>,
}

/// Reads the inputs and outputs of the model at `path`; `wanted_output` names the logits output if it is not
/// the usual one.
///
/// Reads the pages of the file's headers, not of its weights. A model that cannot be a teacher is refused here,
/// with what was expected and a remedy.
pub fn read_signature(path: &Path, wanted_output: Option<&str>) -> Result<Signature, OnnxError> {
    let outline = read_outline(path)?;
    let external_files = check_external(path, &outline.external)?;
    let neighbours = read_neighbours(path);
    if let Some((architecture, config)) = &neighbours.other_task {
        return Err(OnnxError::OtherTask {
            path: path.to_owned(),
            config: config.clone(),
            architecture: architecture.clone(),
        });
    }
    let inputs = assign_roles(
        path,
        &required_inputs(&outline),
        &neighbours,
        &outline.window_caches,
    )?;
    let logits = choose_logits(path, &outline.outputs, wanted_output, &neighbours)?;
    let ids = inputs
        .iter()
        .find(|(_, role)| *role == InputRole::InputIds)
        .map(|(info, _)| info);
    let ids_dim = |idx: usize| ids.and_then(|ids| ids.dim(idx)).and_then(Dim::fixed);
    let (fixed_batch, fixed_seq_len) = (ids_dim(0), ids_dim(1));
    if logits.dim(1) == Some(&Dim::Fixed(1)) && fixed_seq_len != Some(1) {
        return Err(OnnxError::LastPositionOnly {
            path: path.to_owned(),
            output: logits.to_string(),
        });
    }
    let (max_seq_len, max_seq_len_source) = neighbours.max_seq_len.unzip();
    Ok(Signature {
        vocab_size: logits.dim(2).and_then(Dim::fixed),
        inputs,
        outputs: outline.outputs,
        opset: outline.opset,
        ir_version: outline.ir_version,
        producer: outline.producer,
        n_nodes: outline.n_nodes,
        scales_by_batch: outline.scales_by_batch,
        has_half_precision: outline.has_half_precision || is_half(logits.dtype),
        random_nodes: outline.random_nodes,
        external_files,
        fixed_batch,
        fixed_seq_len,
        max_seq_len,
        max_seq_len_source,
        original_seq_len: neighbours.original_seq_len,
        logits,
    })
}

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

fn required_inputs(outline: &Outline) -> Vec<TensorInfo> {
    let required = |input: &&TensorInfo| !outline.initializer_names.contains(&input.name);
    outline.inputs.iter().filter(required).cloned().collect()
}

pub(super) fn read_outline(path: &Path) -> Result<Outline, OnnxError> {
    let io = |source| OnnxError::Io {
        action: "open the model",
        path: path.to_owned(),
        source,
    };
    let found = std::fs::metadata(path).map_err(io)?;
    if !found.is_file() && !found.is_dir() {
        return Err(OnnxError::NotOnnx {
            path: path.to_owned(),
            found: "a pipe or a device".to_owned(),
            remedy: "write its contents to a file first",
        });
    }
    let file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if meta.is_dir() {
        return Err(OnnxError::NotOnnx {
            path: path.to_owned(),
            found: "a folder".to_owned(),
            remedy: "name the .onnx file in it",
        });
    }
    if meta.len() == 0 {
        return Err(not_onnx(path, b""));
    }
    // SAFETY: the map is only read, and only here. If another process changes the file meanwhile, the walker at
    // worst sees wrong bytes, which it treats as bad input.
    let bytes = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
    outline_of(path, &bytes)
}

/// The walk, with separate errors for a file that is not a model and for a truncated model.
pub(super) fn outline_of(path: &Path, bytes: &[u8]) -> Result<Outline, OnnxError> {
    // ModelProto begins with field 1, ir_version, a varint; every exporter writes it first.
    let begins_well = bytes.first() == Some(&0x08);
    match walk_model(bytes) {
        Ok(outline) if outline.has_graph && !outline.outputs.is_empty() => Ok(outline),
        Err(WireFault::Truncated) if begins_well => Err(OnnxError::Truncated {
            path: path.to_owned(),
            n_bytes: bytes.len() as u64,
        }),
        _ => Err(not_onnx(path, bytes)),
    }
}

/// The error for a file that is not a model: common mistakes are recognised by the first bytes.
fn not_onnx(path: &Path, bytes: &[u8]) -> OnnxError {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let (found, remedy) = if bytes.is_empty() {
        ("the file is empty", "copy or download it again")
    } else if starts(b"version https://git-lfs") {
        (
            "a Git LFS pointer",
            "fetch the file itself with `git lfs pull`",
        )
    } else if starts(b"PK\x03\x04") {
        (
            "a zip archive, such as PyTorch writes",
            "export the model to ONNX first",
        )
    } else if starts(b"GGUF") {
        ("a GGUF file", "use the model's ONNX export")
    } else if bytes.get(8) == Some(&b'{') {
        (
            "a safetensors file",
            "give the checkpoint's directory, or its ONNX export",
        )
    } else if starts(b"{") {
        (
            "a JSON file",
            "give the checkpoint's directory, or its ONNX export",
        )
    } else if starts(b"<") {
        ("a web page", "download the file itself")
    } else if bytes.get(4..8) == Some(b"ORTM") {
        (
            "an ORT-format model",
            "use the .onnx file that it was made from",
        )
    } else {
        (
            "no ModelProto with a graph and outputs",
            "check the path, or export the model again",
        )
    };
    OnnxError::NotOnnx {
        path: path.to_owned(),
        found: found.to_owned(),
        remedy,
    }
}
