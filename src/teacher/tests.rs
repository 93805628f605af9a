use super::*;
use crate::error::{Classified, Kind};
use crate::models::samples::{self, Sample};
use crate::models::{DecoderSpec, decoder};
use crate::onnx::build::ModelBuilder;
use crate::onnx::{DType, Dim};
use crate::signals::LogitsData;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn runtime() -> RuntimeLibrary {
    load_runtime(None).unwrap_or_else(|error| {
        panic!("these tests need ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH: {error}")
    })
}

fn options(model: &Path) -> TeacherOptions {
    TeacherOptions {
        model: model.to_owned(),
        device: DeviceChoice::Cpu,
        threads: 1,
        logits_output: None,
        seq_len_max: 4,
    }
}

fn open(model: &ModelBuilder) -> Result<Teacher, TeacherError> {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.write(&path).unwrap();
    Teacher::open(&options(&path))
}

fn refusal(model: &ModelBuilder) -> String {
    open(model)
        .err()
        .expect("the model must be refused")
        .to_string()
}

/// Rows of ids, padded to the longest.
fn batch(rows: &[&[u32]]) -> TokenBatch {
    let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let padded = |row: &&[u32]| {
        let padding = std::iter::repeat_n(0, width - row.len());
        row.iter().copied().chain(padding).collect::<Vec<u32>>()
    };
    TokenBatch {
        ids_bt: rows.iter().flat_map(padded).collect(),
        n_rows: rows.len(),
        n_fillers: 0,
        width,
        lengths: rows.iter().map(|row| row.len() as u32).collect(),
    }
}

/// Logits as f32, with number of rows, width and vocabulary.
fn logits_of(teacher: &mut Teacher, batch: &TokenBatch) -> (Vec<f32>, [usize; 3]) {
    let run = teacher.run(batch, |logits| {
        let values = match logits.data {
            LogitsData::F32(values) => values.to_vec(),
            LogitsData::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
            LogitsData::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
        };
        (values, [logits.n_rows, logits.width, logits.vocab_size])
    });
    run.unwrap()
}

/// Every logit at a real position equals the sample's formula.
fn check_sample(sample: &Sample, rows: &[&[u32]]) {
    let mut teacher = open(&sample.build()).unwrap();
    assert_eq!(teacher.info().vocab_size, 16);
    assert_eq!(teacher.info().logits_dtype, sample.logits_dtype);
    let (logits, [n_rows, width, vocab_size]) = logits_of(&mut teacher, &batch(rows));
    assert_eq!((n_rows, vocab_size), (rows.len(), 16));
    assert_eq!(logits.len(), n_rows * width * vocab_size);
    for (row_idx, row) in rows.iter().enumerate() {
        for (t_idx, id) in row.iter().enumerate() {
            let got = &logits[(row_idx * width + t_idx) * vocab_size..][..vocab_size];
            let expected: Vec<f32> = (0..16)
                .map(|v| sample.expected_logit(*id, t_idx, v))
                .collect();
            assert_eq!(
                got, expected,
                "row {row_idx}, position {t_idx} of {sample:?}"
            );
        }
    }
}

const ROWS: &[&[u32]] = &[&[3, 1, 4, 1], &[5, 9], &[15]];

#[test]
fn a_table_model_gives_the_logits_computed_by_hand() {
    check_sample(&Sample::default(), ROWS);
}

#[test]
fn int32_and_int64_inputs_mix() {
    for (ids_dtype, mask, positions) in [
        (DType::I32, DType::I64, DType::I32),
        (DType::I64, DType::I32, DType::I64),
    ] {
        let sample = Sample {
            ids_dtype,
            mask: Some(mask),
            positions: Some((2, positions)),
            token_types: Some(mask),
            ..Sample::default()
        };
        check_sample(&sample, ROWS);
    }
}

