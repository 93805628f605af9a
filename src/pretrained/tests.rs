use super::*;
use crate::error::{Classified, Kind};
use crate::onnx::decoder::{Weights, weights_of};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tiny::{fixtures, names, whole};

mod damage;
mod keys;
mod published;
#[path = "../../tests/support/families.rs"]
pub(crate) mod tiny;

/// A copy of a fixture and its weights, which tests damage.
struct Copy {
    dir: tempfile::TempDir,
}

impl Copy {
    fn of(name: &str) -> Self {
        Self { dir: whole(name) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("config.json")).unwrap()).unwrap()
    }

    fn write_config(&self, config: &Value) -> &Self {
        std::fs::write(self.path("config.json"), config.to_string()).unwrap();
        self
    }

    fn set(&self, key: &str, value: Value) -> &Self {
        let mut config = self.config();
        config[key] = value;
        self.write_config(&config)
    }

    fn unset(&self, key: &str) -> &Self {
        let mut config = self.config();
        config.as_object_mut().unwrap().remove(key);
        self.write_config(&config)
    }

    fn open(&self) -> Result<Checkpoint, PretrainedError> {
        Checkpoint::open(self.dir.path())
    }

    fn refusal(&self) -> String {
        let error = self.open().expect_err("it is refused");
        assert!(matches!(error.kind(), Kind::Usage | Kind::BadData));
        error.to_string()
    }
}

fn spec_of(config: &Path) -> crate::onnx::decoder::DecoderSpec {
    let section = Section::open(config).unwrap();
    describe(&section).unwrap()
}

#[test]
fn every_fixture_opens_and_all_of_its_weights_are_read() {
    assert!(names().len() > 30);
    for name in names() {
        let copy = Copy::of(&name);
        let checkpoint = copy.open().unwrap();
        let mut values = Vec::new();
        for weight in weights_of(&checkpoint.spec) {
            values.clear();
            let n_rows = weight.n_rows();
            checkpoint
                .read_rows(&weight, 0..n_rows, &mut values)
                .unwrap();
            assert_eq!(values.len(), n_rows * weight.row_len(), "{name}");
            assert!(values.iter().any(|&value| value != 0.0), "{name}");
        }
    }
}

#[test]
fn both_spellings_of_a_configuration_are_one_description() {
    for name in names() {
        let dir = fixtures().join(&name);
        let (five, four) = (
            spec_of(&dir.join("config.json")),
            spec_of(&dir.join("config-v4.json")),
        );
        assert_eq!(five, four, "{name}");
    }
}

#[test]
fn a_weight_is_the_same_in_few_rows_as_in_one_piece() {
    for name in ["phi3", "gpt-neox", "gpt2", "llama-biases"] {
        let copy = Copy::of(name);
        let checkpoint = copy.open().unwrap();
        for weight in weights_of(&checkpoint.spec) {
            let read = |rows_at_once: usize| {
                let mut values = Vec::new();
                for start in (0..weight.n_rows()).step_by(rows_at_once) {
                    let rows = start..weight.n_rows().min(start + rows_at_once);
                    checkpoint.read_rows(&weight, rows, &mut values).unwrap();
                }
                values
            };
            assert_eq!(read(3), read(usize::MAX), "{name} {}", weight.name);
        }
    }
}

#[test]
fn shards_hold_what_one_file_would() {
    let copy = Copy::of("llama-shards");
    let checkpoint = copy.open().unwrap();
    assert_eq!(checkpoint.files.len(), 1 + 1 + 3);
    assert!(checkpoint.files[0].ends_with("config.json"));
    assert!(checkpoint.tokenizer.is_none());
    assert!(checkpoint.notes[0].contains("tokenizer.json"));
}

#[test]
fn names_without_the_base_are_read_and_what_follows_from_the_configuration_is_left_alone() {
    let copy = Copy::of("gpt2");
    let bytes = std::fs::read(copy.path("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mask = vec![0u8; 4 * 4];
    let view = |shape, bytes| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes).unwrap()
    };
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| (name.replace("transformer.", ""), view))
        .collect();
    tensors.push(("h.0.attn.bias".to_owned(), view(vec![1, 1, 2, 2], &mask)));
    let renamed = safetensors::serialize(tensors, None).unwrap();
    let before = values_of(&copy.open().unwrap());
    std::fs::write(copy.path("model.safetensors"), renamed).unwrap();
    assert_eq!(values_of(&copy.open().unwrap()), before);
}

fn values_of(checkpoint: &Checkpoint) -> Vec<f32> {
    let mut values = Vec::new();
    for weight in weights_of(&checkpoint.spec) {
        checkpoint
            .read_rows(&weight, 0..weight.n_rows(), &mut values)
            .unwrap();
    }
    values
}
