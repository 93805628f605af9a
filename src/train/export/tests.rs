use super::*;
use crate::error::{Classified, Kind};
use crate::interrupt::Interrupt;
use crate::pretrained::Llama3Scaling;
use crate::train::model::{ModelSpec, Params};
use ::safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn spec(tie_embeddings: bool) -> ModelSpec {
    ModelSpec {
        vocab_size: 12,
        d_model: 6,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 4,
        d_ff: 10,
        max_seq_len: 16,
        rope_theta: 500_000.0,
        rope_scaling: None,
        norm_eps: 3e-6,
        tie_embeddings,
    }
}

fn special() -> SpecialIds {
    SpecialIds {
        bos: Some(1),
        eos: vec![2],
    }
}

/// A model's directory, which tests damage.
struct Model {
    dir: tempfile::TempDir,
}

impl Model {
    fn new(tied: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_hf(dir.path(), &Params::init(&spec(tied), 5), &special(), None).unwrap();
        // As if written by another program.
        std::fs::remove_file(dir.path().join(SEAL_JSON)).unwrap();
        Self { dir }
    }

    fn sealed() -> Self {
        let model = Self::new(true);
        let params = Params::init(&spec(true), 5);
        let words = tokenizer(9);
        write_hf(model.dir.path(), &params, &special(), Some(&words)).unwrap();
        model
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets a key of `config.json`; `Value::Null` means JSON's null.
    fn set(&self, key: &str, value: Value) -> &Self {
        let path = self.path("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(path, config.to_string()).unwrap();
        self
    }

    fn unset(&self, key: &str) -> &Self {
        let path = self.path("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config.as_object_mut().unwrap().remove(key);
        std::fs::write(path, config.to_string()).unwrap();
        self
    }

    /// Rewrites the weights as f32, omitting some tensors and adding others.
    fn rewrite(&self, file: &str, keep: impl Fn(&str) -> bool, add: &[(&str, &[usize], &[f32])]) {
        let params = Params::init(&spec(true), 5);
        let slots = params.layout.tensors.iter().filter(|s| keep(&s.name));
        let mut tensors: Vec<Tensor<'_>> = slots
            .map(|slot| Tensor {
                name: &slot.name,
                shape: &slot.shape,
                values: &params.values[slot.range.clone()],
            })
            .collect();
        tensors.extend(add.iter().map(|&(name, shape, values)| Tensor {
            name,
            shape,
            values,
        }));
        write_tensors(&self.path(file), &tensors, &[]).unwrap();
    }

    fn refusal(&self) -> String {
        let error = read_hf(self.dir.path()).expect_err("it is refused");
        assert!(
            matches!(error.kind(), Kind::Usage | Kind::BadData),
            "{error}"
        );
        error.to_string()
    }
}

#[test]
fn what_is_written_is_read_bit_for_bit() {
    for tied in [false, true] {
        let model = Model::new(tied);
        let read = read_hf(model.dir.path()).unwrap();
        assert_eq!(read.params, Params::init(&spec(tied), 5));
        assert_eq!((read.special, read.tokenizer), (special(), None));
    }
}

#[test]
fn the_same_model_is_written_as_the_same_bytes() {
    let (a, b) = (Model::new(false), Model::new(false));
    for name in ["config.json", "generation_config.json", "model.safetensors"] {
        let bytes = |model: &Model| std::fs::read(model.path(name)).unwrap();
        assert_eq!(bytes(&a), bytes(&b), "{name}");
    }
}

#[test]
fn every_key_that_the_core_does_not_have_is_refused_by_name() {
    let refused = [
        ("model_type", json!("qwen2")),
        ("architectures", json!(["LlamaForSequenceClassification"])),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("sliding_window", json!(4096)),
        ("rope_scaling", json!({ "type": "linear", "factor": 2.0 })),
        ("rope_scaling", json!({ "factor": 8.0 })),
        (
            "rope_parameters",
            json!({ "rope_type": "yarn", "rope_theta": 500000.0 }),
        ),
        (
            "rope_parameters",
            json!({ "rope_type": "default", "rope_theta": 500000.0, "partial_rotary_factor": 0.5 }),
        ),
        (
            "rope_parameters",
            json!({ "rope_type": "default", "rope_theta": 10000.0 }),
        ),
        ("hidden_act", json!("gelu")),
        ("partial_rotary_factor", json!(0.5)),
        ("quantization_config", json!({ "quant_method": "gptq" })),
        (
            "auto_map",
            json!({ "AutoModelForCausalLM": "modeling.Model" }),
        ),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(5)),
        ("hidden_size", json!("6")),
        ("vocab_size", json!(-1)),
        ("num_hidden_layers", json!(0)),
        ("rms_norm_eps", json!(0.0)),
        ("rope_theta", json!("large")),
        ("tie_word_embeddings", json!("yes")),
        ("eos_token_id", json!("</s>")),
    ];
    for (key, value) in refused {
        let model = Model::new(false);
        let message = model.set(key, value.clone()).refusal();
        assert!(
            message.contains("config.json") && message.contains(key),
            "{message}"
        );
        let got = value.to_string();
        assert!(
            message.contains(&got) || message.contains("not 5"),
            "{message}"
        );
    }
    for key in [
        "model_type",
        "hidden_size",
        "vocab_size",
        "num_hidden_layers",
    ] {
        let message = Model::new(false).unset(key).refusal();
        assert!(
            message.contains(key) && message.contains("no such key"),
            "{message}"
        );
    }
}

#[test]
fn keys_that_say_the_usual_in_other_words_are_read() {
    let usual = [
        ("rope_scaling", json!({ "rope_type": "default" })),
        (
            "rope_parameters",
            json!({ "rope_type": "default", "rope_theta": 500000.0 }),
        ),
        ("rope_parameters", json!({ "rope_theta": 500000 })),
        ("sliding_window", Value::Null),
        ("partial_rotary_factor", json!(1.0)),
        ("hidden_act", Value::Null),
        ("architectures", Value::Null),
        ("use_cache", json!(false)),
        ("eos_token_id", json!([2])),
    ];
    for (key, value) in usual {
        let model = Model::new(false);
        let read = read_hf(model.set(key, value).dir.path()).unwrap();
        assert_eq!(
            (read.params.spec, read.special),
            (spec(false), special()),
            "{key}"
        );
    }
}

fn llama3() -> ModelSpec {
    ModelSpec {
        rope_scaling: Some(Llama3Scaling {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            n_original: 8,
        }),
        ..spec(false)
    }
}

#[test]
fn the_rope_scaling_of_llama_3_1_is_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let params = Params::init(&llama3(), 5);
    write_hf(dir.path(), &params, &special(), None).unwrap();
    assert_eq!(read_hf(dir.path()).unwrap().params, params);
    let model = Model { dir };
    std::fs::remove_file(model.path(SEAL_JSON)).unwrap();
    let half = json!({ "rope_type": "llama3", "factor": 8.0 });
    let refusal = model.set("rope_scaling", half).refusal();
    assert!(
        refusal.contains("rope_scaling.low_freq_factor"),
        "{refusal}"
    );
}

#[test]
fn a_mistral_without_a_window_is_a_llama_by_another_name() {
    let model = Model::new(true);
    model.set("model_type", json!("mistral"));
    model.set("architectures", json!(["MistralForCausalLM"]));
    let refusal = model.refusal();
    assert!(
        refusal.contains("sliding_window") && refusal.contains("4096"),
        "{refusal}"
    );
    model.set("sliding_window", Value::Null);
    let read = read_hf(model.dir.path()).unwrap();
    assert_eq!(read.params, Params::init(&spec(true), 5));
    let refusal = model.set("sliding_window", json!(8)).refusal();
    assert!(
        refusal.contains("sliding_window") && refusal.contains("got 8"),
        "{refusal}"
    );
}

#[test]
fn theta_may_stand_among_the_rope_parameters_alone() {
    let model = Model::new(false);
    model.unset("rope_theta").unset("rope_scaling");
    model.set(
        "rope_parameters",
        json!({ "rope_type": "default", "rope_theta": 1234.5 }),
    );
    assert_eq!(
        read_hf(model.dir.path()).unwrap().params.spec.rope_theta,
        1234.5
    );
}

#[test]
fn absent_keys_have_the_defaults_of_transformers() {
    let model = Model::new(true);
    for key in [
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_theta",
        "max_position_embeddings",
    ] {
        model.unset(key);
    }
    model.set("num_key_value_heads", Value::Null);
    let (spec, _) = read_config(model.dir.path()).unwrap();
    assert_eq!((spec.n_kv_heads, spec.max_seq_len), (spec.n_heads, 2048));
    assert_eq!((spec.norm_eps, spec.rope_theta), (1e-6, 10_000.0));
    model.unset("head_dim").set("hidden_size", json!(8));
    assert_eq!(read_config(model.dir.path()).unwrap().0.head_dim, 2);
    let message = model.set("hidden_size", json!(6)).refusal();
    assert!(
        message.contains("hidden_size") && message.contains("4 heads"),
        "{message}"
    );
}

#[test]
fn weights_that_do_not_fit_the_configuration_are_refused_by_tensor() {
    let missing = Model::new(true);
    missing.rewrite("model.safetensors", |name| name != "model.norm.weight", &[]);
    let message = missing.refusal();
    assert!(
        message.contains("model.norm.weight") && message.contains("none"),
        "{message}"
    );

    let biased = Model::new(true);
    let bias = "model.layers.0.self_attn.q_proj.bias";
    biased.rewrite("model.safetensors", |_| true, &[(bias, &[16], &[0.0; 16])]);
    let message = biased.refusal();
    assert!(
        message.contains(bias) && message.contains("no such bias"),
        "{message}"
    );

    let fewer_layers = Model::new(false);
    let message = fewer_layers.set("num_hidden_layers", json!(1)).refusal();
    assert!(
        message.contains("model.layers.1.") && message.contains("only"),
        "{message}"
    );

    let wider = Model::new(false);
    let message = wider.set("intermediate_size", json!(9)).refusal();
    assert!(
        message.contains("[9, 6]") && message.contains("[10, 6]"),
        "{message}"
    );

    let huge = Model::new(false);
    let message = huge
        .set("num_hidden_layers", json!(4_000_000_000_u32))
        .refusal();
    assert!(message.contains("num_hidden_layers"), "{message}");
}

#[test]
fn a_model_of_another_dtype_is_refused() {
    let model = Model::new(true);
    let params = Params::init(&spec(true), 5);
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = params
        .layout
        .tensors
        .iter()
        .map(|slot| {
            let values = params.values[slot.range.clone()].iter();
            let bytes = values.flat_map(|&v| f64::from(v).to_le_bytes()).collect();
            (slot.name.clone(), slot.shape.clone(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap(),
        )
    });
    std::fs::write(
        model.path("model.safetensors"),
        serialize(views, None).unwrap(),
    )
    .unwrap();
    let message = model.refusal();
    assert!(
        message.contains("F64") && message.contains("BF16"),
        "{message}"
    );
}

#[test]
fn a_tied_model_may_repeat_its_embedding_but_nothing_else_as_the_head() {
    let params = Params::init(&spec(true), 5);
    let embedding = params.tensor("model.embed_tokens.weight").unwrap();
    let with_head = |head: &[f32]| {
        let model = Model::new(true);
        let buffer = (
            "model.layers.0.self_attn.rotary_emb.inv_freq",
            &[2][..],
            &[1.0, 0.1][..],
        );
        let head = ("lm_head.weight", &[12, 6][..], head);
        model.rewrite("model.safetensors", |_| true, &[head, buffer]);
        model
    };
    assert_eq!(
        read_hf(with_head(embedding).dir.path()).unwrap().params,
        params
    );
    let mut other = embedding.to_vec();
    other[71] += 0.5;
    let message = with_head(&other).refusal();
    assert!(
        message.contains("lm_head.weight") && message.contains("tie_word_embeddings"),
        "{message}"
    );
    let untied_without_head = Model::new(true);
    let message = untied_without_head
        .set("tie_word_embeddings", json!(false))
        .refusal();
    assert!(
        message.contains("lm_head.weight") && message.contains("tie_word_embeddings"),
        "{message}"
    );
}

/// The weights in two shards with an index.
fn shard(model: &Model) {
    std::fs::remove_file(model.path("model.safetensors")).unwrap();
    let is_first = |name: &str| name < "model.layers.1";
    model.rewrite("model-1-of-2.safetensors", is_first, &[]);
    model.rewrite("model-2-of-2.safetensors", |name| !is_first(name), &[]);
    let layout = Params::blank(&spec(true)).layout;
    let map: serde_json::Map<String, Value> = layout
        .tensors
        .iter()
        .map(|slot| {
            let shard = if is_first(&slot.name) { 1 } else { 2 };
            (
                slot.name.clone(),
                json!(format!("model-{shard}-of-2.safetensors")),
            )
        })
        .collect();
    write_index(model, json!(map));
}

fn write_index(model: &Model, map: Value) {
    let index = json!({ "metadata": {}, "weight_map": map });
    std::fs::write(
        model.path("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
}

#[test]
fn sharded_weights_are_read_and_checked_against_their_index() {
    let model = Model::new(true);
    shard(&model);
    let read = read_hf(model.dir.path()).unwrap();
    assert_eq!(read.params, Params::init(&spec(true), 5));

    std::fs::copy(
        model.path("model-1-of-2.safetensors"),
        model.path("model-2-of-2.safetensors"),
    )
    .unwrap();
    let message = model.refusal();
    assert!(
        message.contains("model-2-of-2") && message.contains("another copy"),
        "{message}"
    );

    write_index(&model, json!({ "a": "model-1-of-2.safetensors" }));
    let message = model.refusal();
    assert!(
        message.contains("tensor a") && message.contains("index.json"),
        "{message}"
    );
    for map in [json!({ "a": "../b.safetensors" }), json!({}), json!([1])] {
        write_index(&model, map);
        assert!(model.refusal().contains("weight_map"));
    }
}

#[test]
fn a_directory_without_a_model_says_what_should_be_there() {
    let model = Model::new(true);
    std::fs::remove_file(model.path("model.safetensors")).unwrap();
    let message = model.refusal();
    assert!(
        message.contains("model.safetensors.index.json"),
        "{message}"
    );
    std::fs::write(model.path("config.json"), "[]").unwrap();
    assert!(model.refusal().contains("not a JSON object"));
    let empty = tempfile::tempdir().unwrap();
    let message = find_model(empty.path()).unwrap_err().to_string();
    assert!(
        message.contains("config.json") && message.contains("RUN/final"),
        "{message}"
    );
}

#[test]
fn the_directory_of_a_run_stands_for_its_final_model() {
    let run = tempfile::tempdir().unwrap();
    let last = run.path().join("final");
    write_hf(&last, &Params::init(&spec(true), 5), &special(), None).unwrap();
    assert_eq!(find_model(run.path()).unwrap(), last);
    assert_eq!(find_model(&last).unwrap(), last);
}

/// A word-level tokenizer of `n_words` words after `<s>` and `</s>`.
fn tokenizer(n_words: usize) -> Vec<u8> {
    let mut vocab = serde_json::Map::new();
    vocab.insert("<unk>".to_owned(), json!(0));
    for (id, word) in ["<s>", "</s>"].into_iter().enumerate() {
        vocab.insert(word.to_owned(), json!(id + 1));
    }
    for id in 0..n_words {
        vocab.insert(format!("w{id}"), json!(id + 3));
    }
    let added: Vec<Value> = [(1, "<s>"), (2, "</s>")]
        .map(|(id, content)| {
            json!({ "id": id, "content": content, "special": true, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false })
        })
        .into();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": { "type": "Whitespace" },
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "<unk>" },
    });
    tokenizer.to_string().into_bytes()
}

#[test]
fn a_tokenizer_goes_with_the_model_with_its_special_tokens_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (params, bytes) = (Params::init(&spec(true), 5), tokenizer(9));
    write_hf(dir.path(), &params, &special(), Some(&bytes)).unwrap();
    let path = dir.path().join("tokenizer.json");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(read_hf(dir.path()).unwrap().tokenizer, Some(path));
    let config = read_json(&dir.path().join("tokenizer_config.json"));
    assert_eq!(config["bos_token"], "<s>");
    assert_eq!(config["eos_token"], "</s>");
    assert_eq!(config["model_max_length"], 16);
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_tokenizer_of_more_ids_than_the_model_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let params = Params::init(&spec(true), 5);
    let error = write_hf(dir.path(), &params, &special(), Some(&tokenizer(10))).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("12 ids") && message.contains("13"),
        "{message}"
    );
    let error = write_hf(dir.path(), &params, &special(), Some(b"{}")).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Name and bytes of every file.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_write_that_fails_anywhere_leaves_the_old_model_the_new_one_or_none() {
    let (old, new) = (Params::init(&spec(true), 5), Params::init(&spec(true), 6));
    let mut outcomes = [0; 3];
    for n in 0.. {
        let model = Model::new(true);
        let dir = model.dir.path();
        let write = || write_hf(dir, &new, &special(), Some(&tokenizer(9)));
        let (result, reached) = crate::storage::fail_nth(n, write);
        assert!(
            files(dir).iter().all(|(name, _)| !name.starts_with('.')),
            "{n}: a temporary"
        );
        if !reached {
            result.unwrap();
            break;
        }
        result.unwrap_err();
        let outcome = match read_hf(dir) {
            Ok(read) if read.params == old => 0,
            Ok(read) if read.params == new => 1,
            Ok(_) => panic!("{n}: a mixture"),
            Err(error) => {
                assert!(error.to_string().contains("config.json"), "{n}: {error}");
                2
            }
        };
        outcomes[outcome] += 1;
    }
    // Stopped before all is on disk, after the last rename, and between the first rename and the last.
    assert!(outcomes.iter().all(|&n| n > 0), "{outcomes:?}");
}

