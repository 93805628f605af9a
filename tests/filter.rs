//! `saltworks filter` as a user reaches it: tokenize, score, select documents, filter.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::models::{DecoderSpec, decoder};
use support::process::{signal, spawn, wait_until};
use support::{assert_same_files, fail_with, saltworks, snapshot, succeed};

const VOCAB_SIZE: u64 = 280;

/// A corpus in three files, its tokens, and a selection of half of its documents.
struct Workspace {
    dir: tempfile::TempDir,
}

impl Workspace {
    fn new(n_documents: usize) -> Self {
        let workspace = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(workspace.path("corpus")).unwrap();
        let (first, second) = (lines(0..n_documents), lines(n_documents..2 * n_documents));
        workspace.write("corpus/a.jsonl", first.as_bytes());
        workspace.write(
            "corpus/b.jsonl.zst",
            &zstd::encode_all(second.as_bytes(), 3).unwrap(),
        );
        workspace.write("corpus/c.txt", b"one text\r\nof two lines");
        workspace.run("tokenizer train --input corpus --vocab-size 280 --output tokenizer.json");
        workspace.run("tokenize --input corpus --tokenizer tokenizer.json --output tokens");
        let spec = DecoderSpec {
            vocab_size: VOCAB_SIZE,
            width: 32,
            n_layers: 1,
            n_heads: 2,
            max_seq_len: 128,
            ..DecoderSpec::default()
        };
        decoder(&spec, &workspace.path("teacher.onnx")).unwrap();
        workspace.run(
            "label --teacher teacher.onnx --tokens tokens --seq-len 64 --groups scores --device cpu --output labels",
        );
        workspace.run("select labels --by document --fraction 0.5 --output documents.parquet");
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = saltworks();
        command.args(line.split(' ')).current_dir(self.dir.path());
        command
    }

    fn run(&self, line: &str) -> String {
        String::from_utf8(succeed(&mut self.command(line)).stdout).unwrap()
    }

    fn filter(&self, options: &str) -> Command {
        self.command(&format!(
            "filter --input corpus --corpus tokens --selection documents.parquet {options}"
        ))
    }