#[test]
fn a_bool_mask_and_positions_of_every_rank_are_filled() {
    for rank in [1, 2, 3] {
        let positions = Some((rank, DType::I64));
        let mask = Some(DType::Bool);
        check_sample(
            &Sample {
                positions,
                mask,
                ..Sample::default()
            },
            ROWS,
        );
    }
}

#[test]
fn an_empty_past_with_gaps_and_a_cache_branch_are_fed() {
    let b = || Dim::symbol("batch");
    let past = Dim::symbol("past_sequence_length");
    let bhpd = vec![b(), Dim::Fixed(4), past.clone(), Dim::Fixed(8)];
    let joined = vec![Dim::Fixed(2), b(), Dim::Fixed(4), past, Dim::Fixed(8)];
    let past = vec![
        ("past_key_values.0.key".to_owned(), DType::F32, bhpd.clone()),
        ("past_key_values.5.value".to_owned(), DType::F16, bhpd),
        ("past_9".to_owned(), DType::F32, joined),
    ];
    check_sample(
        &Sample {
            past,
            use_cache_branch: true,
            ..Sample::default()
        },
        ROWS,
    );
}

#[test]
fn half_precision_logits_are_lent_in_their_own_dtype() {
    for logits_dtype in [DType::F16, DType::Bf16] {
        check_sample(
            &Sample {
                logits_dtype,
                ..Sample::default()
            },
            ROWS,
        );
    }
}

#[test]
fn a_vocabulary_that_the_file_does_not_declare_is_learnt_from_a_run() {
    check_sample(
        &Sample {
            vocab_declared: false,
            ..Sample::default()
        },
        ROWS,
    );
}

#[test]
fn fixed_dims_are_padded_to_and_larger_batches_refused() {
    let ids_dims = [Dim::Fixed(4), Dim::Fixed(6)];
    let sample = Sample {
        ids_dims,
        mask: Some(DType::I64),
        ..Sample::default()
    };
    check_sample(&sample, ROWS);
    let mut teacher = open(&sample.build()).unwrap();
    assert_eq!(
        (
            teacher.info().calls.fixed_rows,
            teacher.info().calls.fixed_width
        ),
        (Some(4), Some(6))
    );
    let five = batch(&[&[1], &[1], &[1], &[1], &[1]]);
    let message = teacher.run(&five, |_| ()).unwrap_err().to_string();
    assert!(message.contains("exactly 4 sequences"), "{message}");
    let long = batch(&[&[1; 7]]);
    let message = teacher.run(&long, |_| ()).unwrap_err().to_string();
    assert!(message.contains("exactly 6 tokens"), "{message}");
}

#[test]
fn nan_logits_are_lent_as_they_are() {
    check_nan(&Sample {
        nan_after: Some(7),
        ..Sample::default()
    });
}

fn check_nan(sample: &Sample) {
    let mut teacher = open(&sample.build()).unwrap();
    let (logits, _) = logits_of(&mut teacher, &batch(&[&[7, 2]]));
    assert!(logits[..16].iter().all(|logit| logit.is_nan()));
    assert!(logits[16..].iter().all(|logit| !logit.is_nan()));
}

fn write_decoder(folder: &TempDir, name: &str, external_data: bool) -> PathBuf {
    let path = folder.path().join(name);
    let spec = DecoderSpec {
        vocab_size: 97,
        width: 32,
        n_layers: 2,
        n_heads: 4,
        max_seq_len: 64,
        seed: 5,
        external_data,
    };
    decoder(&spec, &path).unwrap();
    path
}

#[test]
fn a_transformers_logits_do_not_depend_on_the_batch_or_the_padding() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let mut teacher = Teacher::open(&options(&write_decoder(&folder, "m.onnx", false))).unwrap();
    let rows: Vec<Vec<u32>> = (1..9)
        .map(|n| (0..n * 7).map(|i| (i * 31 + n * 11) % 97).collect())
        .collect();
    let refs: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let (together, [_, width, vocab_size]) = logits_of(&mut teacher, &batch(&refs));
    for (row_idx, row) in refs.iter().enumerate() {
        let (alone, _) = logits_of(&mut teacher, &batch(&[row]));
        let same = &together[row_idx * width * vocab_size..][..alone.len()];
        assert!(same == alone, "row {row_idx} differs between batches");
    }
}

