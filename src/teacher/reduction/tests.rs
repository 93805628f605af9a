use super::graph::check_signals;
use crate::error::{Classified, Kind};
use crate::models::samples::Sample;
use crate::models::{DecoderSpec, decoder};
use crate::onnx::build::{Edge, ModelBuilder, TensorData};
use crate::onnx::{DType, Dim};
use crate::signals::{
    Groups, PositionSignals, Rounding, Sampling, SequenceSignals, SequenceTargets, SignalsConfig,
    SignalsError,
};
use crate::teacher::device::DeviceChoice;
use crate::teacher::{
    ReduceChoice, Teacher, TeacherError, TeacherOptions, Timings, TokenBatch, load_runtime,
};
use std::path::Path;

/// Nats by which a value of the head may differ from the kernel's. Both compute d = logit - max in
/// f32 and sum its exponentials in f32, in different orders: over a thousand ids that is some 1e-6
/// of a sum, and the entropy's terms are up to ten times as large.
const TOLERANCE_NATS: f64 = 1e-5;
/// The same for a probability.
const TOLERANCE_MASS: f64 = 1e-6;
/// A log-partition at temperature tau has that error over tau.
const MIN_TAU: f64 = 0.5;

const N_ROWS: u64 = 40;

fn folder_with(model: &ModelBuilder) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    model.write(&folder.path().join("model.onnx")).unwrap();
    folder
}

fn open_path(model: &Path) -> Teacher {
    load_runtime(None).unwrap();
    let options = TeacherOptions {
        model: model.to_owned(),
        device: DeviceChoice::Cpu,
        threads: 1,
        logits_output: None,
        seq_len_max: 4,
    };
    Teacher::open(&options).unwrap()
}

fn open(folder: &tempfile::TempDir) -> Teacher {
    open_path(&folder.path().join("model.onnx"))
}

fn config(vocab_size: usize, top_k: usize) -> SignalsConfig {
    SignalsConfig {
        groups: Groups {
            stats: false,
            topk: true,
        },
        top_k,
        temperatures: vec![MIN_TAU, 2.0],
        rounding: Rounding::F32,
        vocab_size,
        sampling: None,
    }
}

/// Input ids pick rows of `table` `[R, V]`.
fn table_model(table: &[f32], v: u64, opset: i64, dtype: DType) -> ModelBuilder {
    let mut model = ModelBuilder::new("table");
    model.opset("", opset);
    let [b, t] = [Dim::symbol("batch"), Dim::symbol("seq")];
    let ids = model.input("input_ids", DType::I64, &[b.clone(), t.clone()]);
    let dims = [table.len() as u64 / v, v];
    let table = model.initializer("table", &dims, TensorData::f32(table));
    let mut logits = model.gather(&table, &ids, 0);
    if dtype != DType::F32 {
        logits = model.cast(&logits, dtype);
    }
    model.output("logits", &logits, dtype, &[b, t, Dim::Fixed(v)]);
    model
}

/// Rows from flat to sharp, from a fixed linear congruential generator.
fn random_table(v: u64) -> Vec<f32> {
    let mut state = 7_u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let row = |row: u64| 0.5 + row as f32 * 0.5;
    (0..N_ROWS)
        .flat_map(|i| (0..v).map(move |_| i))
        .map(|i| row(i) * (uniform() + uniform() + uniform() - 1.5))
        .collect()
}

/// Two rows of different lengths and their targets.
fn batch(vocab_size: u32) -> (TokenBatch, Vec<Vec<u32>>) {
    let lengths = [N_ROWS as u32, 11];
    let width = lengths[0] as usize;
    let ids = |row: u32| {
        (0..width as u32).map(move |t| {
            if t < lengths[row as usize] {
                (t + row) % N_ROWS as u32
            } else {
                0
            }
        })
    };
    let targets = |row: u32| {
        (0..lengths[row as usize])
            .map(|t| (t * 31 + row * 17) % vocab_size)
            .collect()
    };
    let batch = TokenBatch {
        ids_bt: (0..2).flat_map(ids).collect(),
        n_rows: 2,
        n_fillers: 0,
        width,
        lengths: lengths.to_vec(),
    };
    (batch, (0..2).map(targets).collect())
}

fn sequences(targets: &[Vec<u32>]) -> Vec<SequenceTargets<'_>> {
    (0..)
        .zip(targets)
        .map(|(seq_id, targets)| SequenceTargets { seq_id, targets })
        .collect()
}

