//! Selecting from 10 million documents: time and peak memory, by one set and by the difference of two.
//!
//!     cargo bench --bench select_documents            (N_DOCUMENTS=1000000 for fewer)
//!
//! The labels are those of `label --groups scores` with packing `document`, one sequence per document, written by the
//! library's own writer, with plan, sidecars, manifest and `documents/`. The subtracted set has another tokenizer and
//! the documents in reverse order, so that they are joined by id. Numbers are synthetic.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/scores.rs"]
mod scores;

use measure::{Measured, measured, size_of};
use saltworks::select::{Amount, DocumentPolicy, Order, Per, select_documents};
use saltworks::shards::{
    Attention, DocumentScore, DocumentsOutcome, LabelSet, ListedDocuments, Piece, Plan, PlanCorpus,
    PlanSequences, PlanTeacher, PlanTokenizer, Positions, Row, ShardWriter, ShardsError,
    write_documents,
};
use saltworks::signals::{Scores, TargetSums, uniform_at};
use saltworks::tokens::{DocumentEntry, Packing};
use scores::{scores_plan, write_scores};
use std::path::Path;
use std::sync::Arc;

const SEQ_LEN: u64 = 256;
const DEFAULT_DOCUMENTS: u64 = 10_000_000;
/// Input files.
const N_SOURCES: u64 = 100;

fn main() {
    let n = std::env::var("N_DOCUMENTS").ok();
    let n = n.map_or(DEFAULT_DOCUMENTS, |n| {
        n.parse().expect("N_DOCUMENTS is a number")
    });
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    println!("{n} documents of {N_SOURCES} files");
    println!("                                s   rows/s    cpu s   peak MiB   above MiB");
    for made in [Made { n, reverse: false }, Made { n, reverse: true }] {
        let labels = if made.reverse { &theirs } else { &ours };
        made.write_labels(labels);
        report(
            "documents/ of sums",
            n,
            &measured(|| made.write_documents(labels)),
        );
    }
    let size = size_of(&ours.join("documents"));
    println!("documents/ has {} MB", size / 1_000_000);
    let policy = DocumentPolicy {
        order: Order::Top,
        score: DocumentScore::BitsPerByte,
        amount: Amount::Fraction(0.25),
        min_learnable: None,
        per: None,
        join: None,
    };
    let middle = DocumentPolicy {
        order: Order::Middle,
        ..policy
    };
    let per_source = DocumentPolicy {
        per: Some(Per::Source),
        ..policy
    };
    let output = dir.path().join("selection.parquet");
    for (name, policy, minus) in [
        ("top", policy, None),
        ("middle", middle, None),
        ("top, --per source", per_source, None),
        ("top, --minus", policy, Some(&theirs)),
        ("middle, --minus", middle, Some(&theirs)),
    ] {
        let figures = measured(|| {
            let set = LabelSet::open(&ours).expect("the labels are good");
            let minus = minus.map(|minus| LabelSet::open(minus).expect("the labels are good"));
            let summary = select_documents(&set, minus.as_ref(), &policy, &output, |_| {});
            let summary = summary.expect("it selects");
            assert_eq!(summary.n_kept, n / 4, "all have a score");
        });
        report(name, n, &figures);
    }
    println!("a selection has {} MB", size_of(&output) / 1_000_000);
}

fn report(name: &str, n: u64, figures: &Measured) {
    println!(
        "{name:<24} {:>8.2} {:>8.0} {:>8.2} {:>10.0} {:>11.0}",
        figures.seconds,
        n as f64 / figures.seconds,
        figures.cpu_seconds,
        figures.peak_mib,
        figures.above_mib
    );
}

/// Labels of `n` texts, which are in the reverse order or not.
#[derive(Debug, Clone, Copy)]
struct Made {
    n: u64,
    reverse: bool,
}

impl Made {
    /// Which text a document is.
    fn text_of(self, doc_index: u64) -> u64 {
        match self.reverse {
            true => self.n - 1 - doc_index,
            false => doc_index,
        }
    }

