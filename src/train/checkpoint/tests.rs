use super::*;
use crate::error::Classified;
use crate::storage::{StorageError, fail_nth, replace};
use crate::train::export::{SpecialIds, read_hf};
use crate::train::model::{ModelSpec, Params};
use crate::train::ops::AdamW;
use std::path::{Path, PathBuf};

/// Stand-ins for a checkpoint's files, for tests of crash safety.
const FILES: [&str; 4] = [
    "config.json",
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
];

fn store() -> (tempfile::TempDir, CheckpointStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::of_run(dir.path());
    (dir, store)
}

fn content(step: u64, name: &str) -> String {
    format!("{name} of step {step}")
}

fn fill(step: u64) -> impl Fn(&Path) -> Result<(), CheckpointError> {
    move |dir| {
        for name in FILES {
            replace(&dir.join(name), content(step, name).as_bytes())?;
        }
        Ok(())
    }
}

fn save(store: &CheckpointStore, step: u64) -> Result<Checkpoint, CheckpointError> {
    store.save(step, fill(step))
}

fn hidden_names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect()
}

/// Flips each byte of `path` in turn.
fn for_each_flipped_byte(path: &Path, mut look: impl FnMut(usize)) {
    let good = std::fs::read(path).unwrap();
    for idx in 0..good.len() {
        let mut bad = good.clone();
        bad[idx] ^= 1;
        std::fs::write(path, bad).unwrap();
        look(idx);
    }
    std::fs::write(path, good).unwrap();
}

#[test]
fn the_latest_is_that_of_the_greatest_step_and_not_of_the_last_name() {
    let (_run, store) = store();
    assert_eq!(store.latest().unwrap(), None);
    for step in [9, 10] {
        save(&store, step).unwrap();
    }
    let latest = store.latest().unwrap().unwrap();
    assert_eq!((latest.step, store.steps().unwrap()), (10, vec![9, 10]));
    for name in FILES {
        let text = std::fs::read_to_string(latest.dir.join(name)).unwrap();
        assert_eq!(text, content(10, name));
    }
}

#[test]
fn any_flipped_byte_of_any_file_is_refused_and_the_last_good_one_named() {
    let (_run, store) = store();
    for step in [10, 20] {
        save(&store, step).unwrap();
    }
    for name in FILES.iter().chain(&["checkpoint.json"]) {
        for_each_flipped_byte(&store.path(20).join(name), |idx| {
            let error = store.latest().unwrap_err();
            assert!(
                matches!(error, CheckpointError::Damaged { .. }),
                "byte {idx} of {name}: {error:?}"
            );
            let message = error.to_string();
            assert!(
                message.contains("step-20") && message.contains("--resume-from step-10"),
                "{message}"
            );
        });
    }
    assert_eq!(store.latest().unwrap().unwrap().step, 20);
}

#[test]
fn a_truncated_file_a_missing_one_and_a_half_checkpoint_are_refused_each_by_its_reason() {
    let (_run, store) = store();
    let fault_after = |spoil: &dyn Fn(&Path)| {
        let saved = save(&store, 5).unwrap();
        spoil(&saved.dir);
        match store.latest().unwrap_err() {
            CheckpointError::Damaged { fault, remedy, .. } => {
                assert!(remedy.contains("no good one"), "{remedy}");
                fault
            }
            other => panic!("{other}"),
        }
    };
    let truncate = |dir: &Path| std::fs::write(dir.join("model.safetensors"), "mod").unwrap();
    let fault = fault_after(&truncate);
    assert!(matches!(fault, Fault::Size { got: 3, .. }), "{fault}");
    let fault = fault_after(&|dir| std::fs::remove_file(dir.join("state.json")).unwrap());
    assert!(matches!(fault, Fault::Missing { .. }), "{fault}");
    let fault = fault_after(&|dir| std::fs::remove_file(dir.join("checkpoint.json")).unwrap());
    assert_eq!(fault, Fault::Half);
    let newer = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join("checkpoint.json")).unwrap();
        let text = text.replace("\"format_version\": 1", "\"format_version\": 2");
        std::fs::write(dir.join("checkpoint.json"), text).unwrap();
    };
    let fault = fault_after(&newer);
    assert!(matches!(fault, Fault::Version { got: 2, .. }), "{fault}");
}