/// The kernel's and the head's results for the same batch.
fn both(
    open: impl Fn() -> Teacher,
    config: &SignalsConfig,
    batch: &TokenBatch,
    targets: &[Vec<u32>],
) -> [Vec<SequenceSignals>; 2] {
    [ReduceChoice::Host, ReduceChoice::Graph].map(|choice| {
        let mut teacher = open().with_reduction(choice, config).unwrap();
        assert_eq!(teacher.info().reduction, choice);
        teacher.reduce(batch, &sequences(targets), config).unwrap()
    })
}

fn assert_agree(open: impl Fn() -> Teacher, config: &SignalsConfig, context: &str) {
    let (batch, targets) = batch(config.vocab_size as u32);
    let [kernel, head] = both(open, config, &batch, &targets);
    assert_eq!(kernel.len(), head.len());
    for (kernel, head) in kernel.iter().zip(&head) {
        assert_close(kernel, head, context);
    }
}

fn assert_close(kernel: &SequenceSignals, head: &SequenceSignals, context: &str) {
    let near = |what: &str, a: f64, b: f64, tolerance: f64| {
        let same = a == b || (a - b).abs() <= tolerance;
        assert!(
            same,
            "{context}: {what} is {b} by the head, {a} by the kernel"
        );
    };
    let (k, h) = (&kernel.positions, &head.positions);
    assert_eq!(k.topk_ids_tk, h.topk_ids_tk, "{context}");
    let lists = |k: &[f32], h: &[f32], what: &str, tolerance| {
        assert_eq!(k.len(), h.len(), "{context}: {what}");
        let pairs = k.iter().zip(h);
        pairs.for_each(|(&k, &h)| near(what, k.into(), h.into(), tolerance));
    };
    lists(
        &k.topk_logprobs_tk,
        &h.topk_logprobs_tk,
        "topk_logprobs",
        TOLERANCE_NATS,
    );
    lists(&k.tail_mass_t, &h.tail_mass_t, "tail_mass", TOLERANCE_MASS);
    assert_eq!(k.log_partition_xt.len(), h.log_partition_xt.len());
    for (k, h) in k.log_partition_xt.iter().zip(&h.log_partition_xt) {
        lists(k, h, "log_partition", TOLERANCE_NATS / MIN_TAU);
    }
    let (k, h) = (kernel.scores, head.scores);
    assert_eq!(k.learnable_fraction, h.learnable_fraction, "{context}");
    assert_eq!(k.salt.is_some(), h.salt.is_some(), "{context}");
    near(
        "salt",
        k.salt.unwrap_or(0.0),
        h.salt.unwrap_or(0.0),
        TOLERANCE_NATS,
    );
    near("salt_masked", k.salt_masked, h.salt_masked, TOLERANCE_NATS);
    near("mean_nll", k.mean_nll, h.mean_nll, TOLERANCE_NATS);
    near("median_nll", k.median_nll, h.median_nll, TOLERANCE_NATS);
    near(
        "mean_entropy",
        k.mean_entropy,
        h.mean_entropy,
        TOLERANCE_NATS,
    );
    near(
        "mean_topk_mass",
        k.mean_topk_mass,
        h.mean_topk_mass,
        TOLERANCE_MASS,
    );
}

#[test]
fn the_head_agrees_with_the_kernel_at_every_operator_set_and_dtype() {
    const V: u64 = 1000;
    let table = random_table(V);
    for opset in [11, 12, 13, 14, 17, 18, 21] {
        let dtypes = [DType::F32, DType::F16, DType::Bf16];
        // bfloat16 was added with operator set 13.
        let n_dtypes = if opset < 13 { 2 } else { 3 };
        for dtype in &dtypes[..n_dtypes] {
            let folder = folder_with(&table_model(&table, V, opset, *dtype));
            for top_k in [1, 10, 64] {
                let context = format!("operator set {opset}, {dtype}, K {top_k}");
                assert_agree(|| open(&folder), &config(V as usize, top_k), &context);
            }
        }
    }
}

#[test]
fn scores_alone_and_no_more_ids_than_there_are_agree_too() {
    let folder = folder_with(&table_model(&random_table(7), 7, 17, DType::F32));
    assert_agree(|| open(&folder), &config(7, 7), "K = V = 7");
    let scores = SignalsConfig {
        groups: Groups::default(),
        top_k: 0,
        temperatures: Vec::new(),
        ..config(7, 0)
    };
    assert_agree(|| open(&folder), &scores, "scores");
    let positions = both(|| open(&folder), &scores, &batch(7).0, &batch(7).1)[1][0]
        .positions
        .clone();
    assert_eq!(positions, PositionSignals::default());
}

