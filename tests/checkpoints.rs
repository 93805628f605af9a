//! `--teacher DIR` and `export` end to end: labels of a checkpoint, and its graph in the cache, also with races
//! and damage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/expected.rs"]
mod expected;
#[path = "support/mod.rs"]
mod support;

use crate::expected::{Expected, LENGTHS, TOLERANCE};
use crate::support::process::{flip, spawn};
use crate::support::{assert_same_files, fail_with, saltworks, snapshot, succeed, text};
use saltworks::shards::{LabelSet, Row, ShardReader};
use saltworks::storage::host;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of kept log-probabilities, nats: f32 on graphs of other operators.
const BETWEEN_DIALECTS: f32 = 2e-5;

/// A copy of a checkpoint of V = 128, with tokens, in a temporary directory.
struct Inputs {
    dir: tempfile::TempDir,
}

impl Inputs {
    fn new(family: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families");
        let checkpoint = dir.path().join("checkpoint");
        std::fs::create_dir(&checkpoint).unwrap();
        let other = std::fs::read_to_string(fixtures.join(family).join("weights-of"));
        let weights = other.as_deref().map_or(family, str::trim);
        for (family, name) in [(family, "config.json"), (weights, "model.safetensors")] {
            std::fs::copy(fixtures.join(family).join(name), checkpoint.join(name)).unwrap();
        }
        let mut state = 5_u32;
        let ids = (0..1_500).flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as u16 % 128).to_le_bytes()
        });
        std::fs::write(dir.path().join("tokens.bin"), ids.collect::<Vec<u8>>()).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn label(&self, teacher: &str, output: &str) -> Command {
        self.label_of(teacher, output, 40)
    }

    fn label_of(&self, teacher: &str, output: &str, seq_len: u32) -> Command {
        let mut label = saltworks();
        label.arg("label").arg("--teacher").arg(self.path(teacher));
        label.arg("--tokens").arg(self.path("tokens.bin"));
        label.args(["--tokens-format", "nanogpt", "--device", "cpu"]);
        label.args(["--seq-len", &seq_len.to_string(), "--top-k", "8"]);
        label.args(["--round", "f32"]);
        label.args(["--shard-bytes", "30000"]);
        label.arg("--output").arg(self.path(output));
        label
    }

    fn export(&self, output: &str, more: &[&str]) -> Command {
        let mut export = saltworks();
        export.arg("export").arg(self.path("checkpoint")).args(more);
        export.arg("--output").arg(self.path(output));
        export
    }

    /// What `verify` finds of labels that the checkpoint made.
    fn verify(&self, labels: &str) -> Value {
        let mut verify = saltworks();
        verify.arg("verify").arg(self.path(labels));
        verify.arg("--teacher").arg(self.path("checkpoint"));
        verify.arg("--tokens").arg(self.path("tokens.bin"));
        verify.args(["--device", "cpu", "--json"]);
        let printed = text(&succeed(&mut verify));
        let report: Value = serde_json::from_str(&printed).unwrap();
        report["teacher"]["own"].clone()
    }

    fn plan(&self, output: &str) -> Value {
        let text = std::fs::read(self.path(output).join("plan.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Entries of the cache beside the labels; nothing else may be there.
    fn entries(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("teacher-cache")).unwrap();
        let entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        let is_hidden = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with('.')
        };
        assert!(!entries.iter().any(is_hidden), "{entries:?}");
        entries
    }

    fn rows(&self, output: &str) -> Vec<Row> {
        let dir = self.path(output);
        let set = LabelSet::open(&dir).unwrap();
        let plan = &set.segments[0];
        let mut rows: Vec<Row> = plan
            .shards()
            .flat_map(|shard| {
                let reader = ShardReader::open(&dir, plan, shard).unwrap();
                reader.flat_map(Result::unwrap).collect::<Vec<_>>()
            })
            .collect();
        rows.sort_by_key(|row| row.seq_id);
        rows
    }
}