#[test]
fn a_transformer_is_causal_and_says_something() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let mut teacher = Teacher::open(&options(&write_decoder(&folder, "m.onnx", false))).unwrap();
    let (a, _) = logits_of(&mut teacher, &batch(&[&[1, 2, 3, 4]]));
    let (b, _) = logits_of(&mut teacher, &batch(&[&[1, 2, 3, 50]]));
    assert_eq!(a[..3 * 97], b[..3 * 97]);
    assert_ne!(a[3 * 97..], b[3 * 97..]);
    let mean = a.iter().sum::<f32>() / a.len() as f32;
    let std_dev = (a.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / a.len() as f32).sqrt();
    assert!(
        (1.5..3.5).contains(&std_dev),
        "standard deviation of logits {std_dev}"
    );
}

#[test]
fn external_data_gives_the_same_logits() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let inline = write_decoder(&folder, "inline.onnx", false);
    let outside = write_decoder(&folder, "outside.onnx", true);
    let ids = batch(&[&[1, 2, 3, 4]]);
    let logits = |path: &Path| logits_of(&mut Teacher::open(&options(path)).unwrap(), &ids).0;
    assert_eq!(logits(&inline), logits(&outside));
}

#[test]
fn a_model_that_keeps_the_last_position_only_is_refused_when_opened() {
    let message = refusal(&samples::last_position_only());
    assert!(
        message.contains("[1, 1, 16]") && message.contains("every position"),
        "{message}"
    );
    let message = refusal(&samples::rank_2_logits());
    assert!(message.contains("[B, T, V]"), "{message}");
}

#[test]
fn a_model_that_the_runtime_cannot_load_is_an_error_with_its_reason() {
    let mut model = Sample::default().build();
    model.opset("", 9999);
    let error = open(&model).err().unwrap();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("cannot load"), "{error}");
    assert!(
        reason.contains("9999") || reason.contains("opset"),
        "{reason}"
    );
}

#[test]
fn ids_past_the_vocabulary_fail_the_run_and_leave_the_teacher_usable() {
    let mut teacher = open(&Sample::default().build()).unwrap();
    let error = teacher.run(&batch(&[&[16, 0]]), |_| ()).unwrap_err();
    // It would come again.
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        error.to_string().contains("1 sequences of 2 tokens"),
        "{error}"
    );
    teacher.run(&batch(&[&[15, 0]]), |_| ()).unwrap();
}

#[test]
fn a_batch_that_contradicts_itself_is_refused() {
    let mut teacher = open(&Sample::default().build()).unwrap();
    let good = batch(ROWS);
    for bad in [
        TokenBatch::default(),
        TokenBatch {
            width: 3,
            ..good.clone()
        },
        TokenBatch {
            lengths: vec![4, 2, 5],
            ..good.clone()
        },
        TokenBatch {
            lengths: vec![4, 0, 1],
            ..good.clone()
        },
    ] {
        assert!(
            matches!(
                teacher.run(&bad, |_| ()),
                Err(TeacherError::BadBatch { .. })
            ),
            "{bad:?}"
        );
    }
}

#[test]
fn sequences_beyond_the_declared_limit_are_refused_at_once() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    Sample::default().build().write(&path).unwrap();
    std::fs::write(folder.path().join("config.json"), r#"{"n_positions": 64}"#).unwrap();
    assert!(
        Teacher::open(&TeacherOptions {
            seq_len_max: 64,
            ..options(&path)
        })
        .is_ok()
    );
    let error = Teacher::open(&TeacherOptions {
        seq_len_max: 65,
        ..options(&path)
    })
    .err()
    .unwrap();
    let message = error.to_string();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        message.contains("65") && message.contains("lower --seq-len to 64"),
        "{message}"
    );
}

