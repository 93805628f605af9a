//! Facts from `config.json` and `genai_config.json` next to a model that its graph lacks.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Bytes of the largest configuration that is read.
const MAX_JSON_BYTES: u64 = 16 << 20;

/// Facts from the files next to a model; all are optional, and the graph takes precedence.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Neighbours {
    /// The longest sequence that the model supports, in tokens, and the file that says so.
    pub(super) max_seq_len: Option<(u32, PathBuf)>,
    /// Tokens up to which its rotary positions do not depend on the sequence length.
    pub(super) original_seq_len: Option<u32>,
    /// Width of the hidden states.
    pub(super) hidden_size: Option<u64>,
    /// Heads of keys and values.
    pub(super) n_kv_heads: Option<u64>,
    /// Width of one head.
    pub(super) head_dim: Option<u64>,
    /// An architecture without a language-model head, and the file that names it.
    pub(super) other_task: Option<(String, PathBuf)>,
}

/// Reads all neighbours; missing or unreadable ones are ignored, since they are not the model.
pub(super) fn read_neighbours(model: &Path) -> Neighbours {
    let mut facts = Neighbours::default();
    for folder in folders(model) {
        for name in ["config.json", "genai_config.json"] {
            let path = folder.join(name);
            if let Some(json) = read_json(&path) {
                facts.absorb(&json, &path);
            }
        }
    }
    facts
}

/// The model's folder, and its parent if the folder is `onnx/`, where exporters put the model.
fn folders(model: &Path) -> Vec<PathBuf> {
    let folder = match model.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let above = folder
        .file_name()
        .is_some_and(|name| name == "onnx")
        .then(|| folder.join(".."));
    std::iter::once(folder).chain(above).collect()
}

fn read_json(path: &Path) -> Option<Value> {
    // Opening a pipe would wait for a writer.
    let is_ours = path
        .metadata()
        .is_ok_and(|found| found.is_file() && found.len() <= MAX_JSON_BYTES);
    let bytes = is_ours.then(|| std::fs::read(path).ok())??;
    serde_json::from_slice(&bytes).ok()
}

impl Neighbours {
    fn absorb(&mut self, json: &Value, path: &Path) {
        if self.other_task.is_none() {
            self.other_task = other_task(json).map(|name| (name, path.to_owned()));
        }
        // Multimodal models keep the language model's numbers one level down.
        let levels = [Some(json), json.get("text_config"), json.get("model")];
        let decoder = json.get("model").and_then(|model| model.get("decoder"));
        for level in levels.into_iter().flatten().chain(decoder) {
            let number = |keys: &[&str]| keys.iter().find_map(|key| level.get(key)?.as_u64());
            let limit = number(&[
                "max_position_embeddings",
                "n_positions",
                "n_ctx",
                "context_length",
                "max_sequence_length",
            ]);
            if let (None, Some(limit)) = (&self.max_seq_len, limit) {
                self.max_seq_len = u32::try_from(limit)
                    .ok()
                    .map(|limit| (limit, path.to_owned()));
            }
            self.original_seq_len = self.original_seq_len.or(original_seq_len(level));
            let heads = number(&["num_attention_heads", "n_head"]);
            self.hidden_size = self.hidden_size.or(number(&["hidden_size", "n_embd"]));
            self.n_kv_heads = self
                .n_kv_heads
                .or(number(&["num_key_value_heads"]))
                .or(heads);
            self.head_dim = self
                .head_dim
                .or(number(&["head_dim", "head_size"]))
                .or_else(|| {
                    self.hidden_size
                        .zip(heads)
                        .and_then(|(width, heads)| width.checked_div(heads))
                });
        }
    }
}

/// The original length, if rope is `dynamic` or `longrope`. A configuration with a length but without rope
/// belongs to a graph that this program wrote.
fn original_seq_len(level: &Value) -> Option<u32> {
    const ORIGINAL: &str = "original_max_position_embeddings";
    let mut ropes = ["rope_parameters", "rope_scaling"].iter();
    let rope = ropes.find_map(|key| level.get(key).filter(|rope| rope.is_object()));
    let word = |rope: &Value| rope.get("rope_type").or(rope.get("type")).cloned();
    let kind = rope.and_then(word);
    let original = level.get(ORIGINAL).or_else(|| rope?.get(ORIGINAL));
    let length = match kind.as_ref().map(Value::as_str) {
        None | Some(Some("longrope" | "su")) => original,
        Some(Some("dynamic")) => level.get("max_position_embeddings"),
        Some(_) => None,
    };
    length?.as_u64()?.try_into().ok()
}

/// Suffixes of transformers' class names for models whose logits are not for the next token.
const OTHER_TASKS: [&str; 7] = [
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
    "ForImageClassification",
    "ForAudioClassification",
];

fn other_task(json: &Value) -> Option<String> {
    let names = json.get("architectures")?.as_array()?;
    let mut names = names.iter().filter_map(Value::as_str);
    let name = names.find(|name| OTHER_TASKS.iter().any(|task| name.ends_with(task)))?;
    Some(name.to_owned())
}
