//! Compares `label --teacher DIR` with `label` using the torch export of the same checkpoint, and with bare runs
//! of that export: tokens per second of wall-clock time and of CPU time, and peak resident memory.
//!
//!     ORT_DYLIB_PATH=… SALTWORKS_PYTHON=… cargo bench --bench teacher_graph [-- SHAPE…]
//!
//! SHAPE is `cut` (the default: SmolLM2-135M with 6 of its 30 layers), `smollm2` (all of them) or `wide` (V 151,936,
//! D 1024, 6 layers, like Qwen3-0.6B without its norms of queries and keys). Weights are random. A Python with
//! torch, transformers, onnx and onnxscript in `TORCH_PYTHON` makes the export with `teacher_export.py`; without
//! one, our own graph of standard operators is used instead, as the first line says.
//!
//! Turns alternate, and the median of each counts. On a machine with other load, use the figures by CPU time.

use saltworks::train::export::{SpecialIds, write_hf};
use saltworks::train::model::{ModelSpec, Params};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const SEQ_LENS: [usize; 2] = [256, 2048];
const N_TURNS: usize = 3;
/// Tokens of the first turn, which makes graphs and warms caches.
const N_WARM_UP: usize = 2_048;
const TOP_K: usize = 64;

struct Shape {
    name: &'static str,
    spec: ModelSpec,
    /// Tokens of a turn.
    n_tokens: usize,
}

fn shapes() -> [Shape; 3] {
    let smollm2 = |n_layers| ModelSpec {
        vocab_size: 49_152,
        d_model: 576,
        n_layers,
        n_heads: 9,
        n_kv_heads: 3,
        head_dim: 64,
        d_ff: 1536,
        max_seq_len: 8192,
        rope_theta: 100_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings: true,
    };
    let wide = ModelSpec {
        vocab_size: 151_936,
        d_model: 1024,
        n_layers: 6,
        n_heads: 16,
        n_kv_heads: 8,
        head_dim: 128,
        d_ff: 3072,
        rope_theta: 1e6,
        rope_scaling: None,
        ..smollm2(6)
    };
    [
        Shape {
            name: "cut",
            spec: smollm2(6),
            n_tokens: 32_768,
        },
        Shape {
            name: "smollm2",
            spec: smollm2(30),
            n_tokens: 8_192,
        },
        Shape {
            name: "wide",
            spec: wide,
            n_tokens: 8_192,
        },
    ]
}

/// What one turn took.
#[derive(Clone, Copy)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    peak_mib: f64,
}

/// What a turn labels: `n_tokens` in sequences of `seq_len`.
#[derive(Clone, Copy)]
struct Work {
    seq_len: usize,
    n_tokens: usize,
}

/// The command for a turn's work, and where its output goes.
type CommandFor = Box<dyn Fn(Work, &Path) -> Command>;

/// Something that is timed.
struct Side {
    name: &'static str,
    command: CommandFor,
}

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_chosen = |name: &str| match chosen.as_slice() {
        [] => name == "cut",
        some => some.iter().any(|some| some == name),
    };
    for shape in shapes().iter().filter(|shape| is_chosen(shape.name)) {
        measure(shape);
    }
}

fn measure(shape: &Shape) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let checkpoint = dir.path().join("checkpoint");
    let params = Params::init(&shape.spec, 1);
    write_hf(&checkpoint, &params, &SpecialIds::default(), None)
        .expect("the checkpoint is written");
    drop(params);
    let export = dir.path().join("export/model.onnx");
    std::fs::create_dir(dir.path().join("export")).expect("a directory");
    let versions = torch_export(&checkpoint, &export);
    if versions.is_none() {
        own_export(&checkpoint, &export);
    }
    let of = versions.as_deref().unwrap_or("our own standard graph");
    let n_parameters = shape.spec.n_parameters() as f64 / 1e6;
    println!(
        "{}: {n_parameters:.0}M parameters, V {}; the export is by {of}",
        shape.name, shape.spec.vocab_size
    );
    let tokens = dir.path().join("tokens.bin");
    std::fs::write(
        &tokens,
        tokens_below(shape.spec.vocab_size, shape.n_tokens + 1),
    )
    .expect("the tokens are written");
    for seq_len in SEQ_LENS {
        let sides = sides(&checkpoint, &export, &tokens);
        let work = Work {
            seq_len,
            n_tokens: shape.n_tokens,
        };
        compare(&sides, work, dir.path());
    }
}

fn sides(checkpoint: &Path, export: &Path, tokens: &Path) -> Vec<Side> {
    let label = |name, teacher: &Path, more: &'static [&'static str]| {
        let (teacher, tokens) = (teacher.to_owned(), tokens.to_owned());
        Side {
            name,
            command: Box::new(move |work, output| label(&teacher, &tokens, work, output, more)),
        }
    };
    let (bare_export, bare_tokens) = (export.to_owned(), tokens.to_owned());
    vec![
        label("label export", export, &[]),
        label("label checkpoint", checkpoint, &[]),
        label("label int8", checkpoint, &["--teacher-weights", "int8"]),
        Side {
            name: "bare export",
            command: Box::new(move |work, _| bare(&bare_export, &bare_tokens, work)),
        },
    ]
}