#[test]
fn what_a_killed_write_left_is_swept_by_the_next() {
    let model = Model::new(true);
    let left = model.path(".model.safetensors.host.1.0123456789abcdef");
    std::fs::write(&left, "half").unwrap();
    write_hf(
        model.dir.path(),
        &Params::init(&spec(true), 5),
        &special(),
        None,
    )
    .unwrap();
    assert!(!left.exists());
}

#[test]
fn an_onnx_write_that_fails_leaves_no_model_over_the_weights_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let (old, new) = (Params::init(&spec(true), 5), Params::init(&spec(false), 6));
    write_onnx(&path, &new, OnnxWeights::External, &Interrupt::new()).unwrap();
    let whole_new = files(dir.path());
    for n in 0.. {
        write_onnx(&path, &old, OnnxWeights::External, &Interrupt::new()).unwrap();
        let whole_old = files(dir.path());
        let write = || write_onnx(&path, &new, OnnxWeights::External, &Interrupt::new());
        let (result, reached) = crate::storage::fail_nth(n, write);
        let found = files(dir.path());
        let has_model = found.iter().any(|(name, _)| name == "m.onnx");
        assert!(
            !has_model || found == whole_old || found == whole_new,
            "{n}"
        );
        if !reached {
            result.unwrap();
            break;
        }
        result.unwrap_err();
    }
}