#[test]
fn a_padded_vocabulary_is_left_out_before_anything_is_ranked_or_summed() {
    let (v, padded) = (50, 64);
    let mut table = random_table(padded);
    for row in table.chunks_exact_mut(padded as usize) {
        row[v..].fill(40.0);
    }
    for opset in [11, 18] {
        let folder = folder_with(&table_model(&table, padded, opset, DType::F16));
        assert_agree(
            || open(&folder),
            &config(v, 12),
            &format!("padded, operator set {opset}"),
        );
    }
}

#[test]
fn equal_logits_are_kept_in_the_order_of_their_ids_across_the_border_of_k_too() {
    // A few repeated values, including zeros of both signs and -inf.
    let values = [1.5, -0.0, 0.0, 1.5, f32::NEG_INFINITY, 0.0, -0.0];
    let table: Vec<f32> = (0..N_ROWS as usize * 300)
        .map(|i| values[(i * i / 3 + i) % values.len()])
        .collect();
    for dtype in [DType::F32, DType::F16] {
        let folder = folder_with(&table_model(&table, 300, 17, dtype));
        for top_k in [3, 10, 100, 299] {
            assert_agree(
                || open(&folder),
                &config(300, top_k),
                &format!("ties, {dtype}, K {top_k}"),
            );
        }
    }
}

#[test]
fn ids_that_cannot_follow_have_no_probability_even_where_few_can() {
    let v = 100;
    let mut table = random_table(v);
    for row in table.chunks_exact_mut(v as usize) {
        row[3..].fill(f32::NEG_INFINITY);
    }
    let folder = folder_with(&table_model(&table, v, 17, DType::F32));
    let config = config(v as usize, 20);
    assert_agree(|| open(&folder), &config, "three ids of a hundred");
    let (batch, targets) = batch(3);
    let [_, head] = both(|| open(&folder), &config, &batch, &targets);
    assert!(
        head[0]
            .positions
            .tail_mass_t
            .iter()
            .all(|&tail| tail == 0.0)
    );
    assert_eq!(head[0].positions.topk_logprobs_tk[3], f32::NEG_INFINITY);
}

#[test]
fn a_transformer_with_weights_beside_it_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let spec = DecoderSpec {
        vocab_size: 2000,
        width: 32,
        n_layers: 2,
        n_heads: 4,
        max_seq_len: 64,
        seed: 5,
        external_data: true,
    };
    decoder(&spec, &path).unwrap();
    assert!(folder.path().join("model.onnx.data").exists());
    assert_agree(|| open_path(&path), &config(2000, 64), "external data");
}

#[test]
fn a_model_with_a_past_keeps_what_it_presents() {
    let mut model = Sample::default().build();
    let past_dims = [
        Dim::symbol("batch"),
        Dim::Fixed(2),
        Dim::symbol("past"),
        Dim::Fixed(4),
    ];
    let past = model.input("past_key_values.0.key", DType::F32, &past_dims);
    let present = model.add(&past, &past);
    model.output("present.0.key", &present, DType::F32, &past_dims);
    let folder = folder_with(&model);
    let config = config(16, 12);
    let (mut batch, targets) = batch(16);
    batch.ids_bt.iter_mut().for_each(|id| *id %= 16);
    let [kernel, head] = both(|| open(&folder), &config, &batch, &targets);
    kernel
        .iter()
        .zip(&head)
        .for_each(|(kernel, head)| assert_close(kernel, head, "a past"));
    let teacher = open(&folder)
        .with_reduction(ReduceChoice::Graph, &config)
        .unwrap();
    let outputs = teacher.model_outputs();
    assert!(
        outputs.iter().any(|name| name == "present.0.key"),
        "{outputs:?}"
    );
    assert!(outputs.iter().any(|name| name == "logits"), "{outputs:?}");
}

#[test]
fn a_model_of_fixed_shape_is_padded_to_it() {
    let sample = Sample {
        ids_dims: [Dim::Fixed(3), Dim::Fixed(N_ROWS + 5)],
        mask: Some(DType::I64),
        ..Sample::default()
    };
    let folder = folder_with(&sample.build());
    let (mut batch, targets) = batch(16);
    batch.ids_bt.iter_mut().for_each(|id| *id %= 16);
    let [kernel, head] = both(|| open(&folder), &config(16, 4), &batch, &targets);
    kernel
        .iter()
        .zip(&head)
        .for_each(|(kernel, head)| assert_close(kernel, head, "fixed"));
}

