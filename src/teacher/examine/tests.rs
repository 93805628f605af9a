use super::*;
use crate::models::samples::{self, Sample};
use crate::models::{DecoderSpec, decoder};
use crate::onnx::build::ModelBuilder;
use crate::teacher::{TeacherOptions, load_runtime};
use std::path::Path;

const TEXT: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];

fn open(path: &Path) -> Teacher {
    load_runtime(None).unwrap();
    Teacher::open(&TeacherOptions {
        model: path.to_owned(),
        device: DeviceChoice::Cpu,
        threads: 1,
        logits_output: None,
        seq_len_max: 48,
    })
    .unwrap()
}

fn teacher(model: &ModelBuilder) -> Teacher {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.write(&path).unwrap();
    open(&path)
}

fn words(problems: &[Unsuitable]) -> Vec<&'static str> {
    problems.iter().map(Unsuitable::word).collect()
}

#[test]
fn a_causal_decoder_is_a_teacher_without_noise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let spec = DecoderSpec {
        vocab_size: 300,
        width: 32,
        n_layers: 2,
        n_heads: 2,
        max_seq_len: 48,
        ..DecoderSpec::default()
    };
    decoder(&spec, &path).unwrap();
    let mut teacher = open(&path);
    let problems = teacher.examine(&[&TEXT, &TEXT[3..]], u32::MAX).unwrap();
    assert_eq!(problems, []);
    let info = teacher.info();
    assert!(!info.calls.is_alone, "{:?}", info.notes);
    assert!(info.noise.shape_nats < 1e-5, "{:?}", info.noise);
    assert_eq!(info.noise.tolerance_nats(), MIN_TOLERANCE_NATS);
    assert_eq!(teacher.take_timings(), Default::default());
}

#[test]
fn unsuitable_models_are_refused_by_reason() {
    let cases = [
        (
            samples::Unsuitable::NotCausal,
            "not-causal",
            "the last 1 of 12 ids changed",
        ),
        (
            samples::Unsuitable::Random,
            "not-repeatable",
            "(RandomNormalLike)",
        ),
        (
            samples::Unsuitable::Ends("Softmax"),
            "not-logits",
            "as after a softmax",
        ),
        (
            samples::Unsuitable::Ends("Sigmoid"),
            "not-logits",
            "as after a sigmoid",
        ),
    ];
    for (kind, word, said) in cases {
        let problems = teacher(&samples::unsuitable(kind))
            .examine(&[&TEXT], u32::MAX)
            .unwrap();
        assert_eq!(words(&problems), [word], "{kind:?}");
        assert!(problems[0].to_string().contains(said), "{}", problems[0]);
    }
}

#[test]
fn log_probabilities_are_accepted_with_a_note() {
    let mut teacher = teacher(&samples::unsuitable(samples::Unsuitable::Ends(
        "LogSoftmax",
    )));
    assert_eq!(teacher.examine(&[&TEXT, &TEXT], u32::MAX).unwrap(), []);
    let notes = &teacher.info().notes;
    let said = |note: &&String| note.contains("log-probabilities");
    assert_eq!(notes.iter().filter(said).count(), 1, "{notes:?}");
}

#[test]
fn a_model_whose_rows_change_each_other_is_causal_within_that_noise() {
    let mut teacher = teacher(&samples::dynamically_quantized());
    assert_eq!(teacher.examine(&[&TEXT], u32::MAX).unwrap(), []);
    assert!(teacher.info().calls.is_alone);
    assert!(teacher.info().noise.shape_nats > 1e-3);
}

#[test]
fn a_model_for_batches_of_one_is_given_one_sequence_a_call() {
    let mut teacher = teacher(&samples::batch_of_one());
    assert_eq!(teacher.examine(&[&TEXT], u32::MAX).unwrap(), []);
    assert!(teacher.info().calls.is_alone);
    assert!(teacher.info().notes[0].contains("batches of one"));
}

#[test]
fn half_precision_has_one_sequence_a_call_and_a_wider_tolerance() {
    let sample = Sample {
        logits_dtype: DType::F16,
        ..Sample::default()
    };
    let mut teacher = teacher(&sample.build());
    assert_eq!(teacher.examine(&[&TEXT], u32::MAX).unwrap(), []);
    assert!(teacher.info().calls.is_alone);
    // The largest logit is 3: four times half the spacing of 2^-9.
    assert_eq!(teacher.info().noise.tolerance_nats(), 4.0 * 3.0 / 4096.0);
}

/// More ids than are tried in short calls.
fn long_text() -> Vec<u32> {
    TEXT.iter().copied().cycle().take(100).collect()
}

