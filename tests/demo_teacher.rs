//! The demo's teacher, run by ONNX Runtime, gives the probabilities of the model it was made from.
#![cfg(feature = "label")]
// clippy.toml exempts tests, but not the functions that they call.
#![allow(clippy::unwrap_used)]

use saltworks::demo::{NgramTeacher, unigram_entropy, write_teacher};
use saltworks::onnx::{InputRole, read_signature};
use saltworks::signals::LogitsData;
use saltworks::teacher::{DeviceChoice, Teacher, TeacherOptions, TokenBatch, load_runtime};
use std::path::Path;

const VOCAB_SIZE: usize = 11;

/// Counting up by one or two, with a long-range habit: after a five comes what came before it.
fn stream() -> Vec<u32> {
    let mut tokens = vec![0, 1];
    for at in 2..4_000_usize {
        let before = tokens[at - 2];
        let next = if tokens[at - 1] == 5 {
            before
        } else {
            tokens[at - 1] + 1 + (at % 7 / 4) as u32
        };
        tokens.push(next % VOCAB_SIZE as u32);
    }
    tokens
}

fn open(path: &Path) -> Teacher {
    load_runtime(None).unwrap();
    Teacher::open(&TeacherOptions {
        model: path.to_owned(),
        device: DeviceChoice::Cpu,
        threads: 1,
        logits_output: None,
        seq_len_max: 64,
    })
    .unwrap()
}

#[test]
fn the_graph_computes_the_statistics_at_every_position_of_a_padded_batch() {
    let tokens = stream();
    let fitted = NgramTeacher::fit(&tokens, VOCAB_SIZE, 30).unwrap();
    assert!(fitted.mean_nll(&tokens) < unigram_entropy(&tokens, VOCAB_SIZE));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("teacher.onnx");
    write_teacher(&fitted, &path).unwrap();

    let sequences = [&tokens[100..140], &tokens[7..32]];
    let width = 40;
    let mut ids_bt = vec![0; 2 * width];
    for (row, sequence) in ids_bt.chunks_exact_mut(width).zip(sequences) {
        row[..sequence.len()].copy_from_slice(sequence);
    }
    let batch = TokenBatch {
        ids_bt,
        n_rows: 2,
        n_fillers: 0,
        width,
        lengths: vec![40, 25],
    };
    let logits_btv = open(&path)
        .run(&batch, |logits| match logits.data {
            LogitsData::F32(values) => values.to_vec(),
            other => panic!("f32 logits expected, got {other:?}"),
        })
        .unwrap();

    for (b, sequence) in sequences.into_iter().enumerate() {
        for (t, &current) in sequence.iter().enumerate() {
            let previous = t.checked_sub(1).map(|before| sequence[before]);
            let start = (b * width + t) * VOCAB_SIZE;
            let got = &logits_btv[start..start + VOCAB_SIZE];
            assert_eq!(
                got,
                fitted.log_probs(previous, current),
                "sequence {b}, position {t}"
            );
        }
    }
}

#[test]
fn the_file_says_what_it_takes_and_gives() {
    let fitted = NgramTeacher::fit(&stream(), VOCAB_SIZE, 30).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("teacher.onnx");
    write_teacher(&fitted, &path).unwrap();
    let signature = read_signature(&path, None).unwrap();
    assert_eq!(signature.inputs.len(), 1);
    assert_eq!(signature.inputs[0].1, InputRole::InputIds);
    assert_eq!(signature.vocab_size, Some(VOCAB_SIZE as u64));
    assert_eq!(
        (signature.fixed_batch, signature.fixed_seq_len),
        (None, None)
    );
}