fn largest_difference(a: &[Row], b: &[Row]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.seq_id, b.seq_id);
        let (a, b) = (&a.signals.target_logprob_t, &b.signals.target_logprob_t);
        assert_eq!(a.len(), b.len());
        a.iter().zip(b)
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_checkpoint_labels_as_its_export_does_and_the_plan_names_it() {
    for family in ["llama", "gemma2", "gpt2"] {
        let inputs = Inputs::new(family);
        let printed = text(&succeed(&mut inputs.label("checkpoint", "labels")));
        assert!(printed.contains("is kept in"), "{family}: {printed}");
        assert_eq!(inputs.entries().len(), 1);
        let checkpoint = &inputs.plan("labels")["teacher"]["checkpoint"];
        assert_eq!(checkpoint["dialect"], "fused");
        assert_eq!(checkpoint["weights"], "f32");
        let files = checkpoint["files"].as_array().unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|file| file["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["config.json", "model.safetensors"]);
        let weights = inputs.path("checkpoint/model.safetensors");
        let hash = blake3::hash(&std::fs::read(weights).unwrap())
            .to_hex()
            .to_string();
        assert_eq!(files[1]["blake3"], hash);
        succeed(&mut inputs.export("export/model.onnx", &[]));
        succeed(&mut inputs.label("export/model.onnx", "labels-of-export"));
        let difference =
            largest_difference(&inputs.rows("labels"), &inputs.rows("labels-of-export"));
        println!("{family}: {difference:.1e}");
        assert!(difference <= BETWEEN_DIALECTS, "{family}: {difference}");
        assert!(inputs.plan("labels-of-export")["teacher"]["checkpoint"].is_null());
    }
}

#[test]
fn the_same_command_finds_graph_and_labels_and_verify_makes_them_again() {
    let inputs = Inputs::new("llama");
    succeed(&mut inputs.label("checkpoint", "labels"));
    let before = (
        snapshot(&inputs.path("labels")),
        snapshot(&inputs.path("teacher-cache")),
    );
    let printed = text(&succeed(&mut inputs.label("checkpoint", "labels")));
    assert!(printed.contains("nothing to do"), "{printed}");
    assert!(!printed.contains("is kept in"), "{printed}");
    let own = inputs.verify("labels");
    assert!(own["n_sequences"].as_u64().unwrap() > 10, "{own}");
    assert_eq!(own["n_identical"], own["n_sequences"], "{own}");
    assert_same_files(&snapshot(&inputs.path("labels")), &before.0);
    assert_same_files(&snapshot(&inputs.path("teacher-cache")), &before.1);
}

#[test]
fn the_path_and_size_of_a_graph_are_announced_before_it_is_written() {
    let inputs = Inputs::new("llama");
    let printed = text(&succeed(&mut inputs.label("checkpoint", "labels")));
    let entry = inputs.entries().remove(0).join("model.onnx");
    let (before, after) = printed.split_once("is kept in").unwrap();
    let said = format!("writing the teacher's graph to {}, ", entry.display());
    assert!(
        before.contains(&said) && before.contains("KiB"),
        "{printed}"
    );
    assert!(after.contains("labelling sequences"), "{printed}");
    let mut again = inputs.label("checkpoint", "again");
    let printed = text(&succeed(&mut again));
    assert!(!printed.contains("writing the teacher"), "{printed}");
    let mut quiet = inputs.export("export/model.onnx", &["--quiet"]);
    assert!(!text(&succeed(&mut quiet)).contains("writing"));
}

/// Documents of [`LENGTHS`] inputs, some twice, each ended by an id that no text has; of each row, which
/// length it has.
fn documents_of(expected: &Expected) -> (Vec<u32>, u32, Vec<usize>) {
    let eod = (0..128).find(|id| !expected.ids.contains(id)).unwrap();
    let order = vec![2, 0, 1, 2, 0];
    let document = |&idx: &usize| [&expected.ids[..LENGTHS[idx]], &[eod]].concat();
    (order.iter().flat_map(document).collect(), eod, order)
}

/// Rope that follows the length of the text: below the length of pre-training and above it, documents that share a
/// call have the numbers that transformers gives for each by itself.
#[test]
fn documents_are_turned_by_their_own_length() {
    for family in ["phi3-longrope", "llama-dynamic"] {
        let (inputs, expected) = (Inputs::new(family), Expected::of(family));
        let (ids, eod, order) = documents_of(&expected);
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|&id| (id as u16).to_le_bytes())
            .collect();
        std::fs::write(inputs.path("tokens.bin"), bytes).unwrap();
        succeed(&mut inputs.export("export/model.onnx", &[]));
        let largest = |teacher: &str, output: &str| {
            let mut label = inputs.label_of(teacher, output, 101);
            label.args(["--packing", "document", "--eod", &eod.to_string()]);
            let printed = text(&succeed(&mut label));
            assert!(!printed.contains("one sequence per call"), "{printed}");
            let mut largest = 0f64;
            for row in inputs.rows(output) {
                let length_idx = order[row.seq_id as usize];
                let ours = &row.signals.target_logprob_t;
                assert_eq!(ours.len(), LENGTHS[length_idx]);
                for (position, theirs) in expected.rows(length_idx) {
                    let target = match position + 1 == ours.len() {
                        true => eod,
                        false => expected.ids[position + 1],
                    };
                    let theirs = f64::from(theirs[target as usize]);
                    largest = largest.max((f64::from(ours[position]) - theirs).abs());
                }
            }
            largest
        };
        for (teacher, output) in [("checkpoint", "labels"), ("export/model.onnx", "of-export")] {
            let largest = largest(teacher, output);
            println!("{family}, {teacher}: {largest:.1e}");
            assert!(largest <= TOLERANCE, "{family}, {teacher}: {largest}");
        }
        let own = inputs.verify("labels");
        assert_eq!(own["n_sequences"], order.len(), "{own}");
        assert_eq!(own["n_identical"], own["n_sequences"], "{own}");
    }
}