#[test]
fn a_checkpoint_under_another_steps_name_is_refused() {
    let (_run, store) = store();
    let saved = save(&store, 5).unwrap();
    std::fs::rename(saved.dir, store.path(6)).unwrap();
    let error = store.latest().unwrap_err().to_string();
    assert!(error.contains("says step 5"), "{error}");
}

#[test]
fn an_operation_that_fails_at_any_moment_of_a_save_leaves_the_older_one_or_the_whole_new_one() {
    let mut n_failures = 0;
    for nth in 0.. {
        let (_run, store) = store();
        save(&store, 10).unwrap();
        let (result, reached) = fail_nth(nth, || save(&store, 20));
        if !reached {
            result.unwrap();
            break;
        }
        n_failures += 1;
        let latest = store.latest().unwrap().unwrap();
        assert!(result.is_ok() || [10, 20].contains(&latest.step));
        if latest.step == 10 {
            let error = result.unwrap_err();
            let is_full = matches!(
                error,
                CheckpointError::Storage(StorageError::NoSpace { .. })
            );
            assert!(is_full, "operation {nth}: {error}");
        }
        store.sweep().unwrap();
        assert_eq!(
            hidden_names(&store.path(10).with_file_name("")),
            Vec::<String>::new()
        );
        assert_eq!(save(&store, 20).unwrap().step, 20);
    }
    assert!(n_failures > 20, "only {n_failures} operations were seen");
}

#[test]
fn an_operation_that_fails_while_a_checkpoint_is_replaced_loses_neither() {
    for nth in 0.. {
        let (_run, store) = store();
        save(&store, 10).unwrap();
        let (result, reached) = fail_nth(nth, || save(&store, 10));
        store.sweep().unwrap();
        assert_eq!(store.latest().unwrap().unwrap().step, 10, "operation {nth}");
        if !reached {
            result.unwrap();
            break;
        }
    }
}

/// The state after a kill: a prefix of the files, in the hidden directory.
fn killed_after(store: &CheckpointStore, step: u64, n_files: usize) -> PathBuf {
    let part = store
        .path(step)
        .with_file_name(format!(".step-{step}.part"));
    std::fs::create_dir_all(&part).unwrap();
    for name in &FILES[..n_files] {
        std::fs::write(part.join(name), "half of i").unwrap();
    }
    part
}

#[test]
fn what_a_kill_between_two_files_leaves_is_no_checkpoint_and_is_swept() {
    for n_files in 0..=FILES.len() {
        let (_run, store) = store();
        save(&store, 10).unwrap();
        let part = killed_after(&store, 20, n_files);
        assert_eq!(store.latest().unwrap().unwrap().step, 10);
        store.sweep().unwrap();
        assert!(!part.exists());
        // A save also works without a sweep before it.
        killed_after(&store, 20, n_files);
        save(&store, 20).unwrap();
        assert_eq!(store.latest().unwrap().unwrap().step, 20);
    }
}

#[test]
fn a_kill_between_the_renames_of_a_replacement_keeps_the_one_before() {
    let (_run, store) = store();
    let saved = save(&store, 10).unwrap();
    let old = saved.dir.with_file_name(".step-10.old");
    std::fs::rename(&saved.dir, &old).unwrap();
    store.sweep().unwrap();
    assert_eq!(store.latest().unwrap().unwrap().step, 10);
    assert!(!old.exists());
}

#[test]
fn a_sweep_leaves_alone_what_is_not_of_a_save() {
    let (_run, store) = store();
    let dir = save(&store, 10).unwrap().dir.with_file_name("");
    for name in [".step-1.backup", ".step-01.part", "step-7x", "notes"] {
        std::fs::create_dir(dir.join(name)).unwrap();
    }
    store.sweep().unwrap();
    for name in [".step-1.backup", ".step-01.part", "step-7x", "notes"] {
        assert!(dir.join(name).is_dir(), "{name}");
    }
    assert_eq!(store.steps().unwrap(), [10]);
}