#[test]
fn no_flipped_bit_of_what_was_written_here_is_read_in_silence() {
    let model = Model::sealed();
    let good = read_hf(model.dir.path()).unwrap();
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        SEAL_JSON,
    ] {
        let path = model.path(name);
        let bytes = std::fs::read(&path).unwrap();
        for i in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
            let mut flipped = bytes.clone();
            flipped[i] ^= 1 << (i % 8);
            std::fs::write(&path, &flipped).unwrap();
            match read_hf(model.dir.path()) {
                Err(error) => assert_eq!(error.kind(), Kind::BadData, "{error}"),
                // A flip in the white space of the seal itself.
                Ok(read) => assert!(name == SEAL_JSON && read == good, "{name}, byte {i}"),
            }
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    let path = model.path("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refusal = model.refusal();
    assert!(
        refusal.contains("model.safetensors has changed since it was written"),
        "{refusal}"
    );
    assert!(refusal.contains("remove ") && refusal.contains(SEAL_JSON));
    std::fs::remove_file(model.path(SEAL_JSON)).unwrap();
    assert_ne!(read_hf(model.dir.path()).unwrap(), good);
}

#[test]
fn a_write_that_ended_before_its_last_file_is_known_as_half() {
    let model = Model::sealed();
    assert!(!is_half(model.dir.path()));
    std::fs::remove_file(model.path("config.json")).unwrap();
    assert!(is_half(model.dir.path()));
    std::fs::remove_file(model.path(SEAL_JSON)).unwrap();
    assert!(!is_half(model.dir.path()), "files of another program");
}

#[test]
fn a_stop_that_is_asked_for_leaves_the_old_model() {
    let model = Model::sealed();
    let before = files(model.dir.path());
    let other = Params::init(&spec(true), 6);
    let contents = HfContents {
        params: &other,
        special: &special(),
        tokenizer_json: None,
    };
    let interrupt = Interrupt::new();
    interrupt.request();
    let error = write_hf_until(model.dir.path(), &contents, &interrupt).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    let onnx = model.path("model.onnx");
    for weights in [OnnxWeights::Inline, OnnxWeights::External] {
        let error = write_onnx(&onnx, &other, weights, &interrupt).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
    }
    assert_eq!(files(model.dir.path()), before);
    let new = model.path("new");
    let error = write_hf_until(&new, &contents, &interrupt).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert!(!new.exists());
}

/// One tensor of each dtype instead of the embedding, as quantized models have it.
#[test]
fn a_quantized_model_is_refused_by_the_name_of_its_dtype_or_of_its_tensors() {
    let model = Model::new(true);
    let path = model.path("model.safetensors");
    for dtype in [
        Dtype::F8_E4M3,
        Dtype::F8_E5M2,
        Dtype::I8,
        Dtype::U8,
        Dtype::I32,
        Dtype::F64,
    ] {
        let shape = [12, 6];
        let bytes = vec![0; 72 * dtype.bitsize() / 8];
        let view = TensorView::new(dtype, shape.to_vec(), &bytes).unwrap();
        let file = serialize([("model.embed_tokens.weight", view)], None).unwrap();
        std::fs::write(&path, file).unwrap();
        let refusal = model.refusal();
        for word in [
            &*format!("{dtype:?}"),
            "not supported",
            "model.embed_tokens",
        ] {
            assert!(refusal.contains(word), "{dtype:?}: {refusal}");
        }
        assert!(!refusal.contains("parameters"), "{refusal}");
    }
    for name in [
        "model.layers.0.mlp.up_proj.weight_scale_inv",
        "model.layers.0.mlp.up_proj.SCB",
        "model.layers.0.mlp.up_proj.weight.absmax",
    ] {
        model.rewrite("model.safetensors", |_| true, &[(name, &[1], &[1.0])]);
        let refusal = model.refusal();
        assert!(
            refusal.contains(name) && refusal.contains("quantized"),
            "{refusal}"
        );
    }
    let model = Model::new(true);
    for key in ["quantization_config", "compression_config", "quantization"] {
        model.set(key, json!({ "quant_method": "gptq", "bits": 4 }));
        let refusal = model.refusal();
        assert!(
            refusal.contains(key) && refusal.contains("gptq"),
            "{refusal}"
        );
        model.unset(key);
    }
}

#[test]
fn a_shard_that_cannot_be_there_is_no_failure_that_another_try_could_mend() {
    let model = Model::new(true);
    shard(&model);
    let first = model.path("model-1-of-2.safetensors");
    let bytes = std::fs::read(&first).unwrap();
    let refused = |what: &str| {
        let error = read_hf(model.dir.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::BadData, "{error}");
        let message = error.to_string();
        assert!(message.contains("model-1-of-2"), "{message}");
        assert!(message.contains(what), "{message}");
    };
    std::fs::remove_file(&first).unwrap();
    refused("though");
    std::os::unix::fs::symlink("blobs/gone", &first).unwrap();
    refused("a symbolic link to blobs/gone");
    std::fs::remove_file(&first).unwrap();
    std::fs::create_dir(&first).unwrap();
    refused("a directory");
    std::fs::remove_dir(&first).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&first).status();
    assert!(made.unwrap().success());
    refused("a pipe or a device");
    std::fs::remove_file(&first).unwrap();
    std::fs::write(&first, "").unwrap();
    refused("an empty file");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 100\n";
    std::fs::write(&first, pointer).unwrap();
    refused("git lfs pull");
    for n_bytes in [4, 40, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&first, &bytes[..n_bytes]).unwrap();
        refused(&format!("has {n_bytes} bytes"));
    }
    std::fs::write(&first, &bytes).unwrap();
    read_hf(model.dir.path()).unwrap();
}

