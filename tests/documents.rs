//! Documents, from text to a selection: tokenize, label, finalize, select, as a user runs them.
#![cfg(feature = "label")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;
#[path = "support/tokenizers.rs"]
mod tokenizers;

use saltworks::shards::{DocumentRow, DocumentScore, DocumentSelection, LabelSet, open_documents};
use saltworks::tokens::Tokenizer;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::models::{DecoderSpec, decoder};
use support::{assert_same_files, fail_with, python, saltworks, snapshot, succeed, text};

const N_DOCUMENTS: usize = 120;

/// A text, and for each vocabulary size a tokenizer, tokens and a teacher of random weights.
struct Workspace {
    dir: tempfile::TempDir,
}

impl Workspace {
    fn new(vocab_sizes: &[u64]) -> Self {
        let workspace = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        // Documents of one token, of many sequences, and of bytes that are no ASCII.
        let text = |i: usize| match i % 5 {
            0 => "x".to_owned(),
            1 => format!("Salz {i} \u{e9}\u{1f9c2} ").repeat(i % 7 + 1),
            _ => format!("document {i} tells of the sea ").repeat(i % 23),
        };
        let line = |i: usize| serde_json::json!({"id": i * 3, "text": text(i) + "."}).to_string();
        let lines: String = (0..N_DOCUMENTS).map(|i| line(i) + "\n").collect();
        fs::write(workspace.path("in.jsonl"), lines).unwrap();
        for &vocab_size in vocab_sizes {
            workspace.prepare(vocab_size);
        }
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn named(&self, what: &str, vocab_size: u64) -> PathBuf {
        let extension = match what {
            "teacher" => ".onnx",
            "tokenizer" => ".json",
            _ => "",
        };
        self.path(&format!("{what}-{vocab_size}{extension}"))
    }

    /// Of byte-level BPE, and what `tokenize` printed.
    fn prepare(&self, vocab_size: u64) -> String {
        let mut training = saltworks();
        training.args(["tokenizer", "train", "--input"]);
        training.arg(self.path("in.jsonl")).arg("--output");
        training.arg(self.named("tokenizer", vocab_size));
        succeed(training.args(["--vocab-size", &vocab_size.to_string()]));
        self.prepare_tokens(vocab_size)
    }

    /// Tokens and a teacher for a tokenizer of another kind; it gives its size and what `tokenize` printed.
    fn prepare_with(&self, tokenizer: &Value) -> (u64, String) {
        let opened =
            Tokenizer::from_bytes(tokenizer.to_string().as_bytes(), Path::new("t")).unwrap();
        let vocab_size = u64::from(opened.vocab_size());
        let path = self.named("tokenizer", vocab_size);
        assert!(!path.exists(), "two tokenizers of {vocab_size} ids");
        fs::write(path, tokenizer.to_string()).unwrap();
        (vocab_size, self.prepare_tokens(vocab_size))
    }

    fn prepare_tokens(&self, vocab_size: u64) -> String {
        let tokenizer = self.named("tokenizer", vocab_size);
        let mut tokenizing = saltworks();
        tokenizing.arg("tokenize").arg("--input");
        tokenizing.arg(self.path("in.jsonl")).arg("--tokenizer");
        tokenizing.arg(&tokenizer).arg("--output");
        let tokenized = succeed(tokenizing.arg(self.named("tokens", vocab_size)));
        let spec = DecoderSpec {
            vocab_size,
            width: 32,
            n_layers: 1,
            n_heads: 2,
            max_seq_len: 128,
            ..DecoderSpec::default()
        };
        decoder(&spec, &self.named("teacher", vocab_size)).unwrap();
        String::from_utf8(tokenized.stderr).unwrap()
    }

    fn texts(&self) -> Vec<String> {
        let lines = fs::read_to_string(self.path("in.jsonl")).unwrap();
        let text = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["text"].as_str().unwrap().to_owned()
        };
        lines.lines().map(text).collect()
    }

    /// Documents that the tokenizers library itself does not give back.
    fn n_lost(&self, vocab_size: u64) -> u64 {
        let tokenizer = Tokenizer::open(&self.named("tokenizer", vocab_size)).unwrap();
        let is_lost = |text: &String| tokenizer.decode(&tokenizer.encode(text).unwrap()) != *text;
        self.texts().iter().filter(|text| is_lost(text)).count() as u64
    }

    fn label(&self, vocab_size: u64, output: &str, options: &[&str]) -> Command {
        let mut command = saltworks();
        command.arg("label").arg("--teacher");
        command.arg(self.named("teacher", vocab_size));
        command
            .arg("--tokens")
            .arg(self.named("tokens", vocab_size));
        command.arg("--output").arg(self.path(output));
        command.args(["--device", "cpu", "--seq-len", "32", "--top-k", "4"]);
        command.args(["--shard-bytes", "20000"]).args(options);
        command
    }

