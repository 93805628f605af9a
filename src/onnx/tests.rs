use super::build::{ModelBuilder, TensorData};
use super::signature::outline_of;
use super::*;
use crate::error::{Classified, Kind};
use crate::models::samples::{self, Sample};
use crate::models::{DecoderSpec, decoder};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn write(model: &ModelBuilder) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.write(&path).unwrap();
    (folder, path)
}

fn signature(model: &ModelBuilder) -> Result<Signature, OnnxError> {
    let (_folder, path) = write(model);
    read_signature(&path, None)
}

fn refusal(model: &ModelBuilder) -> String {
    signature(model).unwrap_err().to_string()
}

fn bt() -> [Dim; 2] {
    [Dim::symbol("batch"), Dim::symbol("seq")]
}

#[test]
fn a_plain_model_gives_ids_logits_and_vocabulary() {
    let signature = signature(&Sample::default().build()).unwrap();
    assert_eq!(signature.inputs.len(), 1);
    assert_eq!(signature.inputs[0].1, InputRole::InputIds);
    assert_eq!(
        signature.inputs[0].0.to_string(),
        "input_ids int64[batch, seq]"
    );
    assert_eq!(
        signature.logits.to_string(),
        "logits float32[batch, seq, 16]"
    );
    assert_eq!(signature.vocab_size, Some(16));
    assert_eq!(
        signature.opset,
        [OpsetImport {
            domain: String::new(),
            version: 17
        }]
    );
    assert_eq!(
        (signature.fixed_batch, signature.fixed_seq_len),
        (None, None)
    );
    assert_eq!(
        (signature.ir_version, signature.producer.as_str()),
        (8, "saltworks")
    );
    assert_eq!(signature.max_seq_len, None);
}

#[test]
fn dynamic_quantization_is_recognized() {
    assert!(
        !signature(&Sample::default().build())
            .unwrap()
            .scales_by_batch
    );
    let model = samples::dynamically_quantized();
    assert!(signature(&model).unwrap().scales_by_batch);
}

#[test]
fn every_known_input_has_its_role() {
    let sample = Sample {
        ids_dtype: DType::I32,
        mask: Some(DType::I64),
        positions: Some((3, DType::I32)),
        token_types: Some(DType::I64),
        use_cache_branch: true,
        logits_dtype: DType::Bf16,
        ..Sample::default()
    };
    let signature = signature(&sample.build()).unwrap();
    let roles: Vec<InputRole> = signature.inputs.into_iter().map(|(_, role)| role).collect();
    let expected = [
        InputRole::InputIds,
        InputRole::AttentionMask,
        InputRole::PositionIds { rank: 3 },
        InputRole::TokenTypeIds,
        InputRole::UseCacheBranch,
    ];
    assert_eq!(roles, expected);
    assert_eq!(signature.logits.dtype, DType::Bf16);
}

fn past_dims_of(dims: &[Dim]) -> Result<Vec<PastDim>, OnnxError> {
    past_dims_beside(dims, None)
}

fn past_dims_beside(dims: &[Dim], config: Option<&str>) -> Result<Vec<PastDim>, OnnxError> {
    let past = vec![(
        "past_key_values.7.key".to_owned(),
        DType::F32,
        dims.to_vec(),
    )];
    let (folder, path) = write(
        &Sample {
            past,
            ..Sample::default()
        }
        .build(),
    );
    if let Some(config) = config {
        std::fs::write(folder.path().join("config.json"), config).unwrap();
    }
    let signature = read_signature(&path, None)?;
    match &signature.inputs[1].1 {
        InputRole::Past { dims } => Ok(dims.clone()),
        other => panic!("expected a past, got {other:?}"),
    }
}

const BATCH: PastDim = PastDim::Batch { factor: 1 };