#[test]
fn tasks_that_need_the_graph_at_once_make_one_and_their_labels_are_those_of_one_task() {
    let inputs = Inputs::new("llama");
    let mut plan = inputs.label("checkpoint", "whole");
    succeed(plan.arg("--teacher-cache").arg(inputs.path("other-cache")));
    let tasks = (0..3).map(|task| {
        let mut label = inputs.label("checkpoint", "labels");
        spawn(label.args(["--task", &format!("{task}/3")]))
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        let output = task.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(inputs.entries().len(), 1);
    succeed(saltworks().arg("finalize").arg(inputs.path("labels")));
    assert_eq!(
        largest_difference(&inputs.rows("labels"), &inputs.rows("whole")),
        0.0
    );
    let fingerprint = |output: &str| inputs.plan(output)["teacher"]["fingerprint"].clone();
    assert_eq!(fingerprint("labels"), fingerprint("whole"));
}

#[test]
fn a_damaged_or_half_written_graph_is_made_again() {
    let inputs = Inputs::new("llama");
    succeed(&mut inputs.label("checkpoint", "labels"));
    let entry = inputs.entries().remove(0);
    let whole = snapshot(&inputs.path("teacher-cache"));
    let damages: [(&str, &dyn Fn()); 6] = [
        ("a flipped bit of the weights", &|| {
            flip(&entry.join("model.onnx.data"))
        }),
        ("a flipped bit of the graph", &|| {
            flip(&entry.join("model.onnx"))
        }),
        ("a flipped bit of the hashes", &|| {
            flip(&entry.join("entry.json"))
        }),
        ("no hashes", &|| {
            std::fs::remove_file(entry.join("entry.json")).unwrap()
        }),
        ("short weights", &|| {
            let path = entry.join("model.onnx.data");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a part of a killed maker", &|| {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            std::fs::remove_dir_all(&entry).unwrap();
            let part = entry.with_file_name(format!(".{name}.{}.4711ab", host()));
            std::fs::create_dir(&part).unwrap();
            std::fs::write(part.join("model.onnx.data"), b"half").unwrap();
        }),
    ];
    for (what, damage) in damages {
        damage();
        let printed = text(&succeed(&mut inputs.label("checkpoint", "labels")));
        assert!(printed.contains("is kept in"), "{what}: {printed}");
        assert_same_files(&snapshot(&inputs.path("teacher-cache")), &whole);
    }
}

#[test]
fn other_weights_another_format_or_dialect_are_other_labels() {
    let inputs = Inputs::new("llama");
    succeed(&mut inputs.label("checkpoint", "labels"));
    for (flag, value) in [
        ("--teacher-weights", "int8"),
        ("--teacher-dialect", "standard"),
    ] {
        let mut other = inputs.label("checkpoint", "labels");
        let printed = fail_with(other.args([flag, value]), 2);
        assert!(printed.contains("started with another"), "{printed}");
    }
    let mut int8 = inputs.label("checkpoint", "int8");
    succeed(int8.args(["--teacher-weights", "int8"]));
    assert_eq!(
        inputs.plan("int8")["teacher"]["checkpoint"]["weights"],
        "int8"
    );
    let difference = largest_difference(&inputs.rows("labels"), &inputs.rows("int8"));
    assert!(difference > 1e-4 && difference < 1.0, "{difference}");
    flip(&inputs.path("checkpoint/model.safetensors"));
    let printed = fail_with(&mut inputs.label("checkpoint", "labels"), 2);
    assert!(
        printed.contains("started with another --teacher"),
        "{printed}"
    );
}

#[test]
fn what_cannot_be_a_checkpoints_teacher_is_refused_before_anything_is_written() {
    let inputs = Inputs::new("llama");
    succeed(&mut inputs.export("export/model.onnx", &[]));
    let mut of_file = inputs.label("export/model.onnx", "labels");
    let printed = fail_with(of_file.args(["--teacher-weights", "f16"]), 2);
    assert!(printed.contains("--teacher-weights is given"), "{printed}");
    let printed = fail_with(&mut inputs.label("nothere", "labels"), 2);
    assert!(
        printed.contains("nothere, which does not exist")
            && printed.contains("expected a checkpoint"),
        "{printed}"
    );
    let mut both = inputs.label("checkpoint", "labels");
    both.args(["--teacher-weights", "int8", "--teacher-dialect", "standard"]);
    let printed = fail_with(&mut both, 2);
    assert!(printed.contains("int8 weights need"), "{printed}");
    let config = inputs.path("checkpoint/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let other = text
        .replace("LlamaForCausalLM", "BertModel")
        .replace("\"llama\"", "\"bert\"");
    std::fs::write(&config, other).unwrap();
    let printed = fail_with(&mut inputs.label("checkpoint", "labels"), 2);
    assert!(
        printed.contains("bert") || printed.contains("Bert"),
        "{printed}"
    );
    std::fs::write(&config, &text).unwrap();
    std::fs::remove_file(inputs.path("checkpoint/model.safetensors")).unwrap();
    let printed = fail_with(&mut inputs.label("checkpoint", "labels"), 2);
    assert!(printed.contains("model.safetensors"), "{printed}");
    assert!(!inputs.path("labels").exists() && !inputs.path("teacher-cache").exists());
}

#[test]
fn another_models_tokenizer_beside_an_export_is_not_kept_in_silence() {
    let inputs = Inputs::new("llama");
    std::fs::write(inputs.path("checkpoint/tokenizer.json"), "{}").unwrap();
    std::fs::create_dir(inputs.path("a")).unwrap();
    std::fs::write(inputs.path("a/tokenizer.json"), "of another").unwrap();
    let printed = fail_with(&mut inputs.export("a/model.onnx", &[]), 2);
    assert!(
        printed.contains("not the checkpoint's tokenizer"),
        "{printed}"
    );
    assert!(!inputs.path("a/model.onnx").exists());
    succeed(&mut inputs.export("a/model.onnx", &["--overwrite"]));
    assert_eq!(
        std::fs::read(inputs.path("a/tokenizer.json")).unwrap(),
        b"{}"
    );
}

#[test]
fn an_onnx_file_in_a_checkpoints_folder_is_taken_and_said_to_be() {
    let inputs = Inputs::new("llama");
    succeed(&mut inputs.export("checkpoint/model.onnx", &[]));
    let printed = text(&succeed(&mut inputs.label("checkpoint", "labels")));
    assert!(printed.contains("also contains a checkpoint"), "{printed}");
    assert!(!inputs.path("teacher-cache").exists());
    let mut other = inputs.label("checkpoint/model.onnx", "other");
    let printed = fail_with(other.args(["--teacher-weights", "f16"]), 2);
    assert!(printed.contains("checkpoint/model.onnx"), "{printed}");
}

#[test]
fn an_option_of_checkpoints_takes_the_checkpoint_beside_an_onnx_file() {
    let inputs = Inputs::new("llama");
    succeed(&mut inputs.export("checkpoint/model.onnx", &[]));
    succeed(
        inputs
            .label("checkpoint", "labels")
            .args(["--teacher-weights", "f32"]),
    );
    assert!(inputs.path("teacher-cache").exists());
    let plan = inputs.plan("labels");
    assert_eq!(plan["teacher"]["checkpoint"]["weights"], "f32");
    inputs.verify("labels");
}

#[test]
fn export_writes_what_was_asked_for_and_replaces_nothing_unasked() {
    let inputs = Inputs::new("llama");
    std::fs::write(inputs.path("checkpoint/tokenizer.json"), "{}").unwrap();
    succeed(&mut inputs.export("a/model.onnx", &[]));
    let whole = snapshot(&inputs.path("a"));
    let names: Vec<_> = whole.keys().cloned().collect();
    assert_eq!(names, ["config.json", "model.onnx", "tokenizer.json"]);
    let printed = fail_with(&mut inputs.export("a/model.onnx", &["--weights", "f16"]), 2);
    assert!(printed.contains("already exists"), "{printed}");
    assert_same_files(&snapshot(&inputs.path("a")), &whole);
    let args = ["--weights", "f16", "--overwrite", "--json"];
    let exported = succeed(&mut inputs.export("a/model.onnx", &args));
    let report: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(report["weights"], "f16");
    let size = |name: &str| inputs.path(name).metadata().unwrap().len();
    assert_eq!(report["n_bytes"].as_u64().unwrap(), size("a/model.onnx"));
    assert!((size("a/model.onnx") as usize) < whole["model.onnx"].len());
    let printed = fail_with(
        &mut inputs.export("b/model.onnx", &["--weights", "int8"]),
        2,
    );
    assert!(
        printed.contains("--dialect fused") || printed.contains("dialect fused"),
        "{printed}"
    );
    let args = ["--dialect", "fused", "--weights", "int8", "--external-data"];
    succeed(&mut inputs.export("b/model.onnx", &args));
    assert!(size("b/model.onnx.data") > 0);
    let printed = fail_with(&mut inputs.export("a", &[]), 2);
    assert!(printed.contains("does not name a file"), "{printed}");
    let mut nothing = saltworks();
    nothing.arg("export").arg(inputs.path("nothing"));
    nothing.arg("--output").arg(inputs.path("c/model.onnx"));
    fail_with(&mut nothing, 2);
    assert!(!inputs.path("c").exists());
}