#[test]
fn the_last_few_and_those_kept_for_good_stay() {
    let kept = |keep_last, for_good: &[u64]| {
        let (_run, store) = store();
        for step in [5, 10, 15, 20, 25, 30, 33] {
            save(&store, step).unwrap();
        }
        let is_kept = |step| for_good.contains(&step);
        store.retain(33, keep_last, is_kept).unwrap();
        store.steps().unwrap()
    };
    assert_eq!(kept(2, &[]), [30, 33]);
    assert_eq!(kept(2, &[10, 20, 30]), [10, 20, 30, 33]);
    assert_eq!(kept(1, &[25, 40]), [25, 33]);
    assert_eq!(kept(9, &[]), [5, 10, 15, 20, 25, 30, 33]);
    assert_eq!(kept(0, &[]), [33], "the newest always stays");
}

#[test]
fn retention_does_not_touch_checkpoints_past_the_newest() {
    let (_run, store) = store();
    for step in [5, 10, 15, 20] {
        save(&store, step).unwrap();
    }
    store.retain(10, 1, |_| false).unwrap();
    assert_eq!(store.steps().unwrap(), [10, 15, 20]);
}

#[test]
fn later_checkpoints_are_moved_aside_and_stay_there() {
    let (_run, store) = store();
    let save_all = || [5, 10, 15].map(|step| save(&store, step).unwrap());
    save_all();
    let moved = store.abandon_after(5).unwrap();
    let names = ["step-15.abandoned", "step-10.abandoned"];
    assert_eq!(moved, names.map(|name| store.path(5).with_file_name(name)));
    assert_eq!(store.latest().unwrap().unwrap().step, 5);
    save_all();
    let again = store.abandon_after(10).unwrap();
    let name = store.path(5).with_file_name("step-15.abandoned-2");
    assert_eq!(again, [name]);
    store.sweep().unwrap();
    store.retain(10, 1, |_| false).unwrap();
    assert_eq!(store.steps().unwrap(), [10]);
    for dir in moved.iter().chain(&again) {
        assert!(dir.join("checkpoint.json").is_file(), "{}", dir.display());
    }
    assert!(store.abandon_after(10).unwrap().is_empty());
}

#[test]
fn a_move_aside_that_fails_midway_leaves_the_earlier_ones_under_their_names() {
    for nth in 0.. {
        let (_run, store) = store();
        for step in [5, 10, 15] {
            save(&store, step).unwrap();
        }
        let (result, reached) = fail_nth(nth, || store.abandon_after(5));
        let left = store.steps().unwrap();
        assert!([5, 10, 15].starts_with(&left), "{left:?}");
        assert_eq!(store.abandon_after(5).unwrap().len(), left.len() - 1);
        if !reached {
            result.unwrap();
            break;
        }
    }
}

#[test]
fn a_removal_that_fails_midway_leaves_no_half_checkpoint_under_its_name() {
    for nth in 0.. {
        let (_run, store) = store();
        for step in [5, 10] {
            save(&store, step).unwrap();
        }
        let (result, reached) = fail_nth(nth, || store.retain(10, 1, |_| false));
        for step in store.steps().unwrap() {
            store.at(step).unwrap();
        }
        store.sweep().unwrap();
        if !reached {
            result.unwrap();
            break;
        }
    }
}

#[test]
fn a_missing_step_is_refused_with_the_existing_ones() {
    let (_run, store) = store();
    let error = store.at(7).unwrap_err().to_string();
    assert!(error.contains("there are no checkpoints"), "{error}");
    save(&store, 5).unwrap();
    save(&store, 10).unwrap();
    let error = store.at(7).unwrap_err().to_string();
    assert!(error.contains("step-5, step-10"), "{error}");
}

fn spec() -> ModelSpec {
    ModelSpec {
        vocab_size: 11,
        d_model: 6,
        n_layers: 2,
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 4,
        d_ff: 5,
        max_seq_len: 8,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings: false,
    }
}

/// Parameters, and moments that differ from them and from each other in every element.
fn trained() -> (Params, AdamW) {
    let params = Params::init(&spec(), 7);
    let values = |factor: f32| (0..params.layout.len).map(|i| factor * i as f32).collect();
    let optimizer = AdamW {
        m: values(-1e-7),
        v: values(1e-30),
    };
    (params, optimizer)
}

/// Values with a long decimal form, and one that is missing.
fn hard_state() -> Vec<Option<f64>> {
    vec![
        Some(0.1 + 0.2),
        Some(1.0 / 3.0),
        Some(f64::MIN_POSITIVE / 3.0),
        Some(2.0_f64.powi(60) + 512.0),
        None,
    ]
}