fn wide_teacher(model: &ModelBuilder) -> Teacher {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.write(&path).unwrap();
    load_runtime(None).unwrap();
    Teacher::open(&TeacherOptions {
        model: path,
        device: DeviceChoice::Cpu,
        threads: 1,
        logits_output: None,
        seq_len_max: 100,
    })
    .unwrap()
}

#[test]
fn logits_that_depend_on_the_shape_of_a_call_are_made_one_sequence_a_call() {
    for (more, why) in [
        (samples::Dependence::Rows, "the number of rows"),
        (samples::Dependence::Width, "padding at its end"),
    ] {
        let mut teacher = teacher(&samples::depends_on(more));
        assert_eq!(teacher.examine(&[&TEXT], u32::MAX).unwrap(), []);
        assert!(teacher.info().calls.is_alone, "{more:?}");
        let notes = teacher.info().notes.join("; ");
        assert!(notes.contains(why), "{more:?}: {notes}");
        // What such calls do not meet widens no tolerance.
        let noise = teacher.info().noise;
        assert_eq!(noise.tolerance_nats(), MIN_TOLERANCE_NATS, "{more:?}");
    }
}

#[test]
fn noise_from_other_rows_does_not_hide_look_ahead() {
    let model = samples::depends_on(samples::Dependence::OthersAndFuture);
    let problems = teacher(&model).examine(&[&TEXT], u32::MAX).unwrap();
    assert_eq!(words(&problems), ["not-causal"]);
}

#[test]
fn a_model_that_looks_ahead_only_where_it_is_long_is_no_teacher() {
    let model = samples::depends_on(samples::Dependence::FarFuture);
    let text = long_text();
    let problems = wide_teacher(&model).examine(&[&text], u32::MAX).unwrap();
    assert_eq!(words(&problems), ["not-causal"]);
    assert!(
        problems[0].to_string().contains("of 100 ids"),
        "{}",
        problems[0]
    );
    let fine = wide_teacher(&Sample::default().build()).examine(&[&text], u32::MAX);
    assert_eq!(fine.unwrap(), []);
}

#[test]
fn an_output_layer_that_is_wider_than_the_embedding_is_tried_on_ids_of_the_tokens() {
    let mut teacher = teacher(&samples::padded_head());
    let error = teacher.examine(&[&TEXT], u32::MAX).unwrap_err();
    assert!(
        error.to_string().contains("--mask-vocab-padding"),
        "{error}"
    );
    assert_eq!(
        crate::error::Classified::kind(&error),
        crate::error::Kind::Usage
    );
    assert_eq!(teacher.examine(&[&TEXT], 16).unwrap(), []);
    assert!(!teacher.info().calls.is_alone, "{:?}", teacher.info().notes);
}

#[test]
fn a_teacher_that_does_not_predict_the_text_is_remarked_on_and_kept() {
    let mut teacher = teacher(&Sample::default().build());
    assert_eq!(teacher.examine(&[&TEXT], u32::MAX).unwrap(), []);
    let notes = teacher.info().notes.join("; ");
    assert!(notes.contains("no better than chance"), "{notes}");
}

#[test]
fn a_model_without_text_to_test_on_is_accepted() {
    let mut teacher = teacher(&Sample::default().build());
    assert_eq!(teacher.examine(&[], u32::MAX).unwrap(), []);
    assert_eq!(teacher.examine(&[&TEXT[..1]], u32::MAX).unwrap(), []);
}

#[test]
fn scales_are_recognized_by_their_sums() {
    let logits = [0.5_f32, -1.0, 2.0, 0.0, 3.0, -2.0];
    let normalised = |base: f64, sign: f64| -> Vec<f32> {
        let row = |row: &[f32]| {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            let scaled = row
                .iter()
                .map(|&x| sign * (f64::from(x) - sum.ln()) / base.ln());
            scaled.map(|x| x as f32).collect::<Vec<_>>()
        };
        logits.chunks(3).flat_map(row).collect()
    };
    let e = std::f64::consts::E;
    let of = |logits: &[f32]| Scale::of(logits, 3, 1e-3);
    assert_eq!(of(&logits), Scale::Logits);
    assert_eq!(of(&normalised(e, 1.0)), Scale::LogProbabilities);
    assert_eq!(of(&normalised(e, -1.0)), Scale::NegativeLogProbabilities);
    assert_eq!(of(&normalised(2.0, 1.0)), Scale::Log2Probabilities);
    assert_eq!(of(&normalised(10.0, 1.0)), Scale::Log10Probabilities);
    let probabilities: Vec<f32> = normalised(e, 1.0).iter().map(|x| x.exp()).collect();
    assert_eq!(of(&probabilities), Scale::Probabilities);
    assert_eq!(of(&[0.0; 6]), Scale::Logits);
}