#[test]
fn past_layouts_of_several_exporters_run_with_length_0() {
    let [b, _] = bt();
    let (h, p, d) = (
        Dim::Fixed(4),
        Dim::symbol("past_sequence_length"),
        Dim::Fixed(8),
    );
    let (fh, fd) = (PastDim::Fixed(4), PastDim::Fixed(8));
    let empty = PastDim::Empty;
    let bhpd = [b.clone(), h.clone(), p.clone(), d.clone()];
    assert_eq!(past_dims_of(&bhpd).unwrap(), [BATCH, fh, empty, fd]);
    let bphd = [b.clone(), p.clone(), h.clone(), d.clone()];
    assert_eq!(past_dims_of(&bphd).unwrap(), [BATCH, empty, fh, fd]);
    let joined = [Dim::Fixed(2), b.clone(), h.clone(), p.clone(), d.clone()];
    assert_eq!(
        past_dims_of(&joined).unwrap(),
        [PastDim::Fixed(2), BATCH, fh, empty, fd]
    );
    let merged = [b.clone(), p.clone(), Dim::Fixed(128)];
    assert_eq!(
        past_dims_of(&merged).unwrap(),
        [BATCH, empty, PastDim::Fixed(128)]
    );
    let nameless = [Dim::Unknown, h.clone(), Dim::Unknown, d.clone()];
    assert_eq!(past_dims_of(&nameless).unwrap(), [BATCH, fh, empty, fd]);
    let nameless = [
        Dim::Fixed(2),
        Dim::Unknown,
        h.clone(),
        Dim::Unknown,
        d.clone(),
    ];
    assert_eq!(
        past_dims_of(&nameless).unwrap(),
        [PastDim::Fixed(2), BATCH, fh, empty, fd]
    );
    let odd_names = [Dim::symbol("s0"), h.clone(), Dim::symbol("s7"), d.clone()];
    assert_eq!(past_dims_of(&odd_names).unwrap(), [BATCH, fh, empty, fd]);
    let fixed_batch = [Dim::Fixed(1), h, p, d];
    assert_eq!(
        past_dims_of(&fixed_batch).unwrap(),
        [PastDim::Fixed(1), fh, empty, fd]
    );
}

#[test]
fn heads_and_head_width_come_from_the_configuration_where_the_graph_has_only_names() {
    let config = r#"{"num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 64}"#;
    let named = ["batch", "num_heads", "past_len", "head_dim"].map(Dim::symbol);
    let expected = [BATCH, PastDim::Fixed(2), PastDim::Empty, PastDim::Fixed(8)];
    assert_eq!(past_dims_beside(&named, Some(config)).unwrap(), expected);
    let bloom = [
        Dim::symbol("batch_size x num_heads"),
        Dim::Fixed(8),
        Dim::symbol("past_len"),
    ];
    let expected = [
        PastDim::Batch { factor: 2 },
        PastDim::Fixed(8),
        PastDim::Empty,
    ];
    assert_eq!(past_dims_beside(&bloom, Some(config)).unwrap(), expected);
    let message = past_dims_of(&named).unwrap_err().to_string();
    assert!(
        message.contains("past_key_values.7.key float32[batch, num_heads"),
        "{message}"
    );
}

#[test]
fn a_past_of_fixed_length_is_refused() {
    let message = past_dims_of(&[1, 4, 128, 8].map(Dim::Fixed))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[1, 4, 128, 8]") && message.contains("dynamic"),
        "{message}"
    );
}

#[test]
fn impossibly_large_dimensions_are_refused() {
    let huge = Dim::Fixed(1 << 40);
    let ids_dims = [huge.clone(), huge.clone()];
    let message = refusal(
        &Sample {
            ids_dims,
            ..Sample::default()
        }
        .build(),
    );
    assert!(
        message.contains("input_ids int64[1099511627776"),
        "{message}"
    );
    let ids_dims = [Dim::Fixed(0), Dim::symbol("seq")];
    refusal(
        &Sample {
            ids_dims,
            ..Sample::default()
        }
        .build(),
    );
    assert!(past_dims_of(&[huge.clone(), huge.clone(), Dim::symbol("past"), huge]).is_err());
}

