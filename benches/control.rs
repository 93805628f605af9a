//! Compares labelling by `saltworks` with a Python script (`benches/control.py`: onnxruntime, numpy, pyarrow):
//! tokens per second, peak resident memory, bytes per token, and their ratios.
//!
//!     make bench     (or: ORT_DYLIB_PATH=… SALTWORKS_PYTHON=… cargo bench --bench control)
//!     cargo bench --bench control -- MODEL TOKENS T     (a real teacher; TOKENS headerless u16)
//!
//! Without arguments the teachers are generated, with V = 8,192, 50,257 and 128,256. Both get the same batches
//! in turn, twice; the better speed of each counts.

#[path = "../tests/support/models/mod.rs"]
mod models;

use models::{DecoderSpec, decoder};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SEQ_LEN: usize = 512;
const TOP_K: usize = 64;
const N_TURNS: usize = 2;

/// Tokens of a batch of a given teacher.
const BATCH_TOKENS: usize = 1024;

/// What both sides label.
struct Case<'a> {
    model: &'a Path,
    tokens: &'a Path,
    dtype: &'static str,
    seq_len: usize,
    batch_rows: usize,
}

/// What one side took.
#[derive(Clone, Copy)]
struct Side {
    tokens_per_s: f64,
    bytes_per_token: f64,
    peak_mib: f64,
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    println!("     V  parameters  side      tokens/s  B/token  peak MiB");
    if let [model, tokens, seq_len] = args.as_slice() {
        let seq_len = seq_len.parse().expect("T is a number");
        let given = Case {
            model: Path::new(model),
            tokens: Path::new(tokens),
            dtype: "uint16",
            seq_len,
            batch_rows: (BATCH_TOKENS / seq_len).max(1),
        };
        compare("given             ", &given);
        return;
    }
    // As many rows as labelling takes by itself.
    for (vocab_size, batch_rows) in [(8_192, 2), (50_257, 1), (128_256, 1)] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let model = dir.path().join("teacher.onnx");
        let spec = DecoderSpec {
            vocab_size,
            max_seq_len: SEQ_LEN as u64,
            ..DecoderSpec::default()
        };
        let n_parameters = decoder(&spec, &model).expect("the teacher is written");
        let dtype = if vocab_size > 1 << 16 {
            "uint32"
        } else {
            "uint16"
        };
        let tokens = dir.path().join("tokens.bin");
        std::fs::write(&tokens, random_tokens(vocab_size, dtype)).expect("the tokens are written");
        let name = format!("{vocab_size:>6}  {:>9.1}M", n_parameters as f64 / 1e6);
        let case = Case {
            model: &model,
            tokens: &tokens,
            dtype,
            seq_len: SEQ_LEN,
            batch_rows,
        };
        compare(&name, &case);
    }
}

fn compare(name: &str, case: &Case<'_>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut ours, mut theirs) = (None, None);
    for turn in 0..N_TURNS {
        let output = dir.path().join(format!("labels-{turn}"));
        ours = better(ours, saltworks(case, &output));
        let output = dir.path().join(format!("control-{turn}.parquet"));
        theirs = better(theirs, control(case, &output));
    }
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return;
    };
    for (side, it) in [("saltworks", ours), ("control", theirs)] {
        println!(
            "{name}  {side:<9} {:>8.0} {:>8.1} {:>9.0}",
            it.tokens_per_s, it.bytes_per_token, it.peak_mib
        );
    }
    println!(
        "{name}  ratio     {:>8.2} {:>8.3} {:>9.2}",
        ours.tokens_per_s / theirs.tokens_per_s,
        ours.bytes_per_token / theirs.bytes_per_token,
        ours.peak_mib / theirs.peak_mib
    );
}

fn better(before: Option<Side>, now: Side) -> Option<Side> {
    match before {
        Some(before) if before.tokens_per_s > now.tokens_per_s => Some(before),
        _ => Some(now),
    }
}

