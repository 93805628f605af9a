//! `saltworks tokenizer train` and `saltworks tokenize`, as a user runs them.
#![cfg(feature = "label")]
#![allow(clippy::unwrap_used)] // helpers of tests

#[path = "support/process.rs"]
mod process;

use process::{signal, wait_until};
use saltworks::tokens::{OpenOptions, TokenCorpus};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

struct Workspace {
    dir: tempfile::TempDir,
}

impl Workspace {
    /// A directory with documents and a tokenizer trained on them.
    fn new(n_documents: usize) -> Self {
        let workspace = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let line = |i: usize| {
            format!(
                "{{\"text\":\"document {i}: {}\"}}\n",
                "salt of the sea ".repeat(i % 9)
            )
        };
        fs::write(
            workspace.path("in.jsonl"),
            (0..n_documents).map(line).collect::<String>(),
        )
        .unwrap();
        let trained = workspace.run(&[
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
        workspace
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
    let workspace = Workspace::new(300);
    let output = workspace.tokenize("*.jsonl", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("bos none (auto); eod 0 `<|endoftext|>` (auto)"));
    assert!(!stderr(&output).contains("note:"), "{}", stderr(&output));
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
        names_in(&workspace.path("out")),
        [
            "corpus.json",
            "documents.parquet",
            "tokenizer.json",
            "tokens.bin",
            "tokens.idx"
        ]
    );
    let corpus = TokenCorpus::open(&workspace.path("out"), &OpenOptions::default()).unwrap();
    assert_eq!(corpus.n_documents(), 300);
    assert_eq!(corpus.corpus_json().unwrap().eod, Some(0));
}

#[test]
fn an_output_in_use_is_refused_before_the_work_and_replaced_if_asked() {
    let workspace = Workspace::new(20);
    assert!(workspace.tokenize("in.jsonl", &[]).status.success());
    assert_fails_with(&workspace.tokenize("in.jsonl", &[]), "--overwrite");
    assert!(
        workspace
            .tokenize("in.jsonl", &["--overwrite", "--eod", "none"])
            .status
            .success()
    );
    let corpus = TokenCorpus::open(&workspace.path("out"), &OpenOptions::default()).unwrap();
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
    assert_fails_with(&workspace.run(&again), "--overwrite");
}

#[test]
fn broken_json_in_line_12345_is_named_and_leaves_nothing() {
    let workspace = Workspace::new(20);
    let mut lines = "{\"text\":\"a\"}\n".repeat(12_344);
    lines += "{\"text\": oops}\n{\"text\":\"b\"}\n";
    fs::write(workspace.path("bad.jsonl"), lines).unwrap();
    assert_fails_with(
        &workspace.tokenize("bad.jsonl", &[]),
        "bad.jsonl:12345: invalid JSON at column 10",
    );
    assert!(names_in(&workspace.path("out")).is_empty());
    let skipped = workspace.tokenize("bad.jsonl", &["--skip-bad-lines"]);
    assert!(skipped.status.success(), "{}", stderr(&skipped));
    assert!(String::from_utf8_lossy(&skipped.stdout).contains("0 empty, 1 bad lines"));
}

#[test]
fn what_cannot_work_is_said_with_its_remedy() {
    let workspace = Workspace::new(20);
    assert_fails_with(
        &workspace.tokenize("absent*.jsonl", &[]),
        "matches no input file",
    );
    assert_fails_with(
        &workspace.tokenize("in.jsonl", &["--bos", "<nope>"]),
        "no token `<nope>`",
    );
    assert_fails_with(
        &workspace.tokenize("in.jsonl", &["--eod", "9999"]),
        "outside the vocabulary of 280",
    );
    assert_fails_with(
        &workspace.tokenize("in.jsonl", &["--text-field", "body"]),
        "--text-field",
    );
    for once in ["-", "/dev/zero"] {
        let refused = workspace.tokenize(once, &[]);
        assert_fails_with(&refused, "write the text to a file first");
    }
    fs::create_dir(workspace.path("labels")).unwrap();
    fs::write(workspace.path("labels/plan.json"), "{}").unwrap();
    let tokenize = "tokenize --input in.jsonl --tokenizer tokenizer.json --output labels";
    let refused = workspace.run(&tokenize.split(' ').collect::<Vec<_>>());
    assert_fails_with(&refused, "labels contains labels (plan.json)");
    assert_eq!(names_in(&workspace.path("labels")), ["plan.json"]);
    let zero = "tokenize --input in.jsonl --tokenizer /dev/zero --output tokens";
    let refused = workspace.run(&zero.split(' ').collect::<Vec<_>>());
    assert_fails_with(&refused, "it is a device");
    fs::write(workspace.path("tokenizer.json"), "{}").unwrap();
    assert_fails_with(&workspace.tokenize("in.jsonl", &[]), "tokenizer.json");
    fs::remove_file(workspace.path("tokenizer.json")).unwrap();
    assert_fails_with(
        &workspace.tokenize("in.jsonl", &[]),
        "cannot read tokenizer.json",
    );
}

#[test]
fn an_interrupted_run_leaves_no_corpus() {
    let workspace = Workspace::new(20);
    let line = format!("{{\"text\":\"{}\"}}\n", "the sea is salt ".repeat(1000));
    fs::write(workspace.path("long.jsonl"), line.repeat(4000)).unwrap();
    let args = [
        "tokenize",
        "--input",
        "long.jsonl",
        "--tokenizer",
        "tokenizer.json",
        "--output",
        "out",
    ];
    let mut child = workspace
        .command(&args)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(&mut child, "the output was begun", || {
        workspace.path("out").exists() && !names_in(&workspace.path("out")).is_empty()
    });
    signal(&child, libc::SIGINT);
    assert!(!child.wait().unwrap().success());
    assert!(names_in(&workspace.path("out")).is_empty());
}

/// The exit code of an interrupted run that the same command repeats.
const INTERRUPTED: i32 = 75;

#[test]
fn a_folder_is_read_whole_and_what_is_left_out_is_counted_and_named() {
    let workspace = Workspace::new(20);
    let folder = workspace.path("folder");
    fs::create_dir(&folder).unwrap();
    let line = b"{\"text\":\"the sea is salt\",\"score\":NaN}\n";
    let xz = |bytes: &[u8]| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bytes_name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xe9.jsonl");
    fs::write(folder.join(bytes_name), line).unwrap();
    fs::write(folder.join("a.JSONL"), line).unwrap();
    fs::write(folder.join("b.jsonl.xz"), xz(line)).unwrap();
    fs::write(folder.join("c.jsonlines"), line).unwrap();
    fs::write(folder.join("part-00001"), line).unwrap();
    fs::write(folder.join("notes.md"), "# salt").unwrap();
    fs::write(folder.join("empty.txt"), "").unwrap();
    fs::write(folder.join("table.csv"), "a,b").unwrap();
    fs::write(folder.join("_SUCCESS"), "").unwrap();
    let output = workspace.tokenize("folder", &[]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(summary.contains("documents    6"), "{summary}");
    for wanted in [
        "skipped 1 file of unsupported types (1 .csv): folder/table.csv",
        "folder/_SUCCESS",
        "1 input file has no document",
    ] {
        assert!(said.contains(wanted), "no {wanted} in: {said}");
    }
    let all = workspace.tokenize("folder", &["--overwrite", "--format", "text"]);
    assert!(String::from_utf8_lossy(&all.stdout).contains("documents    7"));
}

#[test]
fn a_tokenizer_that_ends_no_documents_gets_a_note() {
    let workspace = Workspace::new(20);
    let text = fs::read_to_string(workspace.path("tokenizer.json")).unwrap();
    let text = text.replace("<|endoftext|>", "<|nothing|>");
    fs::write(workspace.path("tokenizer.json"), text).unwrap();
    let output = workspace.tokenize("in.jsonl", &[]);
    assert!(
        stderr(&output).contains("documents are not separated"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_run_that_is_killed_at_any_time_is_repeated_by_the_same_command() {
    let workspace = Workspace::new(4000);
    assert!(workspace.tokenize("in.jsonl", &[]).status.success());
    let contents = || -> Vec<Vec<u8>> {
        let names = names_in(&workspace.path("out"));
        let expected = [
            "corpus.json",
            "documents.parquet",
            "tokenizer.json",
            "tokens.bin",
            "tokens.idx",
        ];
        assert_eq!(names, expected);
        names
            .iter()
            .map(|name| fs::read(workspace.path("out").join(name)).unwrap())
            .collect()
    };
    let whole = contents();
    for i in 0..20 {
        fs::remove_dir_all(workspace.path("out")).unwrap();
        let args = [
            "tokenize",
            "--input",
            "in.jsonl",
            "--tokenizer",
            "tokenizer.json",
            "--output",
            "out",
        ];
        let mut child = workspace
            .command(&args)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 + i * 9));
        child.kill().unwrap();
        child.wait().unwrap();
        if !workspace.path("out/corpus.json").exists() {
            let output = workspace.tokenize("in.jsonl", &[]);
            assert!(output.status.success(), "{}", stderr(&output));
        }
        assert!(contents() == whole);
    }
}

#[test]
fn two_runs_into_one_directory_make_one_corpus_and_one_refusal() {
    let workspace = Workspace::new(3000);
    let text = fs::read_to_string(workspace.path("in.jsonl")).unwrap();
    let reversed: String = text.lines().rev().flat_map(|line| [line, "\n"]).collect();
    fs::write(workspace.path("reversed.jsonl"), reversed).unwrap();
    let whole_of = |input: &str| {
        assert!(workspace.tokenize(input, &["--overwrite"]).status.success());
        fs::read(workspace.path("out/corpus.json")).unwrap()
    };
    let wanted = [whole_of("in.jsonl"), whole_of("reversed.jsonl")];
    for _ in 0..5 {
        fs::remove_dir_all(workspace.path("out")).unwrap();
        let codes: Vec<_> = std::thread::scope(|scope| {
            let runs = ["in.jsonl", "reversed.jsonl"].map(|input| {
                let workspace = &workspace;
                scope.spawn(move || workspace.tokenize(input, &[]).status.code().unwrap())
            });
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert_eq!(
            codes.iter().filter(|&&code| code == 0).count(),
            1,
            "{codes:?}"
        );
        let made = fs::read(workspace.path("out/corpus.json")).unwrap();
        assert!(wanted.contains(&made));
        let json: saltworks::tokens::CorpusJson = serde_json::from_slice(&made).unwrap();
        let bin = saltworks::storage::hash_file(&workspace.path("out/tokens.bin")).unwrap();
        assert_eq!(bin.blake3, json.bin.blake3);
    }
}

#[test]
fn training_a_tokenizer_heeds_a_signal_and_limits() {
    let workspace = Workspace::new(20);
    let line = format!(
        "{{\"text\":\"{}\"}}\n",
        "the sea is salt and wide ".repeat(400)
    );
    fs::write(workspace.path("long.jsonl"), line.repeat(8000)).unwrap();
    let args = [
        "tokenizer",
        "train",
        "--input",
        "long.jsonl",
        "--vocab-size",
        "30000",
        "--output",
        "t.json",
    ];
    let mut child = workspace
        .command(&args)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(&mut child, "the output was begun", || {
        names_in(workspace.dir.path()).len() == 4
    });
    signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(INTERRUPTED));
    let left = names_in(workspace.dir.path());
    assert_eq!(left, ["in.jsonl", "long.jsonl", "tokenizer.json"]);

    let train = |vocab_size: &str, output: &str| {
        workspace.run(&[
            "tokenizer",
            "train",
            "--input",
            "in.jsonl",
            "--vocab-size",
            vocab_size,
            "--output",
            output,
        ])
    };
    let huge = train("4294967295", "t.json");
    assert_eq!(huge.status.code(), Some(2));
    assert_fails_with(&huge, "4294967295 is not in 1..=2097152");
    let directory = train("300", "t/");
    assert_eq!(directory.status.code(), Some(2));
}
