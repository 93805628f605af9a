//! The whole pipeline relative to the bare model: tokens per second of `label`, from token file to published
//! shards, divided by those of only `session.run` on the same batches, in one run.
//!
//!     make bench            (or: ORT_DYLIB_PATH=… cargo bench --bench pipeline [-- SIZE…])
//!
//! SIZE is 10m, 50m or 160m (parameters of the generated f32 teacher; all three by default). Machines are
//! noisy, so the bare model is timed before and after each pipeline run, and the ratio of each round is printed
//! along with the median. CPU time is that of the whole process, so the pipeline's excess over the bare model
//! is time outside ONNX Runtime.

#[path = "../tests/support/models/mod.rs"]
mod models;

use models::{DecoderSpec, decoder};
use saltworks::label::{Interrupt, LabelOptions, Observer, label};
use saltworks::shards::Group;
use saltworks::teacher::{DeviceChoice, Teacher, TeacherOptions, TokenBatch, load_runtime};
use saltworks::tokens::TokenFormat;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SEQ_LENS: [u32; 2] = [512, 128];
/// Tokens a call of the bare model: one that is no faster when it is larger.
const CALL_TOKENS: u32 = 512;
const VOCAB_SIZE: u64 = 50_257;
const TOP_K: u32 = 64;
const N_DRAWS: u32 = 50;
const N_ROUNDS: usize = 3;

/// A generated teacher, and how many tokens of it make a round of some ten seconds or more: several
/// row groups, so that encoding overlaps with the teacher as it does over a corpus.
struct Size {
    name: &'static str,
    width: u64,
    n_layers: u64,
    n_heads: u64,
    n_tokens: usize,
}

const SIZES: [Size; 3] = [
    Size {
        name: "10m",
        width: 160,
        n_layers: 4,
        n_heads: 4,
        n_tokens: 196_608,
    },
    Size {
        name: "50m",
        width: 384,
        n_layers: 6,
        n_heads: 6,
        n_tokens: 131_072,
    },
    Size {
        name: "160m",
        width: 768,
        n_layers: 12,
        n_heads: 12,
        n_tokens: 65_536,
    },
];

/// Wall clock and processor time of some work, a token.
#[derive(Clone, Copy)]
struct Cost {
    wall_us: f64,
    cpu_us: f64,
}

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    load_runtime(None).expect("ONNX Runtime is found: set ORT_DYLIB_PATH, or run `make setup`");
    for size in SIZES {
        if chosen.is_empty() || chosen.iter().any(|name| name == size.name) {
            measure(&size);
        }
    }
}

fn measure(size: &Size) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let model = dir.path().join("teacher.onnx");
    let longest = SEQ_LENS[0];
    let spec = DecoderSpec {
        vocab_size: VOCAB_SIZE,
        width: size.width,
        n_layers: size.n_layers,
        n_heads: size.n_heads,
        max_seq_len: u64::from(longest),
        seed: 1,
        ..DecoderSpec::default()
    };
    let n_parameters = decoder(&spec, &model).expect("the teacher is written");
    let tokens = dir.path().join("tokens.bin");
    std::fs::write(&tokens, random_tokens(size.n_tokens + 1)).expect("the tokens are written");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "teacher {:.1}M parameters, V {VOCAB_SIZE}, K {TOP_K}, {} tokens a round, {threads} threads",
        n_parameters as f64 / 1e6,
        size.n_tokens
    );
    trial(&model, threads);
    println!(
        "groups             T  round  bare us/token (cpu)  pipeline us/token (cpu)  not ONNX Runtime's cpu us  ratio"
    );
    for (seq_len, sampled) in [
        (SEQ_LENS[0], false),
        (SEQ_LENS[0], true),
        (SEQ_LENS[1], false),
    ] {
        let options = options(&model, &tokens, threads, seq_len, sampled);
        rounds(size, &model, dir.path(), &options, seq_len, sampled);
    }
}

/// What trying a teacher costs when it is opened.
fn trial(model: &Path, threads: usize) {
    let mut teacher = open(model, threads, SEQ_LENS[0]);
    let ids: Vec<u32> = (0..SEQ_LENS[0]).map(|i| i * 7919 % 50_000).collect();
    let started = Instant::now();
    let problems = teacher
        .examine(&[&ids, &ids], u32::MAX)
        .expect("the teacher runs");
    assert!(problems.is_empty(), "{problems:?}");
    println!(
        "trial of the teacher {:.2} s",
        started.elapsed().as_secs_f64()
    );
}