    fn finalize(&self, labels: &str) -> Command {
        let mut command = saltworks();
        command.arg("finalize").arg(self.path(labels));
        command
    }

    fn select(&self, labels: &str, options: &[&str]) -> Command {
        let mut command = saltworks();
        command.arg("select").arg(self.path(labels));
        command.arg("--output").arg(self.path("selection.parquet"));
        command.args(["--by", "document"]).args(options);
        command
    }

    fn documents(&self, labels: &str) -> Vec<DocumentRow> {
        let set = LabelSet::open(&self.path(labels)).unwrap();
        let rows = open_documents(&set).unwrap().1;
        rows.map(Result::unwrap).collect()
    }
}

fn check_in_python(workspace: &Workspace, labels: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check_documents.py");
    let mut check = python();
    check.arg(script).arg(workspace.path(labels));
    text(&succeed(check.arg(workspace.path("in.jsonl"))))
}

#[test]
fn documents_agree_with_positions_and_text_in_both_packings() {
    let workspace = Workspace::new(&[300]);
    for packing in ["concat", "document"] {
        succeed(&mut workspace.label(300, packing, &["--packing", packing]));
        let printed = check_in_python(&workspace, packing);
        assert!(
            printed.contains(&format!("\"whole\": {N_DOCUMENTS}")),
            "{printed}"
        );
    }
    // Half of the sequences: only documents that lie in them are whole.
    succeed(&mut workspace.label(300, "half", &["--sequences", "0..40"]));
    let rows = workspace.documents("half");
    let whole = rows
        .iter()
        .filter(|row| row.score(DocumentScore::BitsPerByte).is_some())
        .count();
    assert!(whole > 0 && whole < rows.len() && rows.len() < N_DOCUMENTS);
    check_in_python(&workspace, "half");
}

#[test]
fn four_tasks_and_scores_alone_make_the_same_documents() {
    let workspace = Workspace::new(&[300]);
    for packing in ["concat", "document"] {
        let one = format!("one-{packing}");
        succeed(&mut workspace.label(300, &one, &["--packing", packing]));
        let four = format!("four-{packing}");
        for task in ["2/4", "0/4", "3/4", "1/4"] {
            let options = ["--packing", packing, "--task", task];
            succeed(&mut workspace.label(300, &four, &options));
        }
        assert!(!workspace.path(&four).join("documents").exists());
        succeed(&mut workspace.finalize(&four));
        assert_same_files(
            &snapshot(&workspace.path(&four)),
            &snapshot(&workspace.path(&one)),
        );
        let alone = format!("alone-{packing}");
        let options = ["--packing", packing, "--groups", "scores"];
        succeed(&mut workspace.label(300, &alone, &options));
        assert_eq!(workspace.documents(&alone), workspace.documents(&one));
    }
}

#[test]
fn finalize_finds_the_corpus_or_is_told_where_it_is() {
    let workspace = Workspace::new(&[300]);
    succeed(&mut workspace.label(300, "labels", &[]));
    let whole = snapshot(&workspace.path("labels"));
    // The tokens have gone elsewhere.
    let tokens = workspace.named("tokens", 300);
    fs::rename(&tokens, workspace.path("moved")).unwrap();
    fs::remove_dir_all(workspace.path("labels/documents")).unwrap();
    let noted = succeed(&mut workspace.finalize("labels"));
    let noted = String::from_utf8_lossy(&noted.stderr).into_owned();
    assert!(noted.contains("--tokens"), "{noted}");
    let rows = workspace.documents("labels");
    assert!(
        rows.iter()
            .all(|row| row.id.is_none() && row.n_bytes.is_none())
    );
    let said = fail_with(&mut workspace.select("labels", &["--fraction", "0.5"]), 2);
    assert!(said.contains("without bytes"), "{said}");
    succeed(
        workspace
            .finalize("labels")
            .arg("--tokens")
            .arg(workspace.path("moved")),
    );
    assert_same_files(&snapshot(&workspace.path("labels")), &whole);
    // What is known stays known, and nothing is missed.
    let again = succeed(&mut workspace.finalize("labels"));
    assert_eq!(String::from_utf8_lossy(&again.stderr), "");
    assert_same_files(&snapshot(&workspace.path("labels")), &whole);
    // A list that is not the corpus's is refused where it was asked for.
    let list = workspace.path("moved/documents.parquet");
    let bytes = fs::read(&list).unwrap();
    fs::write(&list, &bytes[1..]).unwrap();
    fs::remove_dir_all(workspace.path("labels/documents")).unwrap();
    let mut told = workspace.finalize("labels");
    let said = fail_with(told.arg("--tokens").arg(workspace.path("moved")), 3);
    assert!(said.contains("documents.parquet"), "{said}");
}