#[test]
fn a_pointer_of_git_lfs_and_a_link_to_nothing_are_known_under_every_name() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 100\n";
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let model = Model::sealed();
        std::fs::remove_file(model.path(SEAL_JSON)).unwrap();
        std::fs::write(model.path(name), pointer).unwrap();
        let refusal = model.refusal();
        assert!(
            refusal.contains(name) && refusal.contains("git lfs pull"),
            "{refusal}"
        );
        std::fs::remove_file(model.path(name)).unwrap();
        std::os::unix::fs::symlink("../blobs/gone", model.path(name)).unwrap();
        let error = find_model(model.dir.path()).and_then(|dir| read_hf(&dir));
        let refusal = error.unwrap_err().to_string();
        assert!(
            refusal.contains(name) && refusal.contains("../blobs/gone"),
            "{refusal}"
        );
    }
}

#[test]
fn an_index_that_names_a_tensor_twice_is_refused() {
    let model = Model::new(true);
    shard(&model);
    let path = model.path("model.safetensors.index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let twice = text.replacen(
        "\"weight_map\":{",
        "\"weight_map\":{\"model.norm.weight\":\"model-1-of-2.safetensors\",",
        1,
    );
    assert_ne!(text, twice, "{text}");
    std::fs::write(&path, twice).unwrap();
    let refusal = model.refusal();
    assert!(refusal.contains("model.norm.weight twice"), "{refusal}");
}
