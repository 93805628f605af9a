//! What `config.json` and `genai_config.json` beside a model say that its graph does not.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Facts from the files beside a model; all optional, and none trusted over the graph.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Neighbours {
    /// The longest sequence the model was made for, in tokens, and the file that says so.
    pub(super) max_seq_len: Option<(u32, PathBuf)>,
    /// Tokens up to which its rotary positions do not follow the length of the sequence.
    pub(super) original_seq_len: Option<u32>,
    /// Width of the hidden states.
    pub(super) hidden_size: Option<u64>,
    /// Heads of keys and values.
    pub(super) n_kv_heads: Option<u64>,
    /// Width of one head.
    pub(super) head_dim: Option<u64>,
    /// An architecture with another head than a language model's, and the file that names it.
    pub(super) other_task: Option<(String, PathBuf)>,
}

/// A missing or unreadable neighbour says nothing: it is not the model.
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

/// The model's folder, and the one above where exporters put the model into `onnx/`.
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
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
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

/// Where rope is `dynamic` or `longrope`; a configuration that names a length and no rope is of a graph that
/// was written here.
fn original_seq_len(level: &Value) -> Option<u32> {
    const ORIGINAL: &str = "original_max_position_embeddings";
    let mut ropes = ["rope_parameters", "rope_scaling"].iter();
    let rope = ropes.find_map(|key| level.get(key).filter(|rope| rope.is_object()));
    let word = |rope: &Value| rope.get("rope_type").or(rope.get("type")).cloned();
    let kind = rope.and_then(word);
    let said = level.get(ORIGINAL).or_else(|| rope?.get(ORIGINAL));
    let length = match kind.as_ref().map(Value::as_str) {
        None | Some(Some("longrope" | "su")) => said,
        Some(Some("dynamic")) => level.get("max_position_embeddings"),
        Some(_) => None,
    };
    length?.as_u64()?.try_into().ok()
}

/// Endings of transformers' class names whose logits are no distribution over the next token.
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