fn rounds(
    size: &Size,
    model: &Path,
    dir: &Path,
    options: &LabelOptions,
    seq_len: u32,
    sampled: bool,
) {
    let threads = options.threads.expect("it is set");
    let name = if sampled {
        "+samples, tau 2"
    } else {
        "stats, topk"
    };
    let mut before = bare(model, size.n_tokens / 2, threads, seq_len);
    let mut ratios = Vec::new();
    for round in 0..N_ROUNDS {
        let output = dir.join(format!("labels-{seq_len}-{sampled}-{round}"));
        let whole = pipeline(options, output, size.n_tokens);
        let after = bare(model, size.n_tokens / 2, threads, seq_len);
        let bare = Cost {
            wall_us: (before.wall_us + after.wall_us) / 2.0,
            cpu_us: (before.cpu_us + after.cpu_us) / 2.0,
        };
        let ratio = bare.wall_us / whole.wall_us;
        println!(
            "{name:<16} {seq_len:>3} {round:>5}  {:>8.1} ({:>6.1})    {:>8.1} ({:>6.1})        {:>14.1}            {ratio:.3}",
            bare.wall_us,
            bare.cpu_us,
            whole.wall_us,
            whole.cpu_us,
            whole.cpu_us - bare.cpu_us,
        );
        ratios.push(ratio);
        before = after;
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{name:<16} {seq_len:>3} median ratio {:.3}",
        ratios[N_ROUNDS / 2]
    );
}

fn open(model: &Path, threads: usize, seq_len_max: u32) -> Teacher {
    Teacher::open(&TeacherOptions {
        model: model.into(),
        device: DeviceChoice::Cpu,
        threads,
        logits_output: None,
        seq_len_max,
    })
    .expect("the teacher opens")
}

/// The model alone, after one batch to warm up.
fn bare(model: &Path, n_tokens: usize, threads: usize, seq_len: u32) -> Cost {
    let mut teacher = open(model, threads, seq_len);
    let (n_rows, width) = ((CALL_TOKENS / seq_len).max(1) as usize, seq_len as usize);
    let ids_bt = (0..n_rows * width)
        .map(|i| (i * 7919 % VOCAB_SIZE as usize) as u32)
        .collect();
    let batch = TokenBatch {
        ids_bt,
        n_rows,
        n_fillers: 0,
        width,
        lengths: vec![seq_len; n_rows],
    };
    teacher.run(&batch, |_| ()).expect("the teacher runs");
    let n_runs = n_tokens / (n_rows * width);
    let (started, cpu) = (Instant::now(), process_time());
    for _ in 0..n_runs {
        teacher.run(&batch, |_| ()).expect("the teacher runs");
    }
    cost(
        started.elapsed(),
        process_time() - cpu,
        n_runs * n_rows * width,
    )
}

/// Labelling into `output`, after the inputs are open and planned.
fn pipeline(options: &LabelOptions, output: PathBuf, n_tokens: usize) -> Cost {
    let options = LabelOptions {
        output: Some(output),
        ..options.clone()
    };
    let config = options.resolve().expect("the options are good");
    let began = std::sync::Mutex::new((Instant::now(), Duration::ZERO));
    let observer = Observer {
        on_graph: Observer::NONE.on_graph,
        on_start: &|_, _| *began.lock().expect("one thread") = (Instant::now(), process_time()),
        on_progress: &|_| (),
    };
    label(&config, &Interrupt::new(), &observer).expect("labelling works");
    let (started, cpu) = *began.lock().expect("one thread");
    cost(started.elapsed(), process_time() - cpu, n_tokens)
}

fn options(
    model: &Path,
    tokens: &Path,
    threads: usize,
    seq_len: u32,
    sampled: bool,
) -> LabelOptions {
    LabelOptions {
        teacher: Some(model.into()),
        tokens: Some(tokens.into()),
        tokens_format: Some(TokenFormat::NanoGpt),
        seq_len: Some(seq_len),
        top_k: TOP_K,
        groups: Some(match sampled {
            true => vec![Group::Stats, Group::Topk, Group::Samples],
            false => vec![Group::Stats, Group::Topk],
        }),
        samples: sampled.then_some(N_DRAWS),
        temperatures: if sampled { vec![2.0] } else { Vec::new() },
        device: "cpu".into(),
        threads: Some(threads),
        ..LabelOptions::default()
    }
}

fn cost(wall: Duration, cpu: Duration, n_tokens: usize) -> Cost {
    Cost {
        wall_us: wall.as_secs_f64() * 1e6 / n_tokens as f64,
        cpu_us: cpu.as_secs_f64() * 1e6 / n_tokens as f64,
    }
}

/// Processor time of this process so far, all threads.
fn process_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of this frame.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "the process has a clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn random_tokens(n_tokens: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((u64::from(state) * VOCAB_SIZE) >> 32) as u16).to_le_bytes()
    };
    (0..n_tokens).flat_map(next).collect()
}