fn saltworks(case: &Case<'_>, output: &Path) -> Side {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks"));
    let format = if case.dtype == "uint16" {
        "nanogpt"
    } else {
        "llmc"
    };
    command.arg("label").arg("--teacher").arg(case.model);
    command
        .arg("--tokens")
        .arg(case.tokens)
        .arg("--output")
        .arg(output);
    command.args(["--tokens-format", format, "--device", "cpu"]);
    command.args(["--groups", "stats,topk", "--top-k", &TOP_K.to_string()]);
    command.args(["--seq-len", &case.seq_len.to_string()]);
    command.args([
        "--batch-tokens",
        &(case.batch_rows * case.seq_len).to_string(),
    ]);
    let (text, peak_mib) = run(command);
    let tokens_per_s = text
        .split_whitespace()
        .zip(text.split_whitespace().skip(1))
        .find_map(|(number, unit)| unit.starts_with("tokens/s").then(|| number.parse().ok())?)
        .expect("the last line says tokens/s");
    let manifest = std::fs::read(output.join("manifest.json")).expect("labels are complete");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let count = |key: &str| manifest[key].as_f64().expect("a number");
    Side {
        tokens_per_s,
        bytes_per_token: count("n_bytes") / count("n_targets"),
        peak_mib,
    }
}

fn control(case: &Case<'_>, output: &Path) -> Side {
    let python = std::env::var_os("SALTWORKS_PYTHON").map_or("python3".into(), PathBuf::from);
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/control.py"));
    command
        .arg(case.model)
        .arg(case.tokens)
        .arg(output)
        .args(["--dtype", case.dtype]);
    let n_header = llm_c_header(0, case.dtype).len();
    command.args(["--offset", &n_header.to_string()]);
    command.args(["--top-k", &TOP_K.to_string()]);
    command.args(["--seq-len", &case.seq_len.to_string()]);
    command.args(["--batch-rows", &case.batch_rows.to_string()]);
    let (text, peak_mib) = run(command);
    let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON line");
    Side {
        tokens_per_s: line["tokens_per_s"].as_f64().expect("a number"),
        bytes_per_token: line["bytes_per_token"].as_f64().expect("a number"),
        peak_mib,
    }
}

/// Standard output, and the peak of resident memory in MiB.
#[expect(
    clippy::zombie_processes,
    reason = "wait4 waits for it, and gives its memory too"
)]
fn run(mut command: Command) -> (String, f64) {
    use std::io::Read;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_to_string(&mut text).expect("text");
    // SAFETY: all zeros is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: both pointers are to this frame; the child is ours and not waited for elsewhere.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    assert!(waited > 0 && status == 0, "{command:?} failed: {text}");
    (text, usage.ru_maxrss as f64 / 1024.0)
}

/// Enough sequences for some ten seconds of either side.
fn random_tokens(vocab_size: u64, dtype: &str) -> Vec<u8> {
    let n_sequences = if vocab_size > 20_000 { 48 } else { 192 };
    let mut state = 1_u32;
    let mut bytes = llm_c_header(n_sequences * SEQ_LEN + 1, dtype);
    for _ in 0..n_sequences * SEQ_LEN + 1 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let id = ((u64::from(state) * vocab_size) >> 32) as u32;
        match dtype {
            "uint16" => bytes.extend((id as u16).to_le_bytes()),
            _ => bytes.extend(id.to_le_bytes()),
        }
    }
    bytes
}

/// u16 files have no header; ids past 16 bits need llm.c's.
fn llm_c_header(n_tokens: usize, dtype: &str) -> Vec<u8> {
    if dtype == "uint16" {
        return Vec::new();
    }
    let mut header = [0_i32; 256];
    header[..3].copy_from_slice(&[20_240_801, 7, n_tokens as i32]);
    header.iter().flat_map(|word| word.to_le_bytes()).collect()
}
