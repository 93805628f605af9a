//! What the sums of documents cost, beside the least that labelling can cost: nanoseconds of processor time per target,
//! and as a percentage of reducing the logits (V = 8,192, K = 64) without any model.
//!
//!     cargo bench --bench document_sums
//!
//! Three parts: summing within a sequence, the columns `piece_*` of `scores/`, and `documents/` when the set is complete.
//! The rows are synthetic; documents have 1,024 tokens, or 32.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/scores.rs"]
mod scores;

use measure::{fastest, measured};
use saltworks::shards::{
    LabelSet, ListedDocuments, Piece, Row, ShardWriter, ShardsError, piece_ranges, write_documents,
};
use saltworks::signals::{
    Groups, Logits, LogitsData, Rounding, ScoreInputs, Scores, SequenceTargets, SignalsConfig,
    TargetSums, reduce_batch, uniform_at,
};
use saltworks::tokens::DocumentEntry;
use scores::{scores_plan, write_scores};
use std::hint::black_box;
use std::path::Path;

const SEQ_LEN: usize = 256;
/// A sequence has one id more, which is the first of the next.
const N_TARGETS: usize = SEQ_LEN;
/// Enough that the differences exceed the clock of processor time, a hundredth of a second.
const N_SEQUENCES: u64 = 80_000;
const VOCAB_SIZE: usize = 8_192;
const TOP_K: usize = 64;

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("one thread starts").install(|| {
        let (reduction, summed) = reduced();
        println!("reducing the logits: {reduction:.0} ns per target");
        println!("document tokens   part                ns per target   of the reduction");
        for document_tokens in [1_024, 32] {
            let line = |part: &str, ns: f64| {
                let percent = 100.0 * ns / reduction;
                println!("{document_tokens:>15}   {part:<18} {ns:>14.2} {percent:>17.3}%");
            };
            line("sums", sums(&summed, document_tokens));
            let (columns, documents) = written(document_tokens);
            line("columns piece_*", columns);
            line("documents/", documents);
        }
    });
}

/// Nanoseconds per target of the reduction of one sequence, and what it leaves to be summed.
fn reduced() -> (f64, ScoreInputs) {
    let logits: Vec<f32> = (0..N_TARGETS * VOCAB_SIZE)
        .map(|i| (10.0 * (uniform_at(0, i as u64) + uniform_at(1, i as u64)) - 10.0) as f32)
        .collect();
    let targets: Vec<u32> = (0..N_TARGETS)
        .map(|t| (t * 7_919 % VOCAB_SIZE) as u32)
        .collect();
    let config = SignalsConfig {
        groups: Groups {
            stats: true,
            topk: true,
        },
        top_k: TOP_K,
        temperatures: Vec::new(),
        rounding: Rounding::M5,
        vocab_size: VOCAB_SIZE,
        sampling: None,
    };
    let batch = Logits {
        data: LogitsData::F32(&logits),
        n_rows: 1,
        width: N_TARGETS,
        vocab_size: VOCAB_SIZE,
    };
    let sequence = SequenceTargets {
        seq_id: 0,
        targets: &targets,
    };
    let reduce = || reduce_batch(batch, &[sequence], &config).expect("the logits are finite");
    let ns = fastest(|| drop(black_box(reduce()))) * 1e9 / N_TARGETS as f64;
    (ns, reduce().remove(0).score_inputs)
}

/// Offsets and indices of the documents of sequence `seq_id` of one stream.
fn documents_of(seq_id: u64, document_tokens: u64) -> (Vec<u32>, Vec<u64>) {
    let first = seq_id * SEQ_LEN as u64;
    let at = |token: u64| token / document_tokens;
    let (mut starts, mut indices) = (vec![0], vec![at(first)]);
    for index in at(first) + 1..=at(first + SEQ_LEN as u64) {
        starts.push((index * document_tokens - first) as u32);
        indices.push(index);
    }
    (starts, indices)
}

fn pieces(inputs: &ScoreInputs, seq_id: u64, document_tokens: u64) -> Vec<Piece> {
    let (starts, indices) = documents_of(seq_id, document_tokens);
    let ranges = piece_ranges(&starts, &indices, N_TARGETS);
    let piece = |(doc_index, range)| Piece {
        doc_index,
        sums: inputs.sums(range),
    };
    ranges.map(piece).collect()
}

