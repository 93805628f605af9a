//! What the process tests share: the binary, a small teacher with tokens, and directory snapshots.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

pub mod models;
pub mod process;

use models::{DecoderSpec, decoder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary under test, with the ONNX Runtime that set-up installed.
pub fn saltworks() -> Command {
    assert!(
        std::env::var_os("ORT_DYLIB_PATH").is_some(),
        "ORT_DYLIB_PATH is not set: run the tests by `make test`, which sets up ONNX Runtime"
    );
    Command::new(env!("CARGO_BIN_EXE_saltworks"))
}

/// A Python that has what `make setup` installs.
pub fn python() -> Command {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    Command::new(std::env::var_os("SALTWORKS_PYTHON").map_or(default, PathBuf::from))
}

/// V of the test teacher.
pub const VOCAB_SIZE: u64 = 300;
/// The id that ends documents in the test tokens.
pub const EOD: u16 = 299;

/// A teacher of random weights, and tokens with document boundaries, in a temporary directory.
pub struct Inputs {
    pub dir: tempfile::TempDir,
}

impl Inputs {
    /// `n_tokens` tokens in documents of 1 to 120.
    pub fn new(n_tokens: usize) -> Self {
        Self::with_teacher(
            n_tokens,
            &DecoderSpec {
                vocab_size: VOCAB_SIZE,
                width: 32,
                n_layers: 1,
                n_heads: 2,
                max_seq_len: 128,
                ..DecoderSpec::default()
            },
        )
    }

    pub fn with_teacher(n_tokens: usize, spec: &DecoderSpec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        decoder(spec, &dir.path().join("teacher.onnx")).unwrap();
        std::fs::write(dir.path().join("tokens.bin"), tokens(n_tokens)).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `saltworks label` into `output`, of every group, with small shards.
    pub fn label(&self, output: &str) -> Command {
        let mut command = saltworks();
        command.arg("label");
        self.add_options(&mut command, output);
        command
    }

    /// The same on other devices than the processor alone.
    pub fn label_on(&self, device: &str, output: &str) -> Command {
        let mut options = saltworks();
        self.add_options(&mut options, output);
        let mut command = saltworks();
        command.arg("label").args(
            options
                .get_args()
                .map(|arg| if arg == "cpu" { device.as_ref() } else { arg }),
        );
        command
    }

    pub fn add_options(&self, command: &mut Command, output: &str) {
        self.add_inputs(command, output);
        command.args(["--seq-len", "32", "--top-k", "8", "--temperatures", "2"]);
        command.args([
            "--samples",
            "12",
            "--samples-tau",
            "0.8",
            "--samples-seed",
            "5",
        ]);
        command.args(["--shard-bytes", "42000"]);
    }

    /// Teacher, tokens and output alone.
    pub fn add_inputs(&self, command: &mut Command, output: &str) {
        command.arg("--teacher").arg(self.path("teacher.onnx"));
        command.arg("--tokens").arg(self.path("tokens.bin"));
        command.args(["--tokens-format", "nanogpt", "--eod", &EOD.to_string()]);
        command.arg("--output").arg(self.path(output));
        command.args(["--device", "cpu"]);
    }
}

/// nanoGPT's headerless u16, from a fixed congruence; the end-of-document id every 1 to 120 tokens.
fn tokens(n_tokens: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut left_of_document = 5;
    let mut bytes = Vec::with_capacity(2 * n_tokens);
    for _ in 0..n_tokens {
        let id = if left_of_document == 0 {
            EOD
        } else {
            next(u32::from(EOD)) as u16
        };
        left_of_document = if left_of_document == 0 {
            next(120)
        } else {
            left_of_document - 1
        };
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Compiles the shim that fails operations.
pub fn fault_shim(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults.c");
    let library = dir.join("faults.so");
    let mut cc = Command::new("cc");
    succeed(
        cc.args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl"),
    );
    library
}

/// Every file under `dir`, hidden ones too, by its relative path.
pub fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(dir, dir, &mut files);
    files
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// Asserts that two snapshots hold the same files with the same bytes, naming those that differ.
pub fn assert_same_files(got: &BTreeMap<String, Vec<u8>>, want: &BTreeMap<String, Vec<u8>>) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(want));
    let differing: Vec<&String> = want
        .iter()
        .filter(|(name, bytes)| got[*name] != **bytes)
        .map(|(name, _)| name)
        .collect();
    assert!(differing.is_empty(), "these files differ: {differing:?}");
}

/// Runs to the end and asserts success, showing what was printed otherwise.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
    output
}

/// Runs to the end, asserts this exit code, and gives what was printed.
pub fn fail_with(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{printed}");
    assert!(!printed.contains("panicked"), "{printed}");
    printed
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
