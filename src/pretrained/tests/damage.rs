use super::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Rewrites the weights of a copy: `change` may alter, rename or omit each.
fn rewrite(
    copy: &Copy,
    change: impl Fn(&str, Dtype, &[usize], &[u8]) -> Option<(String, Dtype, Vec<usize>, Vec<u8>)>,
) {
    let bytes = std::fs::read(copy.path("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<_> = file
        .iter()
        .filter_map(|(name, view)| change(name, view.dtype(), view.shape(), view.data()))
        .collect();
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    std::fs::write(copy.path("model.safetensors"), bytes).unwrap();
}

fn same(
    name: &str,
    dtype: Dtype,
    shape: &[usize],
    bytes: &[u8],
) -> (String, Dtype, Vec<usize>, Vec<u8>) {
    (name.to_owned(), dtype, shape.to_vec(), bytes.to_vec())
}

const NORM: &str = "model.layers.1.input_layernorm.weight";

#[test]
fn tensors_that_are_missing_foreign_or_of_another_shape_are_named() {
    let missing = Copy::of("llama");
    rewrite(&missing, |name, dtype, shape, bytes| {
        (name != NORM).then(|| same(name, dtype, shape, bytes))
    });
    let message = missing.refusal();
    assert!(
        message.contains(NORM) && message.contains("[32]"),
        "{message}"
    );

    let other_shape = Copy::of("llama");
    let message = other_shape.set("intermediate_size", json!(48)).refusal();
    assert!(
        message.contains("[48, 32]") && message.contains("[40, 32]"),
        "{message}"
    );
}

#[test]
fn an_unexpected_tensor_is_reported_with_its_meaning() {
    for (other, reason) in [
        ("model.layers.2.input_layernorm.weight", "LlamaForCausalLM"),
        ("model.layers.1.mlp.up_proj.weight_scale", "not quantized"),
        (
            "model.layers.1.mlp.up_proj.lora_A.weight",
            "merge the adapter",
        ),
        ("model.layers.1.mlp.up_proj.bias", "no such bias"),
    ] {
        let copy = Copy::of("llama");
        let bytes = std::fs::read(copy.path("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let more = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let views = file.iter().chain([(other, more)]);
        let bytes = safetensors::serialize(views, None).unwrap();
        std::fs::write(copy.path("model.safetensors"), bytes).unwrap();
        let message = copy.refusal();
        assert!(
            message.contains(other) && message.contains(reason),
            "{message}"
        );
    }
}

#[test]
fn weights_of_eight_bits_and_values_that_are_no_numbers_are_refused() {
    let eight = Copy::of("llama");
    rewrite(&eight, |name, dtype, shape, bytes| {
        Some(match name == NORM {
            true => same(name, Dtype::F8_E4M3, shape, &bytes[..32]),
            false => same(name, dtype, shape, bytes),
        })
    });
    let message = eight.refusal();
    assert!(
        message.contains(NORM) && message.contains("F32, F16 or BF16"),
        "{message}"
    );

    let infinite = Copy::of("llama");
    rewrite(&infinite, |name, dtype, shape, bytes| {
        let mut bytes = bytes.to_vec();
        if name == NORM {
            bytes[20..24].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        Some(same(name, dtype, shape, &bytes))
    });
    let checkpoint = infinite.open().unwrap();
    let norms = weights_of(&checkpoint.spec);
    let norm = norms
        .iter()
        .find(|w| w.name == "layers.1.attention.norm.weight");
    let message = checkpoint
        .read_rows(norm.unwrap(), 0..32, &mut Vec::new())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(NORM) && message.contains("NaN at value 5"),
        "{message}"
    );
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let copy = Copy::of("gpt2");
    let bytes = std::fs::read(copy.path("model.safetensors")).unwrap();
    for n_bytes in [0, 7, 8, 100, 5_000, bytes.len() - 1] {
        std::fs::write(copy.path("model.safetensors"), &bytes[..n_bytes]).unwrap();
        let message = copy.refusal();
        assert!(
            message.contains("model.safetensors"),
            "{n_bytes}: {message}"
        );
    }
}

#[test]
fn an_index_and_its_shards_have_to_agree() {
    let copy = Copy::of("llama-shards");
    std::fs::remove_file(copy.path("model-00002-of-00003.safetensors")).unwrap();
    let message = copy.refusal();
    assert!(
        message.contains("model-00002-of-00003") && message.contains("index"),
        "{message}"
    );

    let two = Copy::of("llama-shards");
    std::fs::copy(
        Copy::of("llama").path("model.safetensors"),
        two.path("model.safetensors"),
    )
    .unwrap();
    let message = two.refusal();
    assert!(message.contains("one checkpoint"), "{message}");

    let stale = Copy::of("llama-shards");
    let other = stale.path("model-00001-of-00002.safetensors");
    std::fs::copy(stale.path("model-00001-of-00003.safetensors"), other).unwrap();
    let message = stale.refusal();
    assert!(
        message.contains("model-00001-of-00002") && message.contains("remove"),
        "{message}"
    );
}

#[test]
fn other_formats_are_refused_with_a_conversion_command() {
    for (name, remedy) in [
        ("pytorch_model.bin", "save_pretrained"),
        ("pytorch_model.bin.index.json", "save_pretrained"),
        ("consolidated.safetensors", "maker's own names"),
        ("adapter_model.safetensors", "merge_and_unload"),
        ("nothing.txt", "safe_serialization"),
    ] {
        let copy = Copy::of("llama");
        std::fs::rename(copy.path("model.safetensors"), copy.path(name)).unwrap();
        let message = copy.refusal();
        assert!(message.contains(remedy), "{message}");
    }
}

#[test]
fn an_adapter_is_no_checkpoint() {
    let copy = Copy::of("llama");
    std::fs::write(copy.path("adapter_config.json"), "{}").unwrap();
    assert!(copy.refusal().contains("merge_and_unload"));
    std::fs::remove_file(copy.path("config.json")).unwrap();
    assert!(copy.refusal().contains("merge_and_unload"));
}

#[test]
fn a_path_that_is_not_a_model_directory_is_refused() {
    let copy = Copy::of("llama");
    let file = Checkpoint::open(&copy.path("model.safetensors")).unwrap_err();
    assert!(file.to_string().contains("give the directory"), "{file}");
    let nothing = Checkpoint::open(&copy.path("nothing")).unwrap_err();
    assert!(nothing.to_string().contains("config.json"), "{nothing}");
    std::fs::write(copy.path("config.json"), "[1]").unwrap();
    assert!(copy.refusal().contains("JSON object"));
}

#[test]
fn extra_weights_under_vendor_names_are_ignored_with_a_note() {
    let copy = Copy::of("llama");
    std::fs::write(copy.path("consolidated.safetensors"), "x").unwrap();
    std::fs::write(copy.path("tokenizer.json"), "{}").unwrap();
    let checkpoint = copy.open().unwrap();
    assert_eq!(checkpoint.notes.len(), 1);
    assert!(checkpoint.notes[0].contains("consolidated.safetensors"));
}