#[test]
fn bits_per_byte_are_of_the_text_whatever_the_tokenizer_and_lost_text_is_said() {
    let workspace = Workspace::new(&[]);
    let n_text_bytes: usize = workspace.texts().iter().map(String::len).sum();
    let byte_level = (300, workspace.prepare(300));
    let [byte_fallback, unigram, without_accents, word_piece] = [
        tokenizers::byte_fallback_bpe(),
        tokenizers::unigram(""),
        tokenizers::unigram("\u{e9}"),
        tokenizers::word_piece(),
    ]
    .map(|tokenizer| workspace.prepare_with(&tokenizer));
    for ((vocab_size, told), n_lost) in [
        (&byte_level, 0),
        (&byte_fallback, 0),
        (&unigram, 0),
        (&without_accents, 24),
        (&word_piece, 93),
    ] {
        let labels = vocab_size.to_string();
        succeed(&mut workspace.label(*vocab_size, &labels, &[]));
        // Python reads the text and counts its bytes, and sums up positions and pieces.
        let printed = check_in_python(&workspace, &labels);
        assert!(
            printed.contains(&format!("\"whole\": {N_DOCUMENTS}")),
            "{printed}"
        );
        let set = LabelSet::open(&workspace.path(&labels)).unwrap();
        let (index, rows) = open_documents(&set).unwrap();
        assert_eq!(index.n_bytes_whole, n_text_bytes as u64);
        let n_bytes: u64 = rows.map(|row| row.unwrap().n_bytes.unwrap()).sum();
        assert_eq!(n_bytes, n_text_bytes as u64);
        assert_eq!(workspace.n_lost(*vocab_size), n_lost, "{vocab_size} ids");
        assert_eq!(index.spelling.unwrap().n_not_spelled, n_lost);
        // It is said when tokens are made, and wherever bits per byte are shown.
        let note = format!("the tokens of {n_lost} of {N_DOCUMENTS} documents do not spell");
        let selected = text(&succeed(&mut workspace.select(&labels, &["--rows", "5"])));
        let stats = text(&succeed(saltworks().arg("stats").arg(&set.dir)));
        for told in [told, &selected, &stats] {
            assert_eq!(told.contains(&note), n_lost > 0, "{told}");
        }
    }
    let minus = |labels: u64, minus: u64| {
        let minus = workspace.path(&minus.to_string());
        let options = ["--rows", "5", "--minus", minus.to_str().unwrap()];
        workspace.select(&labels.to_string(), &options)
    };
    // Few documents are noted, most are refused.
    for of in [unigram.0, without_accents.0] {
        succeed(&mut minus(byte_fallback.0, of));
    }
    for (ours, theirs) in [(unigram.0, word_piece.0), (word_piece.0, unigram.0)] {
        let said = fail_with(&mut minus(ours, theirs), 2);
        assert!(
            said.contains("93 of 120 documents: the tokenizer"),
            "{said}"
        );
    }
}

#[test]
fn two_models_of_different_tokenizers_select_documents() {
    let workspace = Workspace::new(&[300, 340]);
    succeed(&mut workspace.label(300, "small", &["--groups", "scores"]));
    succeed(&mut workspace.label(
        340,
        "large",
        &["--groups", "scores", "--packing", "document"],
    ));
    let large = workspace.path("large");
    let minus = ["--minus", large.to_str().unwrap()];
    let half = ["--fraction", "0.5", "--json"];
    succeed(&mut workspace.select("small", &[&minus[..], &half].concat()));
    let (small, large) = (workspace.documents("small"), workspace.documents("large"));
    let selection = DocumentSelection::open(&workspace.path("selection.parquet")).unwrap();
    assert_eq!(selection.head.n_kept, N_DOCUMENTS as u64 / 2);
    for (i, row) in selection.enumerate() {
        let row = row.unwrap();
        let bits = |row: &DocumentRow| row.score(DocumentScore::BitsPerByte);
        // A document of one token has no target where it is packed alone.
        let other = large.iter().find(|other| other.id == small[i].id);
        let expected = other.and_then(|other| Some(bits(&small[i])? - bits(other)?));
        assert_eq!(row.score, expected, "{:?}", row.document);
    }
    let by_token = [&minus[..], &half, &["--score", "mean_nll"]].concat();
    let said = fail_with(&mut workspace.select("small", &by_token), 2);
    assert!(said.contains("bits_per_byte"), "{said}");
    let mixed_up = ["--fraction", "0.5", "--score", "score_salt"];
    let said = fail_with(&mut workspace.select("small", &mixed_up), 2);
    assert!(said.contains("--score is score_salt"), "{said}");
    let too_much = ["--token-budget", "1000000000"];
    let said = fail_with(&mut workspace.select("small", &too_much), 2);
    assert!(said.contains("but the labels have"), "{said}");
}