    fn sums(self, doc_index: u64) -> TargetSums {
        let text = self.text_of(doc_index);
        let u = |i| uniform_at(i + 10 * u64::from(self.reverse), text);
        let n_targets = n_targets(text, self.reverse);
        let n = n_targets as f64;
        let n_learnable = (u(0) * (n + 1.0)) as u64;
        let nll = n * (1.0 + u(1) + u(2));
        TargetSums {
            n_targets,
            n_learnable: n_learnable.min(n_targets),
            nll,
            nll_learnable: nll * u(3),
            entropy: n * u(4),
            topk_mass: n * u(5),
        }
    }

    fn row(self, seq_id: u64) -> Row {
        let sums = self.sums(seq_id);
        let n = sums.n_targets as f64;
        Row {
            seq_id,
            first_doc_index: seq_id,
            n_targets: sums.n_targets as u32,
            scores: Scores {
                salt: (sums.n_learnable > 0).then_some(sums.nll / n),
                salt_masked: sums.nll_learnable / n,
                mean_nll: sums.nll / n,
                median_nll: sums.nll / n,
                learnable_fraction: sums.n_learnable as f64 / n,
                mean_entropy: sums.entropy / n,
                mean_topk_mass: sums.topk_mass / n,
            },
            pieces: vec![Piece {
                doc_index: seq_id,
                sums,
            }],
            ..Row::default()
        }
    }

    fn entry(self, sources: &[Arc<str>], doc_index: u64) -> DocumentEntry {
        let text = self.text_of(doc_index);
        let source = (text * N_SOURCES / self.n) as usize;
        DocumentEntry {
            doc_index,
            id: Some(format!("<urn:text:{text:010}>")),
            source: Arc::clone(&sources[source]),
            record: text + 1,
            n_tokens: n_targets(text, self.reverse) + 1,
            n_bytes: 4 * n_targets(text, false) + 1,
        }
    }

    fn write_labels(self, dir: &Path) {
        let create = ShardWriter::create_with_pieces;
        write_scores(dir, &self.plan(), create, |id| self.row(id));
    }

    fn write_documents(self, dir: &Path) {
        let set = LabelSet::open(dir).expect("the labels are good");
        let source = |i| Arc::from(format!("corpus/part-{i:05}.jsonl.zst"));
        let sources: Vec<Arc<str>> = (0..N_SOURCES).map(source).collect();
        let entries = (0..self.n).map(|i| Ok::<_, ShardsError>(self.entry(&sources, i)));
        let listed = ListedDocuments {
            entries,
            spelling: None,
        };
        let outcome = write_documents(&set, Some(listed)).expect("it is written");
        let DocumentsOutcome::Written(index) = outcome else {
            panic!("there are sums")
        };
        assert_eq!((index.n_documents, index.n_whole), (self.n, self.n));
    }

    /// A document is a sequence of its own, by a tokenizer that has the name of the set.
    fn plan(self) -> Plan {
        let n_targets = (0..self.n).map(|text| n_targets(text, self.reverse)).sum();
        let name = if self.reverse { "theirs" } else { "ours" };
        let row_targets = SEQ_LEN as f64 / 2.0;
        let by = "benches/select_documents.rs";
        let plan = scores_plan(by, SEQ_LEN as u32, self.n, n_targets, row_targets);
        Plan {
            teacher: PlanTeacher {
                fingerprint: name.into(),
                ..plan.teacher
            },
            corpus: PlanCorpus {
                fingerprint: name.into(),
                n_tokens: n_targets + self.n,
                n_documents: self.n,
                ..plan.corpus
            },
            tokenizer: Some(PlanTokenizer {
                fingerprint: name.into(),
                vocab_size: 32_000,
                bos: None,
                eod: None,
            }),
            sequences: PlanSequences {
                packing: Packing::Document,
                attention: Attention::Document,
                positions: Positions::Restart,
                ..plan.sequences
            },
            ..plan
        }
    }
}

/// Targets of a text by either tokenizer.
fn n_targets(text: u64, is_other: bool) -> u64 {
    1 + (uniform_at(100 + u64::from(is_other), text) * (SEQ_LEN - 1) as f64) as u64
}