fn save_trained(store: &CheckpointStore, step: u64) -> Result<Checkpoint, CheckpointError> {
    let (params, optimizer) = trained();
    store.save_contents(
        step,
        &Contents {
            params: &params,
            special: &SpecialIds {
                bos: None,
                eos: vec![3],
            },
            tokenizer_json: None,
            optimizer: &optimizer,
            state: &hard_state(),
        },
    )
}

#[test]
fn weights_moments_and_state_come_back_bit_for_bit() {
    let (_run, store) = store();
    save_trained(&store, 3).unwrap();
    let checkpoint = store.latest().unwrap().unwrap();
    assert_eq!(checkpoint.weights(&spec()).unwrap(), trained());
    assert_eq!(
        checkpoint.state::<Vec<Option<f64>>>().unwrap(),
        hard_state()
    );
}

#[test]
fn a_checkpoint_is_a_hugging_face_directory() {
    let (_run, store) = store();
    let checkpoint = save_trained(&store, 3).unwrap();
    let model = read_hf(&checkpoint.dir).unwrap();
    assert_eq!((model.params, &*model.special.eos), (trained().0, &[3][..]));
}

#[test]
fn the_same_contents_make_the_same_bytes() {
    let (_run, store) = store();
    let seals: Vec<Seal> = [3, 3]
        .iter()
        .map(|&step| save_trained(&store, step).unwrap().seal)
        .collect();
    assert_eq!(seals[0], seals[1]);
    let names: Vec<&String> = seals[0].files.keys().collect();
    for name in FILES {
        assert!(names.iter().any(|listed| *listed == name), "{names:?}");
    }
}

#[test]
fn a_checkpoint_of_another_model_is_refused() {
    let (_run, store) = store();
    let checkpoint = save_trained(&store, 3).unwrap();
    let other = ModelSpec {
        n_layers: 1,
        ..spec()
    };
    let error = checkpoint.weights(&other).unwrap_err().to_string();
    assert!(error.contains("n_layers: 2"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_not_saved_and_the_older_checkpoint_stays() {
    let (_run, store) = store();
    save_trained(&store, 3).unwrap();
    let (mut params, optimizer) = trained();
    params.values[5] = f32::NAN;
    let contents = Contents {
        params: &params,
        special: &SpecialIds::default(),
        tokenizer_json: None,
        optimizer: &optimizer,
        state: &(),
    };
    let error = store.save_contents(4, &contents).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
    assert_eq!(store.latest().unwrap().unwrap().step, 3);
}

#[test]
fn a_failed_read_is_not_reported_as_a_damaged_checkpoint() {
    let (_run, store) = store();
    for step in [10, 20] {
        save(&store, step).unwrap();
    }
    for code in [libc::EIO, libc::ESTALE, libc::EMFILE] {
        for n in 0.. {
            let (result, reached) = crate::storage::fail_nth_read(n, code, || store.latest());
            if !reached {
                assert_eq!(result.unwrap().unwrap().step, 20);
                assert!(n >= 8, "only {n} reads");
                break;
            }
            let error = result.unwrap_err();
            assert!(
                matches!(error, CheckpointError::Storage(_)),
                "read {n}: {error:?}"
            );
            assert_eq!(error.kind(), crate::error::Kind::Failed);
            assert!(!error.to_string().contains("--resume-from"), "{error}");
        }
    }
}

#[test]
fn a_checkpoint_that_lists_no_file_or_one_outside_is_refused() {
    let (_run, store) = store();
    let saved = save(&store, 5).unwrap();
    let seal = saved.dir.join("checkpoint.json");
    let refused = |files: serde_json::Value| {
        let json = serde_json::json!({ "format_version": 1, "step": 5, "files": files });
        std::fs::write(&seal, json.to_string()).unwrap();
        match store.latest().unwrap_err() {
            CheckpointError::Damaged { fault, .. } => fault.to_string(),
            other => panic!("{other}"),
        }
    };
    let message = refused(serde_json::json!({}));
    assert!(message.contains("it lists no file"), "{message}");
    for name in ["../../config.json", "/etc/passwd", "a/b", "..", ""] {
        let message = refused(serde_json::json!({ name: { "bytes": 0, "blake3": "" } }));
        assert!(
            message.contains("not the name of a file in it"),
            "{message}"
        );
    }
}
