use super::*;
use crate::error::Classified;
use crate::train::model::ModelSpec;
use half::{bf16, f16};
use safetensors::SafeTensors;

fn spec(tie_embeddings: bool) -> ModelSpec {
    ModelSpec {
        vocab_size: 11,
        d_model: 6,
        n_layers: 2,
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 4,
        d_ff: 5,
        max_seq_len: 16,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings,
    }
}

fn message(result: Result<(), ExportError>) -> String {
    result.expect_err("it is refused").to_string()
}

fn write_params(path: &Path, params: &Params) -> FileHash {
    let sealed = seal_params(path, params, &Interrupt::new()).unwrap();
    let hash = sealed.hash.clone();
    sealed.replace().unwrap();
    hash
}

#[test]
fn parameters_come_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    for tied in [false, true] {
        let mut params = Params::init(&spec(tied), 3);
        params.values[7] = -0.0;
        params.values[8] = f32::MIN_POSITIVE / 4.0;
        let hash = write_params(&path, &params);
        assert_eq!(hash, crate::storage::hash_file(&path).unwrap());
        let mut read = Params::blank(&spec(tied));
        read_params(&path, &mut read).unwrap();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read.values), bits(&params.values));
    }
}

#[test]
fn the_file_is_what_the_safetensors_crate_says_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.safetensors");
    let values: Vec<f32> = (0..6).map(|i| i as f32).collect();
    let tensors = [
        Tensor {
            name: "b",
            shape: &[2, 2],
            values: &values[..4],
        },
        Tensor {
            name: "a",
            shape: &[2],
            values: &values[4..],
        },
    ];
    write_tensors(&path, &tensors, &[("step", "12"), ("format", "pt")]).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (header_len, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header_len % ALIGNMENT, 0);
    assert_eq!(metadata.metadata().as_ref().unwrap()["step"], "12");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let a = file.tensor("a").unwrap();
    assert_eq!((a.dtype(), a.shape()), (Dtype::F32, &[2][..]));
    assert_eq!(a.data(), [4f32.to_le_bytes(), 5f32.to_le_bytes()].concat());
    assert_eq!(
        TensorFile::open(&path).unwrap().names(),
        ["b".to_owned(), "a".to_owned()]
    );
}

#[test]
fn more_values_than_a_block_come_back_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.safetensors");
    let values: Vec<f32> = (0..2 * BLOCK + 3).map(|i| i as f32).collect();
    let shape = [values.len()];
    let tensor = Tensor {
        name: "a",
        shape: &shape,
        values: &values,
    };
    write_tensors(&path, &[tensor], &[]).unwrap();
    let mut read = vec![0.0; values.len()];
    let tensor = TensorMut {
        name: "a",
        shape: &shape,
        values: &mut read,
    };
    read_tensors(&path, &mut [tensor]).unwrap();
    assert_eq!(read, values);
}

#[test]
fn half_precision_is_widened_exactly() {
    use safetensors::tensor::{TensorView, serialize};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.safetensors");
    let halves: Vec<u8> = [1.5f32, -2.25]
        .iter()
        .flat_map(|&v| f16::from_f32(v).to_le_bytes())
        .collect();
    let brains: Vec<u8> = [3.0f32, -0.5]
        .iter()
        .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
        .collect();
    let views = [
        ("h", TensorView::new(Dtype::F16, vec![2], &halves).unwrap()),
        ("b", TensorView::new(Dtype::BF16, vec![2], &brains).unwrap()),
    ];
    std::fs::write(&path, serialize(views, None).unwrap()).unwrap();
    let (mut h, mut b) = ([0.0; 2], [0.0; 2]);
    let mut into = [("h", &mut h), ("b", &mut b)].map(|(name, values)| TensorMut {
        name,
        shape: &[2],
        values,
    });
    read_tensors(&path, &mut into).unwrap();
    assert_eq!((h, b), ([1.5, -2.25], [3.0, -0.5]));
}

#[test]
fn what_is_not_the_expected_tensor_is_refused_by_name() {
    use safetensors::tensor::{TensorView, serialize};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.safetensors");
    let data = [0u8; 16];
    let view = TensorView::new(Dtype::I32, vec![4], &data).unwrap();
    std::fs::write(&path, serialize([("a", view)], None).unwrap()).unwrap();
    let mut room = [0.0; 4];
    let mut read = |name: &'static str, shape: &'static [usize]| {
        let values = &mut room[..shape.iter().product()];
        message(read_tensors(
            &path,
            &mut [TensorMut {
                name,
                shape,
                values,
            }],
        ))
    };
    let dtype = read("a", &[4]);
    assert!(
        dtype.contains("tensor a") && dtype.contains("I32"),
        "{dtype}"
    );
    let shape = read("a", &[2, 2]);
    assert!(shape.contains("[2, 2]") && shape.contains("[4]"), "{shape}");
    let foreign = read("other", &[4]);
    assert!(foreign.contains("tensor a: expected only"), "{foreign}");
    let mut other = TensorMut {
        name: "other",
        shape: &[4],
        values: &mut [0.0; 4],
    };
    let missing = read_into(&TensorFile::open(&path).unwrap(), &mut other);
    let missing = message(missing.map_err(ExportError::from));
    assert!(
        missing.contains("tensor other") && missing.contains("none"),
        "{missing}"
    );
}

#[test]
fn values_that_are_no_numbers_are_refused_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.safetensors");
    let mut values = vec![0.0f32; BLOCK + 2];
    let shape = [values.len()];
    values[BLOCK + 1] = 1.0;
    let write = |values: &[f32]| {
        let tensor = Tensor {
            name: "a",
            shape: &shape,
            values,
        };
        write_tensors(&path, &[tensor], &[]).map(|_| ())
    };
    write(&values).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let damaged = dir.path().join("damaged.safetensors");
    std::fs::write(&damaged, bytes).unwrap();
    let mut room = values.clone();
    let read = message(read_tensors(
        &damaged,
        &mut [TensorMut {
            name: "a",
            shape: &shape,
            values: &mut room,
        }],
    ));
    let place = format!("NaN at value {}", BLOCK + 1);
    assert!(read.contains(&place), "{read}");
    values[1] = f32::INFINITY;
    let refused = message(write(&values));
    assert!(refused.contains("inf at value 1"), "{refused}");
}

#[test]
fn a_file_cut_short_or_of_another_kind_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let params = Params::init(&spec(false), 3);
    write_params(&path, &params);
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 4, 40, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = read_params(&path, &mut params.clone()).unwrap_err();
        let is_known = match cut {
            0 => matches!(
                error,
                ExportError::Pretrained(PretrainedError::NotThatFile { .. })
            ),
            _ => matches!(
                error,
                ExportError::Pretrained(PretrainedError::NotSafetensors { .. })
            ),
        };
        assert!(is_known, "{cut}: {error}");
        assert_eq!(error.kind(), crate::error::Kind::BadData);
    }
    let absent = read_params(&dir.path().join("absent"), &mut params.clone()).unwrap_err();
    assert!(
        matches!(absent, ExportError::Pretrained(PretrainedError::Storage(_))),
        "{absent}"
    );
}