/// Nanoseconds per target of the sums of a sequence.
fn sums(inputs: &ScoreInputs, document_tokens: u64) -> f64 {
    let seconds = fastest(|| {
        for seq_id in 0..1_000 {
            black_box(pieces(black_box(inputs), seq_id, document_tokens));
        }
    });
    seconds * 1e9 / 1_000.0 / N_TARGETS as f64
}

/// Nanoseconds per target that the columns of sums add to a set of scores, and those of `documents/`.
fn written(document_tokens: u64) -> (f64, f64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let n_targets = N_SEQUENCES * N_TARGETS as u64;
    let seconds = |name: &str, has_pieces: bool| {
        let labels = dir.path().join(name);
        measured(|| write_set(&labels, document_tokens, has_pieces)).cpu_seconds
    };
    let mut without = f64::INFINITY;
    let mut with = f64::INFINITY;
    for round in 0..3 {
        without = without.min(seconds(&format!("without-{round}"), false));
        with = with.min(seconds(&format!("with-{round}"), true));
    }
    let set = LabelSet::open(&dir.path().join("with-0")).expect("the labels are good");
    let unlisted: Option<ListedDocuments<std::iter::Empty<Result<DocumentEntry, ShardsError>>>> =
        None;
    let documents = measured(|| {
        write_documents(&set, unlisted).expect("they are written");
    });
    let per_target = |seconds: f64| seconds * 1e9 / n_targets as f64;
    (
        per_target(with - without),
        per_target(documents.cpu_seconds),
    )
}

fn write_set(labels: &Path, document_tokens: u64, has_pieces: bool) {
    let n_targets = N_SEQUENCES * N_TARGETS as u64;
    let plan = scores_plan(
        "document_sums",
        SEQ_LEN as u32,
        N_SEQUENCES,
        n_targets,
        N_TARGETS as f64,
    );
    let create = match has_pieces {
        true => ShardWriter::create_with_pieces,
        false => ShardWriter::create,
    };
    write_scores(labels, &plan, create, |seq_id| row(seq_id, document_tokens));
}

/// A row of synthetic sums.
fn row(seq_id: u64, document_tokens: u64) -> Row {
    let (starts, indices) = documents_of(seq_id, document_tokens);
    let ranges = piece_ranges(&starts, &indices, N_TARGETS);
    let pieces: Vec<Piece> = ranges
        .map(|(index, range)| synthetic(index, seq_id, range.len()))
        .collect();
    let mean = |value: fn(&TargetSums) -> f64| {
        pieces.iter().map(|piece| value(&piece.sums)).sum::<f64>() / N_TARGETS as f64
    };
    Row {
        seq_id,
        first_doc_index: indices[0],
        n_targets: N_TARGETS as u32,
        scores: Scores {
            salt: Some(mean(|sums| sums.nll_learnable) / mean(|sums| sums.n_learnable as f64)),
            salt_masked: mean(|sums| sums.nll_learnable),
            mean_nll: mean(|sums| sums.nll),
            median_nll: mean(|sums| sums.nll),
            learnable_fraction: mean(|sums| sums.n_learnable as f64),
            mean_entropy: mean(|sums| sums.entropy),
            mean_topk_mass: mean(|sums| sums.topk_mass),
        },
        pieces,
        ..Row::default()
    }
}

fn synthetic(doc_index: u64, seq_id: u64, n_targets: usize) -> Piece {
    let u = |stream| uniform_at(stream, seq_id + doc_index * N_SEQUENCES);
    let n = n_targets as f64;
    let nll = n * (3.0 + 2.0 * u(0));
    Piece {
        doc_index,
        sums: TargetSums {
            n_targets: n_targets as u64,
            n_learnable: 1 + (u(1) * (n - 1.0)) as u64,
            nll,
            nll_learnable: nll * 0.5 * u(2),
            entropy: n * (3.0 + 2.0 * u(3)),
            topk_mass: n * u(4),
        },
    }
}
