//! Selecting from 10 million rows: time and peak memory, compared with a plain read of the same columns.
//!
//!     cargo bench --bench select            (N_ROWS=1000000 for fewer)
//!
//! The labels are in the layout of `label --groups scores` at T = 256, with the default order seed and shard
//! size, written by the library's own writer, with plan, sidecars and manifest. Scores are synthetic; one in a
//! hundred is null.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/scores.rs"]
mod scores;

use measure::{Measured, measured, size_of};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use saltworks::select::{Amount, Order, Policy, select};
use saltworks::shards::{LabelSet, Plan, Row, ScoreId, ShardWriter};
use saltworks::signals::{Scores, uniform_at};
use scores::{scores_plan, write_scores};
use std::fs::File;
use std::path::Path;
use std::time::Instant;

const SEQ_LEN: u32 = 256;
const DEFAULT_ROWS: u64 = 10_000_000;

fn main() {
    let n_rows = std::env::var("N_ROWS").ok();
    let n_rows = n_rows.map_or(DEFAULT_ROWS, |n| n.parse().expect("N_ROWS is a number"));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let labels = dir.path().join("labels");
    let began = Instant::now();
    let n_shards = write_scores(&labels, &plan(n_rows), ShardWriter::create, row);
    let size = size_of(&labels.join("scores"));
    println!(
        "{n_rows} rows in {n_shards} shards, {} MB of scores, written in {:.1} s",
        size / 1_000_000,
        began.elapsed().as_secs_f64()
    );
    plain_read(&labels);
    let plain = (0..2).map(|_| plain_read(&labels)).fold(f64::MAX, f64::min);
    println!("plain read of seq_id and score_salt: {plain:.2} s");
    println!("policy                     s   rows/s   x plain   cpu s   peak MiB   above MiB");
    let seed = 1;
    for (name, order, min_learnable) in [
        ("top", Order::Top, None),
        ("top, floor 0.5", Order::Top, Some(0.5)),
        ("middle", Order::Middle, None),
        ("random", Order::Random { seed }, None),
        (
            "weighted",
            Order::Weighted {
                temperature: 0.5,
                seed,
            },
            None,
        ),
    ] {
        let policy = Policy {
            order,
            score: ScoreId::Salt,
            amount: Amount::Fraction(0.25),
            min_learnable,
        };
        measure(name, &labels, &policy, plain);
    }
}

fn measure(name: &str, labels: &Path, policy: &Policy, plain: f64) {
    let output = labels.with_file_name("selection.parquet");
    let mut n_rows = 0;
    let figures = measured(|| {
        let set = LabelSet::open(labels).expect("the labels are good");
        let summary = select(&set, None, policy, &output, |_| {}).expect("it selects");
        n_rows = summary.n_rows;
    });
    let Measured {
        seconds,
        cpu_seconds,
        peak_mib,
        above_mib,
    } = figures;
    println!(
        "{name:<20} {seconds:>7.2} {:>8.0} {:>9.2} {cpu_seconds:>7.2} {peak_mib:>10.0} {above_mib:>11.0}",
        n_rows as f64 / seconds,
        seconds / plain
    );
}

/// Seconds to decode two columns of all scores files, and nothing else.
fn plain_read(labels: &Path) -> f64 {
    let began = Instant::now();
    let mut n_rows = 0;
    for entry in std::fs::read_dir(labels.join("scores")).expect("it is there") {
        let file = File::open(entry.expect("it is listed").path()).expect("it opens");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("it is Parquet");
        let columns = ["seq_id", "score_salt"];
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
        let reader = builder.with_projection(mask).with_batch_size(1 << 14);
        for batch in reader.build().expect("it is read") {
            n_rows += batch.expect("it is whole").num_rows();
        }
    }
    assert!(n_rows > 0);
    began.elapsed().as_secs_f64()
}

/// Scores that no two sequences share, as those of real text.
fn row(seq_id: u64) -> Row {
    let u = |i| uniform_at(i, seq_id);
    let is_learnable = u(0) > 0.01;
    let nll = 2.0 + u(1) + u(2) + u(3);
    Row {
        seq_id,
        first_doc_index: seq_id / 4,
        n_targets: SEQ_LEN,
        scores: Scores {
            salt: is_learnable.then(|| nll * u(4)),
            salt_masked: nll * u(5) / 2.0,
            mean_nll: nll,
            median_nll: nll * u(6),
            learnable_fraction: if is_learnable { u(7) } else { 0.0 },
            mean_entropy: nll - u(8),
            mean_topk_mass: u(9),
        },
        ..Row::default()
    }
}

fn plan(n_rows: u64) -> Plan {
    let n_targets = n_rows * u64::from(SEQ_LEN);
    let row_targets = f64::from(SEQ_LEN);
    scores_plan("benches/select.rs", SEQ_LEN, n_rows, n_targets, row_targets)
}