#[test]
fn past_numbers_may_have_gaps_and_dtypes_may_mix() {
    let dims = || {
        vec![
            bt()[0].clone(),
            Dim::Fixed(4),
            Dim::symbol("past"),
            Dim::Fixed(8),
        ]
    };
    let past = vec![
        ("past_key_values.0.key".to_owned(), DType::F32, dims()),
        ("past_key_values.3.value".to_owned(), DType::F16, dims()),
        ("past_11".to_owned(), DType::Bf16, dims()),
    ];
    let signature = signature(
        &Sample {
            past,
            ..Sample::default()
        }
        .build(),
    )
    .unwrap();
    let n_past = signature
        .inputs
        .iter()
        .filter(|i| matches!(i.1, InputRole::Past { .. }))
        .count();
    assert_eq!(n_past, 3);
}

#[test]
fn fixed_dims_are_reported() {
    let ids_dims = [Dim::Fixed(2), Dim::Fixed(8)];
    let signature = signature(
        &Sample {
            ids_dims,
            ..Sample::default()
        }
        .build(),
    )
    .unwrap();
    assert_eq!(
        (signature.fixed_batch, signature.fixed_seq_len),
        (Some(2), Some(8))
    );
}

#[test]
fn logits_are_found_by_name_by_shape_or_as_told() {
    let sample = Sample {
        logits_name: "lm_out".to_owned(),
        ..Sample::default()
    };
    let mut model = sample.build();
    assert_eq!(signature(&model).unwrap().logits.name, "lm_out");
    let [b, t] = bt();
    let ids = model.cast(&super::build::Edge::named("input_ids"), DType::F32);
    let cube = model.unsqueeze(&ids, &[-1]);
    model.output("other", &cube, DType::F32, &[b, t, Dim::Fixed(77)]);
    let message = refusal(&model);
    assert!(
        message.contains("lm_out") && message.contains("other"),
        "{message}"
    );
    assert!(message.contains("--logits-output"), "{message}");
    let (_folder, path) = write(&model);
    assert_eq!(
        read_signature(&path, Some("other")).unwrap().vocab_size,
        Some(77)
    );
    let message = read_signature(&path, Some("none")).unwrap_err().to_string();
    assert!(
        message.contains("\"none\"") && message.contains("lm_out float32"),
        "{message}"
    );
}

#[test]
fn models_that_cannot_be_teachers_are_refused_with_what_was_found_and_what_to_do() {
    let cases = [
        (
            samples::rank_2_logits(),
            "logits float32[batch, 16]",
            "expected [B, T, V]",
        ),
        (
            samples::hidden_states_only(),
            "last_hidden_state float32",
            "language-model head",
        ),
        (
            samples::inputs_embeds_only(),
            "inputs_embeds",
            "token embedding",
        ),
        (
            samples::encoder_decoder(),
            "decoder_input_ids int64",
            "decoder-only",
        ),
    ];
    for (model, found, remedy) in cases {
        let error = signature(&model).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        let message = error.to_string();
        assert!(
            message.contains(found) && message.contains(remedy),
            "{message}"
        );
    }
}

#[test]
fn an_unknown_required_input_is_named_with_dtype_and_shape() {
    let unknown_input = Some("pixel_values".to_owned());
    let message = refusal(
        &Sample {
            unknown_input,
            ..Sample::default()
        }
        .build(),
    );
    assert!(
        message.contains("pixel_values float32[batch, 3]"),
        "{message}"
    );
    assert!(message.contains("input_ids, attention_mask"), "{message}");
}

#[test]
fn inputs_of_a_wrong_dtype_are_refused() {
    let message = refusal(
        &Sample {
            ids_dtype: DType::F32,
            ..Sample::default()
        }
        .build(),
    );
    assert!(
        message.contains("input_ids float32") && message.contains("int64"),
        "{message}"
    );
    let message = refusal(
        &Sample {
            mask: Some(DType::U8),
            ..Sample::default()
        }
        .build(),
    );
    assert!(message.contains("attention_mask uint8"), "{message}");
}