#[test]
fn cancelling_stops_a_run_in_progress_and_all_later_ones() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.onnx");
    let spec = DecoderSpec {
        vocab_size: 4096,
        max_seq_len: 512,
        ..DecoderSpec::default()
    };
    decoder(&spec, &path).unwrap();
    let mut teacher = Teacher::open(&TeacherOptions {
        seq_len_max: 512,
        ..options(&path)
    })
    .unwrap();
    let canceller = teacher.canceller();
    let row = [1; 512];
    let long = batch(&[&row[..]; 16]);
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        canceller.cancel();
        Instant::now()
    });
    let result = teacher.run(&long, |_| ());
    let returned = Instant::now();
    let cancelled = stopper.join().unwrap();
    assert!(matches!(result, Err(TeacherError::Cancelled)), "{result:?}");
    // 8192 tokens take seconds; one node takes a fraction of a second, even on a busy machine.
    assert!(returned.duration_since(cancelled) < Duration::from_secs(2));
    assert!(matches!(
        teacher.run(&batch(ROWS), |_| ()),
        Err(TeacherError::Cancelled)
    ));
    assert_eq!(TeacherError::Cancelled.kind(), Kind::Interrupted);
}

#[test]
fn auto_runs_and_says_what_it_fell_back_to() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    Sample::default().build().write(&path).unwrap();
    let auto = TeacherOptions {
        device: DeviceChoice::Auto,
        ..options(&path)
    };
    let teacher = Teacher::open(&auto).unwrap();
    let info = teacher.info();
    let said = info
        .notes
        .iter()
        .any(|note| note.contains("CPU") && note.contains("CUDA"));
    assert_eq!(said, info.provider == "CPUExecutionProvider", "{info:?}");
    assert_eq!(info.ort_version, runtime().version);
}

#[test]
fn a_cuda_device_that_is_not_there_is_an_error_not_a_fallback() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    Sample::default().build().write(&path).unwrap();
    // No machine has that many devices.
    let device = DeviceChoice::Cuda(4096);
    let error = Teacher::open(&TeacherOptions {
        device,
        ..options(&path)
    })
    .err()
    .unwrap();
    assert_eq!(error.kind(), Kind::Usage);
    let message = error.to_string();
    assert!(
        message.contains("--device cuda:4096") && message.contains("--device cpu"),
        "{message}"
    );
}

#[test]
fn devices_read_as_they_are_written() {
    let numbered = [
        "auto",
        "cuda:3",
        "tensorrt:1",
        "migraphx:2",
        "rocm:1",
        "directml:1",
    ];
    let all = DeviceChoice::ALL.map(|device| device.to_string());
    for text in numbered.into_iter().chain(all.iter().map(String::as_str)) {
        assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
    }
    assert_eq!("cuda:0".parse(), Ok(DeviceChoice::Cuda(0)));
    for text in [
        "gpu",
        "cuda:",
        "cuda:x",
        "CPU",
        "",
        "cpu:1",
        "openvino:1",
        "auto:0",
    ] {
        let message = text.parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(message.contains("auto, cpu, cuda, tensorrt"), "{message}");
    }
}

/// Whether the runtime has the provider (without the hardware) or not, it never falls back to the
/// CPU.
#[test]
fn a_device_that_is_not_there_is_an_error_with_its_own_remedy() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    Sample::default().build().write(&path).unwrap();
    let there = available_providers().unwrap();
    for device in DeviceChoice::ALL {
        let options = TeacherOptions {
            device,
            ..options(&path)
        };
        match Teacher::open(&options) {
            Ok(teacher) => {
                assert_eq!(teacher.info().provider, device.provider());
                assert!(there.iter().any(|name| name == device.provider()));
                assert_eq!(teacher.info().notes.is_empty(), device.has_run());
            }
            Err(error) => {
                let message = error.to_string();
                let start = format!("--device {device} cannot be used");
                assert!(message.starts_with(&start), "{message}");
                assert!(message.contains("use --device"), "{message}");
            }
        }
    }
}

