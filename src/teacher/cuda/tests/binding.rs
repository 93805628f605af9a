//! The bound run, with ONNX Runtime on the CPU: its output is bound to host memory in place of the
//! device's, and the emulated kernel reduces it there.

use super::alike::assert_alike;
use super::config;
use super::emulator::reduce_emulated;
use crate::error::{Classified, Kind};
use crate::models::samples::Sample;
use crate::models::{DecoderSpec, decoder};
use crate::onnx::build::ModelBuilder;
use crate::onnx::{DType, Dim, read_signature};
use crate::signals::{SequenceTargets, reduce_batch};
use crate::teacher::cuda::binding::{Place, check_place, run_bound};
use crate::teacher::cuda::{CudaError, DeviceReducer};
use crate::teacher::model::Model;
use crate::teacher::{
    DeviceChoice, ReduceChoice, Teacher, TeacherError, TeacherOptions, TokenBatch, load_runtime,
};
use std::path::Path;
use std::time::Duration;

const HOST: Place = Place {
    memory: "Cpu",
    number: 0,
};
const DEVICE: Place = Place {
    memory: "Cuda",
    number: 0,
};

fn options(model: &Path) -> TeacherOptions {
    load_runtime(None).unwrap_or_else(|error| {
        panic!("these tests need ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH: {error}")
    });
    TeacherOptions {
        model: model.to_owned(),
        device: DeviceChoice::Cpu,
        threads: 1,
        logits_output: None,
        seq_len_max: 4,
    }
}

fn write(model: &ModelBuilder) -> (tempfile::TempDir, TeacherOptions) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.write(&path).unwrap();
    (folder, options(&path))
}

fn open(options: &TeacherOptions) -> Model {
    Model::open(options, read_signature(&options.model, None).unwrap()).unwrap()
}

fn batch(ids_bt: &[u32], lengths: &[u32]) -> TokenBatch {
    TokenBatch {
        ids_bt: ids_bt.to_vec(),
        n_rows: lengths.len(),
        n_fillers: 0,
        width: ids_bt.len() / lengths.len(),
        lengths: lengths.to_vec(),
    }
}

fn check_bound_run(model: &mut Model, batch: &TokenBatch) {
    let config = config(16, 8);
    let rows = batch.ids_bt.chunks(batch.width).zip(&batch.lengths);
    let sequences: Vec<SequenceTargets> = rows
        .zip(3..)
        .map(|((row, &length), seq_id)| SequenceTargets {
            seq_id,
            targets: &row[..length as usize],
        })
        .collect();
    let lent = model.lend(batch, |logits| reduce_batch(logits, &sequences, &config));
    let expected = lent.unwrap().unwrap();
    let bound = run_bound(model, batch, HOST, |logits, output| {
        check_place(output, HOST)?;
        Ok(reduce_emulated(logits, &sequences, &config, 32)?)
    });
    let got = bound.unwrap();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert_alike(got, expected);
    }
}

#[test]
fn a_bound_output_is_reduced_where_it_lies_to_the_signals_of_lent_logits() {
    for logits_dtype in [DType::F32, DType::F16, DType::Bf16] {
        let sample = Sample {
            logits_dtype,
            ..Sample::default()
        };
        let (_folder, options) = write(&sample.build());
        let mut model = open(&options);
        // A bound output must not keep the shape of the previous run.
        check_bound_run(&mut model, &batch(&[3, 1, 4, 1, 5, 9, 0, 0], &[4, 2]));
        check_bound_run(&mut model, &batch(&[2, 7, 1], &[3]));
        check_bound_run(&mut model, &batch(&[1, 2, 3, 4, 5, 6, 7, 8, 9], &[3, 3, 3]));
    }
}

#[test]
fn a_model_with_a_past_and_a_mask_is_fed_the_same_way_when_it_is_bound() {
    let past = vec![
        Dim::symbol("batch"),
        Dim::Fixed(4),
        Dim::symbol("past_sequence_length"),
        Dim::Fixed(8),
    ];
    let sample = Sample {
        mask: Some(DType::I64),
        past: vec![("past_key_values.0.key".to_owned(), DType::F16, past)],
        use_cache_branch: true,
        ..Sample::default()
    };
    let (_folder, options) = write(&sample.build());
    check_bound_run(&mut open(&options), &batch(&[3, 1, 4, 5, 0, 0], &[3, 1]));
}

#[test]
fn logits_that_stayed_on_the_cpu_are_refused_by_name() {
    let (_folder, options) = write(&Sample::default().build());
    let mut model = open(&options);
    let bound = run_bound(&mut model, &batch(&[1, 2], &[2]), HOST, |_, output| {
        check_place(output, DEVICE)
    });
    let error = bound.unwrap_err();
    assert!(matches!(
        error,
        TeacherError::Cuda(CudaError::NotOnDevice { .. })
    ));
    let message = error.to_string();
    assert!(
        message.contains("Cpu") && message.contains("--reduce host"),
        "{message}"
    );
}

#[test]
fn cancelling_stops_a_bound_run_in_progress_and_all_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.onnx");
    let spec = DecoderSpec {
        vocab_size: 4096,
        max_seq_len: 512,
        ..DecoderSpec::default()
    };
    decoder(&spec, &path).unwrap();
    let mut model = open(&TeacherOptions {
        seq_len_max: 512,
        ..options(&path)
    });
    let canceller = model.canceller.clone();
    // 8192 tokens take seconds.
    let long = batch(&[1; 8192], &[512; 16]);
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        canceller.cancel();
    });
    let result = run_bound(&mut model, &long, HOST, |_, _| Ok(()));
    stopper.join().unwrap();
    assert!(matches!(result, Err(TeacherError::Cancelled)), "{result:?}");
    let result = run_bound(&mut model, &batch(&[1], &[1]), HOST, |_, _| Ok(()));
    assert!(matches!(result, Err(TeacherError::Cancelled)), "{result:?}");
}

#[test]
fn a_teacher_on_the_cpu_does_not_take_reduction_on_a_device_in_silence() {
    let (_folder, options) = write(&Sample::default().build());
    let teacher = Teacher::open(&options).unwrap();
    let refused = teacher.with_reduction(ReduceChoice::Cuda, &config(16, 8));
    let error = refused.err().expect("there is no device to reduce on");
    assert_eq!(error.kind(), Kind::Usage);
    let message = error.to_string();
    assert!(
        message.contains("--device cuda") && message.contains("runs on cpu"),
        "{message}"
    );
    let teacher = Teacher::open(&options).unwrap();
    let teacher = teacher.with_reduction(ReduceChoice::Auto, &config(16, 8));
    assert_eq!(teacher.unwrap().info().reduction, ReduceChoice::Host);
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_says_what_is() {
    // No machine has that many devices.
    let error = DeviceReducer::new(4096, &config(16, 8)).err().unwrap();
    let message = error.to_string();
    match error {
        CudaError::DriverMissing => assert!(message.contains("libcuda"), "{message}"),
        CudaError::NoSuchDevice { .. } => assert!(message.contains("4096"), "{message}"),
        _ => assert!(message.contains("device 4096 failed to open"), "{message}"),
    }
}