#[test]
fn a_teacher_with_a_head_still_lends_its_logits() {
    let folder = folder_with(&table_model(&random_table(50), 50, 17, DType::F32));
    let (batch, _) = batch(50);
    let logits = |choice| {
        let mut teacher = open(&folder)
            .with_reduction(choice, &config(50, 4))
            .unwrap();
        teacher
            .run(&batch, |logits| format!("{:?}", logits.data))
            .unwrap()
    };
    assert_eq!(logits(ReduceChoice::Host), logits(ReduceChoice::Graph));
}

/// The head's error for a table whose entry `[5, 33]` and, if `row`, whole row 5 is `value`.
fn defect(value: f32, row: bool) -> SignalsError {
    let v = 100;
    let mut table = random_table(v);
    table[5 * v as usize + 33] = value;
    if row {
        table[5 * v as usize..][..v as usize].fill(value);
    }
    let folder = folder_with(&table_model(&table, v, 17, DType::F32));
    let (batch, targets) = batch(v as u32);
    let errors = [ReduceChoice::Host, ReduceChoice::Graph].map(|choice| {
        let config = config(v as usize, 12);
        let mut teacher = open(&folder).with_reduction(choice, &config).unwrap();
        match teacher.reduce(&batch, &sequences(&targets), &config) {
            Err(TeacherError::Signals(error)) => error,
            other => panic!("{value}: {other:?}"),
        }
    });
    // NaN is not equal to itself, but its text is.
    assert_eq!(errors[0].to_string(), errors[1].to_string());
    errors[1].clone()
}

#[test]
fn logits_without_signals_are_named_as_the_kernel_names_them() {
    for value in [f32::NAN, f32::INFINITY] {
        let error = defect(value, false);
        let is_it = matches!(
            error,
            SignalsError::NotFinite {
                row_idx: 0,
                position: 5,
                id: 33,
                ..
            }
        );
        assert!(is_it, "{error}");
    }
    let error = defect(f32::NEG_INFINITY, true);
    assert_eq!(
        error,
        SignalsError::AllMasked {
            row_idx: 0,
            position: 5
        }
    );
}

#[test]
fn a_target_outside_the_vocabulary_is_named_before_the_model_runs() {
    let folder = folder_with(&table_model(&random_table(50), 50, 17, DType::F32));
    let config = config(50, 4);
    let mut teacher = open(&folder)
        .with_reduction(ReduceChoice::Graph, &config)
        .unwrap();
    let (batch, mut targets) = batch(50);
    targets[1][2] = 50;
    let error = teacher
        .reduce(&batch, &sequences(&targets), &config)
        .unwrap_err();
    let expected = SignalsError::Target {
        row_idx: 1,
        position: 2,
        target: 50,
        vocab_size: 50,
    };
    assert!(
        matches!(&error, TeacherError::Signals(found) if *found == expected),
        "{error}"
    );
}

fn refusal(model: &ModelBuilder, config: &SignalsConfig) -> TeacherError {
    let folder = folder_with(model);
    open(&folder)
        .with_reduction(ReduceChoice::Graph, config)
        .err()
        .expect("it must be refused")
}

#[test]
fn groups_that_need_all_logits_are_refused_by_name() {
    let model = table_model(&random_table(50), 50, 17, DType::F32);
    let sampling = Sampling {
        n_draws: 50,
        tau: 1.0,
        seed: 0,
    };
    for (stats, sampling, names) in [
        (true, None, "stats"),
        (false, Some(sampling), "samples"),
        (true, Some(sampling), "stats and samples"),
    ] {
        let config = SignalsConfig {
            groups: Groups { stats, topk: true },
            sampling,
            ..config(50, 4)
        };
        let error = refusal(&model, &config);
        let message = error.to_string();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(
            message.contains(&format!("does not support {names}, ")),
            "{message}"
        );
        assert!(
            message.contains("--groups topk") && message.contains("--reduce host"),
            "{message}"
        );
    }
}

#[test]
fn operators_too_old_for_the_head_are_refused_with_what_to_do() {
    let error = refusal(
        &table_model(&random_table(50), 50, 10, DType::F32),
        &config(50, 4),
    );
    let message = error.to_string();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        message.contains("operator set 11 or newer, found 10"),
        "{message}"
    );
    assert!(message.contains("--reduce host"), "{message}");
}