#[test]
fn a_head_width_without_a_number_is_that_of_the_configuration_beside_the_model() {
    let dims = vec![
        Dim::symbol("batch_size"),
        Dim::Fixed(1),
        Dim::symbol("past_sequence_length"),
        Dim::symbol("kv_cache_dim"),
    ];
    let sample = Sample {
        past: vec![("past_key_values.0.key".to_owned(), DType::F32, dims)],
        ..Sample::default()
    };
    let (folder, path) = write(&sample.build());
    let message = read_signature(&path, None).unwrap_err().to_string();
    assert!(message.contains("genai_config.json"), "{message}");
    std::fs::write(
        folder.path().join("genai_config.json"),
        r#"{"model": {"decoder": {"head_size": 24}}}"#,
    )
    .unwrap();
    let signature = read_signature(&path, None).unwrap();
    let expected = InputRole::Past {
        dims: vec![
            PastDim::Batch { factor: 1 },
            PastDim::Fixed(1),
            PastDim::Empty,
            PastDim::Fixed(24),
        ],
    };
    assert_eq!(signature.inputs[1].1, expected);
}

#[test]
fn the_past_of_a_windowed_operator_is_a_buffer_as_long_as_its_window() {
    let dims = [
        Dim::symbol("batch_size"),
        Dim::Fixed(2),
        Dim::symbol("past_sliding_length"),
        Dim::Fixed(8),
    ];
    let mut model = Sample::default().build();
    let [key, value] = ["past_key_values.0.key", "past_key_values.0.value"]
        .map(|name| model.input(name, DType::F32, &dims));
    let other = model.input("past_key_values.1.key", DType::F32, &dims);
    let ids = super::build::Edge::named("input_ids");
    let attributes = [
        super::build::Attribute::int("local_window_size", 128),
        super::build::Attribute::int("sliding_window_cache", 1),
    ];
    model.node(
        "GroupQueryAttention",
        &[&ids, &ids, &ids, &key, &value],
        &attributes,
    );
    model.node("GroupQueryAttention", &[&ids, &ids, &ids, &other], &[]);
    let (_folder, path) = write(&model);
    let signature = read_signature(&path, None).unwrap();
    let lengths: Vec<PastDim> = signature.inputs[1..]
        .iter()
        .map(|(_, role)| match role {
            InputRole::Past { dims } => dims[2],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        lengths,
        [PastDim::Fixed(128), PastDim::Fixed(128), PastDim::Empty]
    );
}

#[test]
fn a_head_for_another_task_is_recognized_by_the_configuration_next_to_it() {
    let (folder, path) = write(&Sample::default().build());
    std::fs::write(
        folder.path().join("config.json"),
        r#"{"architectures": ["BertForTokenClassification"]}"#,
    )
    .unwrap();
    let message = read_signature(&path, None).unwrap_err().to_string();
    assert!(
        message.contains("BertForTokenClassification") && message.contains("classification"),
        "{message}"
    );
}

#[test]
fn an_input_that_has_a_default_needs_no_feeding() {
    let unknown_input = Some("table".to_owned());
    let signature = signature(
        &Sample {
            unknown_input,
            ..Sample::default()
        }
        .build(),
    )
    .unwrap();
    assert_eq!(signature.inputs.len(), 1);
}

#[test]
fn a_model_without_ids_is_refused_and_one_under_another_name_is_found() {
    let mut model = ModelBuilder::new("no ids");
    let dims = [Dim::Unknown, Dim::Unknown, Dim::Fixed(4)];
    let x = model.input("x", DType::F32, &dims);
    model.output("logits", &x, DType::F32, &dims);
    let message = refusal(&model);
    assert!(
        message.contains("x float32[?, ?, 4]") && message.contains("input_ids"),
        "{message}"
    );
    let mut model = ModelBuilder::new("nano");
    let ids = model.input("context", DType::I64, &bt());
    let table = model.initializer("t", &[4, 4], TensorData::Fill(0.5));
    let rows = model.gather(&table, &ids, 0);
    model.output("logits", &rows, DType::F32, &dims);
    assert_eq!(signature(&model).unwrap().inputs[0].1, InputRole::InputIds);
}

#[test]
fn the_longest_sequence_comes_from_the_files_beside_the_model() {
    for (name, json) in [
        ("config.json", r#"{"max_position_embeddings": 512}"#),
        ("config.json", r#"{"n_positions": 512}"#),
        (
            "config.json",
            r#"{"text_config": {"max_position_embeddings": 512}}"#,
        ),
        ("genai_config.json", r#"{"model": {"context_length": 512}}"#),
    ] {
        let (folder, path) = write(&Sample::default().build());
        let config = folder.path().join(name);
        std::fs::write(&config, json).unwrap();
        let signature = read_signature(&path, None).unwrap();
        assert_eq!(signature.max_seq_len, Some(512), "{json}");
        assert_eq!(signature.max_seq_len_source, Some(config));
    }
}

#[test]
fn the_original_position_limit_comes_from_the_files_next_to_the_model() {
    let of = |json: &str| {
        let (folder, path) = write(&Sample::default().build());
        std::fs::write(folder.path().join("config.json"), json).unwrap();
        read_signature(&path, None).unwrap().original_seq_len
    };
    let longrope =
        r#"{"original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope"}}"#;
    assert_eq!(of(longrope), Some(32));
    let inside =
        r#"{"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 32}}"#;
    assert_eq!(of(inside), Some(32));
    let dynamic =
        r#"{"max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 2}}"#;
    assert_eq!(of(dynamic), Some(64));
    assert_eq!(of(r#"{"original_max_position_embeddings": 32}"#), Some(32));
    let llama3 =
        r#"{"rope_scaling": {"rope_type": "llama3", "original_max_position_embeddings": 32}}"#;
    for json in [llama3, r#"{"max_position_embeddings": 64}"#] {
        assert_eq!(of(json), None, "{json}");
    }
}

#[test]
fn a_broken_configuration_says_nothing() {
    let (folder, path) = write(&Sample::default().build());
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    assert_eq!(read_signature(&path, None).unwrap().max_seq_len, None);
}

fn small_decoder(folder: &Path, external_data: bool) -> PathBuf {
    let path = folder.join("model.onnx");
    let spec = DecoderSpec {
        vocab_size: 32,
        width: 16,
        n_layers: 1,
        n_heads: 2,
        max_seq_len: 8,
        seed: 3,
        external_data,
    };
    decoder(&spec, &path).unwrap();
    path
}

#[test]
fn external_data_is_listed_and_must_be_there_and_long_enough() {
    let folder = tempfile::tempdir().unwrap();
    let path = small_decoder(folder.path(), true);
    let signature = read_signature(&path, None).unwrap();
    assert_eq!(signature.external_files, [PathBuf::from("model.onnx.data")]);
    let data = folder.path().join("model.onnx.data");
    let bytes = std::fs::read(&data).unwrap();
    std::fs::write(&data, &bytes[..bytes.len() - 1]).unwrap();
    let error = read_signature(&path, None).unwrap_err();
    assert_eq!(error.kind(), Kind::BadData);
    let message = error.to_string();
    assert!(
        message.contains("model.onnx.data") && message.contains("expected at least"),
        "{message}"
    );
    std::fs::remove_file(&data).unwrap();
    let message = read_signature(&path, None).unwrap_err().to_string();
    assert!(message.contains("does not exist"), "{message}");
}

#[test]
fn external_data_outside_the_models_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = small_decoder(folder.path(), true);
    let model = std::fs::read(&path).unwrap();
    // Same length as the original name, so that all length prefixes stay correct.
    for escape in [
        "../../secrets00",
        "/etc/passwd0000",
        "a/../../etc/pwd",
        "..\\..\\secrets00",
    ] {
        let changed = replace_all(&model, b"model.onnx.data", escape.as_bytes());
        std::fs::write(&path, changed).unwrap();
        let message = read_signature(&path, None).unwrap_err().to_string();
        assert!(message.contains("outside the model's folder"), "{message}");
    }
}

fn replace_all(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    for start in 0..=bytes.len() - from.len() {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[test]
fn files_that_are_not_models_are_distinguished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for (bytes, hint) in [
        (&b""[..], "empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "git lfs pull",
        ),
        (b"PK\x03\x04rest", "zip"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x10\0\0\0\0\0\0\0{\"a\": 1}", "safetensors"),
        (b"<!DOCTYPE html>", "web page"),
        (b"hello, world", "no ModelProto"),
        (b"\x08\x09", "no ModelProto"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = read_signature(&path, None).unwrap_err();
        assert_eq!(error.kind(), Kind::BadData);
        assert!(error.to_string().contains(hint), "{error}");
    }
    assert!(
        read_signature(folder.path(), None)
            .unwrap_err()
            .to_string()
            .contains("folder")
    );
    let missing = read_signature(&folder.path().join("none.onnx"), None).unwrap_err();
    assert!(missing.to_string().contains("none.onnx"), "{missing}");
}

#[test]
fn a_model_cut_short_anywhere_is_refused_and_mostly_called_so() {
    let (_folder, path) = write(
        &Sample {
            mask: Some(DType::I64),
            ..Sample::default()
        }
        .build(),
    );
    let bytes = std::fs::read(&path).unwrap();
    let graph_end = bytes.len() - 4;
    for length in 1..graph_end {
        let error = outline_of(&path, &bytes[..length]).unwrap_err();
        let cut = matches!(error, OnnxError::Truncated { .. });
        // Cut before the graph's length prefix is complete, the rest may be a complete message.
        assert!(cut || length < 20, "{length}: {error}");
    }
}

#[test]
fn a_second_graph_field_merges_with_the_first() {
    let (_folder, path) = write(&samples::hidden_states_only());
    let mut bytes = std::fs::read(&path).unwrap();
    let other = Sample::default().build().to_bytes();
    // Field 7 of the second model, which follows ir_version (2 bytes) and producer (11).
    bytes.extend_from_slice(&other[13..]);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(read_signature(&path, None).unwrap().logits.name, "logits");
}

#[test]
fn generated_weights_depend_on_the_seed_alone() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (
        small_decoder(a.path(), false),
        small_decoder(b.path(), false),
    );
    assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
}

fn valid_models() -> Vec<Vec<u8>> {
    let past = vec![(
        "past_0".to_owned(),
        DType::F32,
        vec![
            Dim::Fixed(2),
            Dim::symbol("batch"),
            Dim::Fixed(4),
            Dim::symbol("past"),
            Dim::Fixed(8),
        ],
    )];
    let folder = tempfile::tempdir().unwrap();
    vec![
        Sample {
            past,
            mask: Some(DType::I32),
            ..Sample::default()
        }
        .build()
        .to_bytes(),
        std::fs::read(small_decoder(folder.path(), true)).unwrap(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_corruption_panics_the_walker(
        which in 0usize..2,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        truncate in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let mut bytes = valid_models().swap_remove(which);
        for (index, value) in edits {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, bytes).unwrap();
        // Any result will do, but an error must be printable.
        if let Err(error) = read_signature(&path, None) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_random_bytes_panic_the_walker(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = outline_of(Path::new("random"), &bytes);
    }
}

#[test]
fn a_pipe_is_refused_as_a_model_without_blocking() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let error = read_signature(&path, None).unwrap_err().to_string();
    assert!(error.contains("a pipe or a device"), "{error}");
}