#[test]
fn the_runtime_is_loaded_once() {
    let library = runtime();
    assert_eq!(load_runtime(Some(&library.path)).unwrap(), library);
    let other = tempfile::NamedTempFile::new().unwrap();
    let error = load_runtime(Some(other.path())).unwrap_err();
    assert!(
        matches!(error, TeacherError::RuntimeAlreadyLoaded { .. }),
        "{error}"
    );
    let providers = available_providers().unwrap();
    assert!(
        providers.iter().any(|name| name == "CPUExecutionProvider"),
        "{providers:?}"
    );
}

/// logits[t, v] = table[id[t], v] + 10 * (id[t - 1] == v), by the operators used in an n-gram
/// teacher.
#[test]
fn an_n_gram_graph_sees_the_token_before_and_a_fill_at_the_start() {
    let mut model = ModelBuilder::new("n-gram");
    let bt = [Dim::symbol("batch"), Dim::symbol("seq")];
    let ids = model.input("input_ids", DType::I64, &bt);
    let table = |scale: f32| {
        let values: Vec<f32> = (0..16)
            .map(|i| if i % 5 == 0 { scale } else { 0.0 })
            .collect();
        crate::onnx::build::TensorData::f32(&values)
    };
    let unigram = model.initializer("unigram", &[4, 4], table(1.0));
    let previous = model.initializer("previous", &[4, 4], table(10.0));
    let before = model.shift_right(&ids, 1, 3);
    let now = model.gather(&unigram, &ids, 0);
    let before = model.gather(&previous, &before, 0);
    let logits = model.add(&now, &before);
    model.output(
        "logits",
        &logits,
        DType::F32,
        &[bt[0].clone(), bt[1].clone(), Dim::Fixed(4)],
    );
    let (logits, _) = logits_of(&mut open(&model).unwrap(), &batch(&[&[0, 2, 1]]));
    let expected = [
        [1.0, 0.0, 0.0, 10.0],
        [10.0, 0.0, 1.0, 0.0],
        [0.0, 1.0, 10.0, 0.0],
    ];
    assert_eq!(logits, expected.as_flattened());
}

#[test]
fn a_length_past_an_undeclared_limit_says_what_to_lower() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let mut teacher = Teacher::open(&options(&write_decoder(&folder, "m.onnx", false))).unwrap();
    let error = teacher.run(&batch(&[&[1; 65]]), |_| ()).unwrap_err();
    assert!(error.to_string().contains("lower --seq-len"), "{error}");
    teacher.run(&batch(&[&[1; 64]]), |_| ()).unwrap();
}

#[test]
fn a_teacher_can_move_to_another_thread_and_its_canceller_can_be_shared() {
    fn check<T: Send>() {}
    fn check_shared<T: Send + Sync + Clone>() {}
    check::<Teacher>();
    check_shared::<Canceller>();
}