#[test]
fn a_head_is_asked_for_the_signals_that_it_was_made_for() {
    let folder = folder_with(&table_model(&random_table(50), 50, 17, DType::F32));
    let mut teacher = open(&folder)
        .with_reduction(ReduceChoice::Graph, &config(50, 4))
        .unwrap();
    let (batch, targets) = batch(50);
    let error = teacher
        .reduce(&batch, &sequences(&targets), &config(50, 5))
        .unwrap_err();
    assert!(
        matches!(error, TeacherError::OtherSignals { .. }),
        "{error}"
    );
}

#[test]
fn signals_that_a_place_was_not_prepared_for_are_refused_by_the_name_of_the_place() {
    let (four, five) = (config(50, 4), config(50, 5));
    for place in [ReduceChoice::Graph, ReduceChoice::Cuda] {
        assert!(check_signals(place, &four, &four).is_ok());
        let error = check_signals(place, &four, &five).unwrap_err();
        assert!(error.to_string().contains(&format!("--reduce {place}")));
    }
}

#[test]
fn the_run_of_a_batch_counts_as_forward_pass_wherever_it_is_reduced_and_trial_runs_do_not() {
    let folder = folder_with(&table_model(&random_table(50), 50, 17, DType::F32));
    let config = config(50, 4);
    let (batch, targets) = batch(50);
    for place in [ReduceChoice::Host, ReduceChoice::Graph] {
        let mut teacher = open(&folder).with_reduction(place, &config).unwrap();
        assert_eq!(teacher.take_timings(), Timings::default(), "{place}");
        teacher
            .reduce(&batch, &sequences(&targets), &config)
            .unwrap();
        assert!(!teacher.take_timings().forward.is_zero(), "{place}");
        assert_eq!(teacher.take_timings(), Timings::default(), "{place}");
    }
}

#[test]
fn names_that_a_model_has_already_are_avoided() {
    let mut model = table_model(&random_table(50), 50, 17, DType::F32);
    let logits = Edge::named("logits");
    let dims = [Dim::symbol("batch"), Dim::symbol("seq"), Dim::Fixed(50)];
    model.output("saltworks_head/ranked_logits", &logits, DType::F32, &dims);
    model.initializer("saltworks_head_2/exp", &[1], TensorData::f32(&[0.0]));
    let folder = folder_with(&model);
    assert_agree(|| open(&folder), &config(50, 12), "taken names");
    let teacher = open(&folder)
        .with_reduction(ReduceChoice::Graph, &config(50, 12))
        .unwrap();
    let outputs = teacher.model_outputs();
    assert!(
        outputs
            .iter()
            .any(|name| name == "saltworks_head_3/ranked_logits"),
        "{outputs:?}"
    );
}

#[test]
fn cancelling_stops_a_teacher_that_has_a_head() {
    let folder = folder_with(&table_model(&random_table(50), 50, 17, DType::F32));
    let config = config(50, 4);
    let mut teacher = open(&folder)
        .with_reduction(ReduceChoice::Graph, &config)
        .unwrap();
    let (batch, targets) = batch(50);
    teacher
        .reduce(&batch, &sequences(&targets), &config)
        .unwrap();
    teacher.canceller().cancel();
    let error = teacher
        .reduce(&batch, &sequences(&targets), &config)
        .unwrap_err();
    assert!(matches!(error, TeacherError::Cancelled), "{error}");
}

#[test]
fn the_place_follows_the_device_and_a_flag_wins() {
    use DeviceChoice::{CoreMl, Cpu, Cuda, DirectMl, MiGraphX, OpenVino, Rocm, TensorRt};
    assert_eq!(ReduceChoice::Auto.on(Cpu), ReduceChoice::Host);
    assert_eq!(ReduceChoice::Auto.on(Cuda(0)), ReduceChoice::Cuda);
    for device in [
        TensorRt(0),
        MiGraphX(1),
        Rocm(0),
        OpenVino,
        CoreMl,
        DirectMl(0),
    ] {
        assert_eq!(ReduceChoice::Auto.on(device), ReduceChoice::Graph);
        assert_eq!(ReduceChoice::Host.on(device), ReduceChoice::Host);
        assert!(ReduceChoice::Auto.note(device).is_none());
        assert!(
            ReduceChoice::Host
                .note(device)
                .unwrap()
                .contains("copied from")
        );
    }
    assert_eq!(ReduceChoice::Graph.on(Cpu), ReduceChoice::Graph);
    let copied = ReduceChoice::Host.note(Cuda(0)).unwrap();
    assert!(copied.contains("--reduce cuda"), "{copied}");
    assert!(ReduceChoice::Auto.note(Cuda(0)).is_none());
    assert!(ReduceChoice::Auto.note(Cpu).is_none());
}