fn compare(sides: &[Side], work: Work, dir: &Path) {
    let Work { seq_len, n_tokens } = work;
    let warm_up = Work {
        n_tokens: N_WARM_UP,
        ..work
    };
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); sides.len()];
    for turn in 0..=N_TURNS {
        for (idx, side) in sides.iter().enumerate() {
            let output = dir.join(format!("labels-{seq_len}-{idx}-{turn}"));
            let cost = run((side.command)(
                if turn > 0 { work } else { warm_up },
                &output,
            ));
            if turn > 0 {
                costs[idx].push(cost);
            }
        }
    }
    println!("  T {seq_len:>4}          tokens/s  of export  tokens/cpu s  of export  peak MiB");
    let per = |costs: &[Cost], of: fn(&Cost) -> f64| n_tokens as f64 / median(costs, of);
    let base = &costs[0];
    for (side, costs) in sides.iter().zip(&costs) {
        let (wall, cpu) = (per(costs, |c| c.wall_s), per(costs, |c| c.cpu_s));
        let (base_wall, base_cpu) = (per(base, |c| c.wall_s), per(base, |c| c.cpu_s));
        println!(
            "  {:<16} {wall:>8.0} {:>10.2} {cpu:>13.0} {:>10.2} {:>9.0}",
            side.name,
            wall / base_wall,
            cpu / base_cpu,
            median(costs, |c| c.peak_mib)
        );
    }
}

fn median(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn label(teacher: &Path, tokens: &Path, work: Work, output: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks"));
    command
        .arg("label")
        .arg("--teacher")
        .arg(teacher)
        .args(more);
    command
        .arg("--tokens")
        .arg(tokens)
        .arg("--output")
        .arg(output);
    command.args(["--tokens-format", "llmc", "--device", "cpu"]);
    command.args(["--groups", "stats,topk", "--top-k", &TOP_K.to_string()]);
    command.args(["--seq-len", &work.seq_len.to_string()]);
    let n_sequences = work.n_tokens / work.seq_len;
    command.args(["--max-sequences", &n_sequences.to_string()]);
    command
}

/// Nothing but runs of the model on the same tokens, a call of some 1024 tokens.
const BARE: &str = r"
import sys, numpy as np, onnxruntime as ort
model, tokens, seq_len, n_tokens = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
options = ort.SessionOptions()
options.add_session_config_entry('session.intra_op.allow_spinning', '0')
session = ort.InferenceSession(model, options, providers=['CPUExecutionProvider'])
ids = np.fromfile(tokens, np.uint32, n_tokens, offset=1024).astype(np.int64).reshape(-1, seq_len)
rows = max(1, 1024 // seq_len)
for start in range(0, len(ids), rows):
    session.run(['logits'], {'input_ids': ids[start:start + rows]})
";

fn bare(model: &Path, tokens: &Path, work: Work) -> Command {
    let python = std::env::var_os("SALTWORKS_PYTHON").map_or("python3".into(), PathBuf::from);
    let mut command = Command::new(python);
    command.args(["-c", BARE]).arg(model).arg(tokens);
    command.args([work.seq_len.to_string(), work.n_tokens.to_string()]);
    command
}

/// The versions that made it.
fn torch_export(checkpoint: &Path, export: &Path) -> Option<String> {
    let python = std::env::var_os("TORCH_PYTHON")?;
    let mut command = Command::new(python);
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/teacher_export.py"
    ));
    let output = command.arg(checkpoint).arg(export).output();
    let output = output.expect("TORCH_PYTHON starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().last().map(str::to_owned)
}

fn own_export(checkpoint: &Path, export: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks"));
    command.arg("export").arg(checkpoint).arg("--output");
    let status = command.arg(export).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()));
}

/// Runs a command to its end.
#[expect(
    clippy::zombie_processes,
    reason = "wait4 waits for it, and gives its times and memory too"
)]
fn run(mut command: Command) -> Cost {
    let started = Instant::now();
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    // SAFETY: all zeros is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: both pointers are to this frame; the child is ours and not waited for elsewhere.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    assert!(waited > 0 && status == 0, "{command:?} failed");
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Cost {
        wall_s: started.elapsed().as_secs_f64(),
        cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_mib: usage.ru_maxrss as f64 / 1024.0,
    }
}

/// llm.c's header and u32 ids.
fn tokens_below(vocab_size: usize, n_tokens: usize) -> Vec<u8> {
    let mut header = [0_i32; 256];
    header[..3].copy_from_slice(&[20_240_801, 7, n_tokens as i32]);
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut state = 1_u32;
    for _ in 0..n_tokens {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let id = ((u64::from(state) * vocab_size as u64) >> 32) as u32;
        bytes.extend(id.to_le_bytes());
    }
    bytes
}