#[test]
fn cudas_libraries_are_found_beside_the_runtimes_package_in_the_order_they_need_each_other() {
    let site = tempfile::tempdir().unwrap();
    let touch = |relative: &str| {
        let path = site.path().join(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        path
    };
    let runtime = touch("onnxruntime/capi/libonnxruntime.so.1.30.0");
    let cudnn = touch("nvidia/cudnn/lib/libcudnn.so.9");
    let cublas = touch("nvidia/cu13/lib/libcublas.so.13");
    let cublas_lt = touch("nvidia/cu13/lib/libcublasLt.so.13");
    let nvrtc_12 = touch("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
    let nvrtc_13 = touch("nvidia/cu13/lib/libnvrtc.so.13");
    // Files beside it that a library opens itself.
    touch("nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.9");
    touch("nvidia/cuda_nvrtc/lib/libnvrtc.alt.so.12");
    touch("nvidia/cudnn/lib/libcudnn_ops.so.9");
    assert_eq!(
        cuda_libs::packaged_libraries(&runtime),
        [nvrtc_13, nvrtc_12, cublas_lt, cublas, cudnn]
    );
    assert!(cuda_libs::packaged_libraries(Path::new("/libonnxruntime.so")).is_empty());
}

/// As ONNX Runtime 1.31.1's GPU build reports on machines without CUDA or without a driver.
#[test]
fn cuda_failures_keep_what_a_user_can_act_on() {
    let message = "/src/provider_bridge_ort.cc:2043 Get() [ONNXRuntimeError] : 1 : FAIL : Failed to \
        load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open \
        shared object file: No such file or directory\n";
    let problem = super::open::device_problem(message);
    assert!(
        problem.starts_with("libcublasLt.so.13: cannot open"),
        "{problem}"
    );
    assert!(problem.contains("onnxruntime-gpu[cuda,cudnn]"), "{problem}");
    let problem =
        super::open::device_problem("with error: libcuda.so.1: cannot open shared object file");
    assert!(problem.contains("driver is not installed"), "{problem}");
    let message = "/src/cuda_execution_provider_info.cc:63 FromProviderOptions() \
        [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse Failed to parse provider \
        option \"device_id\": CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; \
        expr=cudaGetDeviceCount(&num_devices);\n";
    let problem = super::open::device_problem(message);
    assert!(problem.contains("CUDA_VISIBLE_DEVICES"), "{problem}");
}

#[test]
fn a_hybrid_models_state_starts_as_zeros_and_logits_to_keep_asks_for_all() {
    let mut model = Sample::default().build();
    let state = model.input(
        "past_conv.0",
        DType::F32,
        &[Dim::symbol("batch"), Dim::Fixed(16)],
    );
    let state = model.unsqueeze(&state, &[1]);
    let keep = model.input("num_logits_to_keep", DType::I64, &[]);
    let keep = model.unsqueeze(&keep, &[0]);
    let start = model.node("Neg", &[&keep], &[]);
    let (end, axis) = (model.constant_i64(&[i64::MAX]), model.constant_i64(&[1]));
    let all = crate::onnx::build::Edge::named("logits");
    let sum = model.add(&all, &state);
    let kept = model.node("Slice", &[&sum, &start, &end, &axis], &[]);
    let dims = [Dim::symbol("batch"), Dim::symbol("kept"), Dim::Fixed(16)];
    model.output("kept_logits", &kept, DType::F32, &dims);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.write(&path).unwrap();
    runtime();
    let logits_output = Some("kept_logits".to_owned());
    let mut teacher = Teacher::open(&TeacherOptions {
        logits_output,
        ..options(&path)
    })
    .unwrap();
    let (logits, shape) = logits_of(&mut teacher, &batch(&[&[3, 1], &[5, 9]]));
    assert_eq!(shape, [2, 2, 16]);
    let expected: Vec<f32> = [3, 1, 5, 9]
        .iter()
        .flat_map(|id| (0..16).map(|v| Sample::default().expected_logit(*id, 0, v)))
        .collect();
    assert_eq!(logits, expected);
}

#[test]
fn a_teacher_whose_rows_change_each_other_takes_one_at_a_time() {
    let mut teacher = open(&samples::dynamically_quantized()).unwrap();
    assert!(teacher.info().calls.is_alone);
    assert!(teacher.info().notes[0].contains("one sequence per call"));
    let alone = logits_of(&mut teacher, &batch(&[&[1, 2]])).0;
    let together = logits_of(&mut teacher, &batch(&[&[1, 2], &[9, 4]])).0;
    assert_ne!(
        alone[..],
        together[..alone.len()],
        "else this rule would do nothing"
    );
}
