//! Compares checkpoints of every family with transformers: from the directory to a graph, run by ONNX Runtime.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/expected.rs"]
mod expected;
#[path = "support/families.rs"]
mod tiny;

use expected::{Expected, LENGTHS, TOLERANCE};
use saltworks::onnx::decoder::{Dialect, GraphOptions, WeightFormat, decoder_model};
use saltworks::pretrained::Checkpoint;
use saltworks::signals::LogitsData;
use saltworks::teacher::{DeviceChoice, Teacher, TeacherError, TeacherOptions, TokenBatch};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use tiny::{names, whole};

const DIALECTS: [Dialect; 2] = [Dialect::Standard, Dialect::Fused];

/// The largest difference of one row of `logits` (`[width, V]`) to those of a length.
fn difference(expected: &Expected, length_idx: usize, logits: &[f32]) -> f64 {
    let mut largest = 0f64;
    for (position, theirs) in expected.rows(length_idx) {
        let v = theirs.len();
        let ours = log_softmax(&logits[position * v..(position + 1) * v]);
        for (ours, &theirs) in std::iter::zip(ours, theirs) {
            let difference = (ours - f64::from(theirs)).abs();
            assert!(difference.is_finite());
            largest = largest.max(difference);
        }
    }
    largest
}

fn log_softmax(row: &[f32]) -> impl Iterator<Item = f64> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&z| f64::from(z - max).exp()).sum();
    let logsumexp = f64::from(max) + sum.ln();
    row.iter().map(move |&z| f64::from(z) - logsumexp)
}

/// The checkpoint through a graph of `dialect`.
fn teacher_of(
    checkpoint: &Checkpoint,
    dialect: Dialect,
    dir: &Path,
) -> Result<Teacher, TeacherError> {
    let options = GraphOptions {
        dialect,
        weights: WeightFormat::F32,
    };
    let path = dir.join("model.onnx");
    let mut out = BufWriter::new(File::create(&path).unwrap());
    let model = decoder_model(&checkpoint.spec, options).unwrap();
    model.write_to(checkpoint, &mut out).unwrap();
    out.flush().unwrap();
    Teacher::open(&TeacherOptions {
        model: path,
        device: DeviceChoice::Cpu,
        threads: 1,
        logits_output: None,
        seq_len_max: 101,
    })
}

/// Logits of prefixes of `ids`, padded to one width.
fn logits_of(teacher: &mut Teacher, ids: &[u32], lengths: &[usize]) -> Vec<f32> {
    let width = *lengths.iter().max().unwrap();
    let padded = |&length: &usize| {
        let padding = std::iter::repeat_n(0, width - length);
        ids[..length].iter().copied().chain(padding)
    };
    let batch = TokenBatch {
        ids_bt: lengths.iter().flat_map(padded).collect(),
        n_rows: lengths.len(),
        n_fillers: 0,
        width,
        lengths: lengths.iter().map(|&length| length as u32).collect(),
    };
    let copy = |data: LogitsData<'_>| match data {
        LogitsData::F32(values) => values.to_vec(),
        _ => panic!("these graphs have f32 logits"),
    };
    teacher.run(&batch, |logits| copy(logits.data)).unwrap()
}

/// Largest differences of one fixture: by length, and in a batch of all lengths.
fn differences(name: &str, dialect: Dialect) -> Result<(Checkpoint, Vec<f64>), TeacherError> {
    let (dir, expected) = (whole(name), Expected::of(name));
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    // Beside the configuration it would be held to max_position_embeddings.
    let graph_dir = tempfile::tempdir().unwrap();
    let mut teacher = teacher_of(&checkpoint, dialect, graph_dir.path())?;
    let alone = LENGTHS.iter().enumerate().map(|(idx, &length)| {
        let logits = logits_of(&mut teacher, &expected.ids, &[length]);
        difference(&expected, idx, &logits)
    });
    let mut found: Vec<f64> = alone.collect();
    if checkpoint.spec.original_positions().is_none() {
        let logits = logits_of(&mut teacher, &expected.ids, &LENGTHS);
        let rows = logits.chunks_exact(logits.len() / LENGTHS.len());
        let together = rows
            .enumerate()
            .map(|(idx, row)| difference(&expected, idx, row));
        found.push(together.fold(0.0, f64::max));
    }
    Ok((checkpoint, found))
}

#[test]
fn every_family_gives_the_log_probabilities_of_transformers() {
    println!("| fixture | family | dialect | T = 7 | T = 64 | T = 101 | in one batch |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut wrong = Vec::new();
    for name in names() {
        for dialect in DIALECTS {
            let word = dialect.word();
            let (checkpoint, found) = match differences(&name, dialect) {
                Ok(found) => found,
                Err(error) => {
                    wrong.push(format!("{name} {word}: {error}"));
                    continue;
                }
            };
            let cells: Vec<String> = found.iter().map(|d| format!("{d:.1e}")).collect();
            let family = checkpoint.family;
            println!("| {name} | {family} | {word} | {} |", cells.join(" | "));
            if found.iter().any(|&difference| difference > TOLERANCE) {
                wrong.push(format!("{name} {word}: {}", cells.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "over {TOLERANCE}:\n{}", wrong.join("\n"));
}

/// The trainer's own core, which has this family alone.
#[cfg(feature = "train")]
#[test]
fn the_trainers_network_gives_the_log_probabilities_of_transformers() {
    use saltworks::train::export::read_hf;
    use saltworks::train::model::{Capacity, Network};

    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.unwrap();
    for name in ["llama", "llama-llama3", "mistral-full"] {
        let (dir, expected) = (whole(name), Expected::of(name));
        let params = read_hf(dir.path()).unwrap().params;
        let v = params.spec.vocab_size;
        let capacity = Capacity {
            n_positions: 128,
            seq_len: params.spec.max_seq_len,
            threads: 1,
            training: false,
            recompute: false,
        };
        let mut network = Network::new(params, capacity);
        for (length, (positions, logprobs)) in std::iter::zip(LENGTHS, &expected.by_length) {
            assert_eq!(positions.last(), Some(&(length - 1)));
            let mut logits_v = vec![0.0; v];
            pool.install(|| network.next_logits(&expected.ids[..length], &mut logits_v));
            let theirs = &logprobs[logprobs.len() - v..];
            let differences = std::iter::zip(log_softmax(&logits_v), theirs)
                .map(|(ours, &theirs)| (ours - f64::from(theirs)).abs());
            let largest = differences.fold(0.0, f64::max);
            println!("{name}, T = {length}: {largest:.1e}");
            assert!(largest <= TOLERANCE, "{name}, T = {length}: {largest}");
        }
    }
}
