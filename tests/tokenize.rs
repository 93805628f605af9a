//! `saltworks tokenizer train` and `saltworks tokenize`, as a user runs them.
#![cfg(feature = "label")]
#![allow(clippy::unwrap_used)] // helpers of tests

use saltworks::tokens::{OpenOptions, TokenCorpus};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

struct Workplace {
    dir: tempfile::TempDir,
}

impl Workplace {
    /// A directory with documents and a tokenizer trained on them.
    fn new(n_documents: usize) -> Self {
        let workplace = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let line = |i: usize| {
            format!(
                "{{\"text\":\"document {i}: {}\"}}\n",
                "salt of the sea ".repeat(i % 9)
            )
        };
        fs::write(
            workplace.path("in.jsonl"),
            (0..n_documents).map(line).collect::<String>(),
        )
        .unwrap();
        let trained = workplace.run(&[
            "tokenizer",
            "train",
            "--input",
            "in.jsonl",
            "--vocab-size",
            "280",
            "--output",
            "tokenizer.json",
        ]);
        assert!(trained.status.success(), "{}", stderr(&trained));
        workplace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks"));
        command.current_dir(self.dir.path()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn tokenize(&self, input: &str, more: &[&str]) -> Output {
        let args = [
            "tokenize",
            "--input",
            input,
            "--tokenizer",
            "tokenizer.json",
            "--output",
            "out",
        ];
        self.run(&[&args, more].concat())
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_fails_with(output: &Output, wanted: &str) {
    assert!(!output.status.success());
    assert!(stderr(output).contains(wanted), "{}", stderr(output));
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn documents_become_a_corpus_that_opens() {
    let workplace = Workplace::new(300);
    let output = workplace.tokenize("*.jsonl", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("bos none (auto); eod 0 `<|endoftext|>` (auto)"));
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    for wanted in [
        "documents    300",
        "0 empty, 0 bad lines",
        "bytes/token",
        "blake3:",
    ] {
        assert!(summary.contains(wanted), "{summary}");
    }
    assert_eq!(
        names_in(&workplace.path("out")),
        ["corpus.json", "tokenizer.json", "tokens.bin", "tokens.idx"]
    );
    let corpus = TokenCorpus::open(&workplace.path("out"), &OpenOptions::default()).unwrap();
    assert_eq!(corpus.n_documents(), 300);
    assert_eq!(corpus.corpus_json().unwrap().eod, Some(0));
}

#[test]
fn an_output_in_use_is_refused_before_the_work_and_replaced_if_asked() {
    let workplace = Workplace::new(20);
    assert!(workplace.tokenize("in.jsonl", &[]).status.success());
    assert_fails_with(&workplace.tokenize("in.jsonl", &[]), "--overwrite");
    assert!(
        workplace
            .tokenize("in.jsonl", &["--overwrite", "--eod", "none"])
            .status
            .success()
    );
    let corpus = TokenCorpus::open(&workplace.path("out"), &OpenOptions::default()).unwrap();
    assert_eq!(corpus.corpus_json().unwrap().eod, None);
    let again = [
        "tokenizer",
        "train",
        "--input",
        "in.jsonl",
        "--vocab-size",
        "280",
        "--output",
        "tokenizer.json",
    ];
    assert_fails_with(&workplace.run(&again), "--overwrite");
}

#[test]
fn broken_json_in_line_12345_is_named_and_leaves_nothing() {
    let workplace = Workplace::new(20);
    let mut lines = "{\"text\":\"a\"}\n".repeat(12_344);
    lines += "{\"text\": oops}\n{\"text\":\"b\"}\n";
    fs::write(workplace.path("bad.jsonl"), lines).unwrap();
    assert_fails_with(
        &workplace.tokenize("bad.jsonl", &[]),
        "bad.jsonl:12345: broken JSON at column 10",
    );
    assert!(names_in(&workplace.path("out")).is_empty());
    let skipped = workplace.tokenize("bad.jsonl", &["--skip-bad-lines"]);
    assert!(skipped.status.success(), "{}", stderr(&skipped));
    assert!(String::from_utf8_lossy(&skipped.stdout).contains("0 empty, 1 bad lines"));
}

#[test]
fn what_cannot_work_is_said_with_its_remedy() {
    let workplace = Workplace::new(20);
    assert_fails_with(
        &workplace.tokenize("absent*.jsonl", &[]),
        "matches no input file",
    );
    assert_fails_with(
        &workplace.tokenize("in.jsonl", &["--bos", "<nope>"]),
        "no token `<nope>`",
    );
    assert_fails_with(
        &workplace.tokenize("in.jsonl", &["--eod", "9999"]),
        "past the vocabulary of 280",
    );
    assert_fails_with(
        &workplace.tokenize("in.jsonl", &["--text-field", "body"]),
        "--text-field",
    );
    fs::write(workplace.path("tokenizer.json"), "{}").unwrap();
    assert_fails_with(&workplace.tokenize("in.jsonl", &[]), "tokenizer.json");
    fs::remove_file(workplace.path("tokenizer.json")).unwrap();
    assert_fails_with(
        &workplace.tokenize("in.jsonl", &[]),
        "cannot read tokenizer.json",
    );
}

#[test]
fn an_interrupted_run_leaves_no_corpus() {
    let workplace = Workplace::new(20);
    let line = format!("{{\"text\":\"{}\"}}\n", "the sea is salt ".repeat(1000));
    fs::write(workplace.path("long.jsonl"), line.repeat(4000)).unwrap();
    let args = [
        "tokenize",
        "--input",
        "long.jsonl",
        "--tokenizer",
        "tokenizer.json",
        "--output",
        "out",
    ];
    let mut child = workplace
        .command(&args)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !workplace.path("out").exists() || names_in(&workplace.path("out")).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    // SAFETY: a signal to a child that was not waited for yet, so the id is still its own.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert!(!child.wait().unwrap().success());
    assert!(names_in(&workplace.path("out")).is_empty());
}