    fn filter_json(&self, options: &str) -> serde_json::Value {
        let output = succeed(self.filter(options).arg("--json"));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn lines_of(&self, name: &str) -> Vec<String> {
        let bytes = std::fs::read(self.path(name)).unwrap();
        let bytes = match name.ends_with(".zst") {
            true => zstd::decode_all(bytes.as_slice()).unwrap(),
            false => bytes,
        };
        let text = String::from_utf8(bytes).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    let line = |i: usize| {
        let text = "salt of the sea ".repeat(i % 7 + 1);
        format!("{{\"id\": \"d{i}\", \"text\": \"{i} {text}\", \"more\": [1.50, null]}}\n")
    };
    numbers.map(line).collect()
}

/// Whether `part` is what is left of `whole` when some lines are dropped.
fn is_part(part: &[String], whole: &[String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|line| whole.any(|other| other == line))
}

#[test]
fn from_text_to_the_better_half_of_it() {
    let place = Workspace::new(60);
    let report = place.filter_json("--output kept");
    assert_eq!(
        (&report["n_documents"], &report["n_files"]),
        (&121.into(), &3.into())
    );
    let n_kept = report["n_kept"].as_u64().unwrap();
    assert!((59..=61).contains(&n_kept), "{report}");
    let names = ["a.jsonl", "b.jsonl.zst"];
    let kept = names.map(|name| place.lines_of(&format!("kept/{name}")));
    for (name, kept) in names.iter().zip(&kept) {
        assert!(
            is_part(kept, &place.lines_of(&format!("corpus/{name}"))),
            "{name}"
        );
    }
    let text = place.path("kept/c.txt");
    let n_texts = u64::from(text.exists());
    assert_eq!(kept.iter().flatten().count() as u64 + n_texts, n_kept);
    // The kept documents are a corpus again.
    place.run("tokenize --input kept --tokenizer tokenizer.json --output tokens-kept");
    let corpus = std::fs::read(place.path("tokens-kept/corpus.json")).unwrap();
    let corpus: serde_json::Value = serde_json::from_slice(&corpus).unwrap();
    assert_eq!(corpus["n_documents"], n_kept);
    let said = String::from_utf8(succeed(&mut place.filter("--output kept")).stdout).unwrap();
    assert!(said.contains("3 files, 3 of them already done"), "{said}");
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_written() {
    let place = Workspace::new(30);
    std::fs::remove_file(place.path("corpus/c.txt")).unwrap();
    let refused = fail_with(&mut place.filter("--output kept"), 2);
    assert!(refused.contains("c.txt is not among the 2"), "{refused}");
    place.write("corpus/c.txt", b"one text\r\nof two lines");
    let refused = fail_with(&mut place.filter("--output kept --weights"), 2);
    assert!(refused.contains("c.txt is plain text"), "{refused}");
    assert!(!place.path("kept").exists());
}

#[test]
fn an_output_inside_an_input_is_refused() {
    let place = Workspace::new(10);
    let refused = fail_with(&mut place.filter("--output corpus/kept"), 2);
    assert!(
        refused.contains("an output outside the inputs"),
        "{refused}"
    );
    let refused = fail_with(&mut place.filter("--output corpus"), 2);
    assert!(
        refused.contains("an output outside the inputs"),
        "{refused}"
    );
    let unknown = "filter --input corpus --corpus tokens --selection labels/scores/part-00000.parquet --output k";
    fail_with(&mut place.command(unknown), 3);
    let missing = "filter --input corpus --corpus nowhere --selection documents.parquet --output k";
    let refused = fail_with(&mut place.command(missing), 2);
    assert!(refused.contains("has no corpus.json"), "{refused}");
    let missing = "filter --input corpus --corpus tokens --selection nowhere.parquet --output k";
    let refused = fail_with(&mut place.command(missing), 2);
    assert!(
        refused.contains("nowhere.parquet does not exist"),
        "{refused}"
    );
    let refused = fail_with(&mut place.filter("--output labels"), 2);
    assert!(refused.contains("labels contains labels"), "{refused}");
    assert!(!place.path("labels/a.jsonl").exists());
}

#[test]
fn ctrl_c_leaves_nothing_half_done_and_the_same_command_goes_on() {
    let place = Workspace::new(4_000);
    succeed(&mut place.filter("--output reference --compression xz"));
    let mut child = spawn(&mut place.filter("--output kept --compression xz"));
    let is_begun = |dir: &Path| {
        snapshot(dir)
            .keys()
            .any(|name| name.starts_with(".a.jsonl"))
    };
    let kept = place.path("kept");
    wait_until(&mut child, "an output was begun", || {
        kept.exists() && is_begun(&kept)
    });
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    let printed = support::text(&output);
    assert_eq!(output.status.code(), Some(75), "{printed}");
    assert!(printed.contains("run the same command again"), "{printed}");
    let left = snapshot(&kept);
    assert!(
        left.keys()
            .all(|name| !name.contains("/.") && !name.starts_with('.')),
        "{left:?}"
    );
    succeed(&mut place.filter("--output kept --compression xz"));
    assert_same_files(&snapshot(&kept), &snapshot(&place.path("reference")));
}

#[test]
fn a_disk_that_fails_at_any_moment_leaves_outputs_that_are_whole() {
    let place = Workspace::new(20);
    succeed(&mut place.filter("--output reference"));
    let want = snapshot(&place.path("reference"));
    let shim = support::fault_shim(place.dir.path());
    for stays in [false, true] {
        let mut at = 1;
        while let Some(failed) = run_with_fault(&place, &shim, at, stays) {
            let kept = place.path("kept");
            for (name, bytes) in if kept.exists() {
                snapshot(&kept)
            } else {
                Default::default()
            } {
                let is_temporary = name.rsplit('/').next().unwrap().starts_with('.');
                let is_good = want.get(&name) == Some(&bytes);
                assert!(
                    is_temporary || is_good,
                    "operation {at} ({failed}) left a bad {name}"
                );
            }
            succeed(&mut place.filter("--output kept"));
            assert_same_files(&snapshot(&kept), &want);
            std::fs::remove_dir_all(&kept).unwrap();
            at += 1;
        }
        assert!(at > 15, "only {at} operations were seen");
    }
}

/// Runs with the `at`-th operation on the output failing; the operation's name, or `None` if there are fewer.
fn run_with_fault(place: &Workspace, shim: &Path, at: u32, stays: bool) -> Option<String> {
    let log = place.path("fault.log");
    let _ = std::fs::remove_file(&log);
    let kept = place.path("kept");
    let mut command = place.filter("--output");
    command.arg(&kept);
    command
        .env("LD_PRELOAD", shim)
        .env("FAULT_DIR", &kept)
        .env("FAULT_LOG", &log);
    command.env("FAULT_AT", at.to_string());
    if stays {
        command.env("FAULT_STAYS", "1");
    }
    let result = command.output().unwrap();
    let printed = support::text(&result);
    let Ok(failed) = std::fs::read_to_string(&log) else {
        std::fs::remove_dir_all(&kept).unwrap();
        return None;
    };
    let is_fine = result.status.success();
    let is_named = result.status.code() == Some(1) && printed.contains("error: ");
    assert!(is_fine || is_named, "operation {at} ({failed}): {printed}");
    Some(failed)
}
