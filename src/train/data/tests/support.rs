//! Label directories and corpora for the tests of this room.

use super::*;
use crate::shards::testing::{plan as small_plan, with_targets, write_set};
use crate::shards::{Attention, Plan, PlanFile, Positions};
use crate::storage;
use crate::tokens::megatron::MegatronWriter;
use crate::tokens::{CorpusJson, OpenOptions, Packing, SequenceView, TokenCorpus, ViewOptions};
use crate::train::example::Example;
use std::path::{Path, PathBuf};

pub(super) const V: u32 = 23;
pub(super) const T: u32 = 6;

/// A corpus and labels of part of it, in one temporary directory.
pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) plan: Plan,
}

impl Fixture {
    /// `concat` packing, sequences 20..70 labelled in shards of 20, 20 and 10 rows.
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_corpus(&dir.path().join("tokens"), 100, 1);
        let mut plan = plan_of(&dir.path().join("tokens"));
        change(&mut plan);
        let plan = write_set(&dir.path().join("labels"), &with_targets(plan));
        Fixture { dir, plan }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn options(&self) -> LabelSourceOptions {
        LabelSourceOptions {
            dir: self.path("labels"),
            selection: None,
            seed: 5,
            shuffle_row_groups: 3,
        }
    }

    pub(super) fn labels(&self) -> LabelSource {
        LabelSource::open(&self.options()).unwrap()
    }

    pub(super) fn token_options(&self, name: &str) -> TokenOptions {
        TokenOptions {
            path: self.path(name),
            open_options: OpenOptions::default(),
            view: view(),
            seed: 5,
        }
    }

    pub(super) fn tokens(&self, name: &str) -> TokenSource {
        let opened = TokenSource::open(&self.token_options(name), &facts(&self.plan));
        opened.unwrap().0
    }

    /// A file of one shard.
    pub(super) fn part(&self, kind: &str, shard: u32) -> PathBuf {
        self.path("labels")
            .join(format!("{kind}/part-{shard:05}.parquet"))
    }
}

pub(super) fn view() -> ViewOptions {
    ViewOptions {
        packing: Packing::Concat,
        seq_len: T,
        sequence_bos: None,
    }
}

pub(super) fn facts(plan: &Plan) -> TokenizerFacts {
    let tokenizer = plan.tokenizer.as_ref();
    TokenizerFacts {
        fingerprint: tokenizer.map(|t| t.fingerprint.clone()),
        vocab_size: plan.teacher.vocab_size,
        source: "tokenizer.json".to_owned(),
    }
}

/// Documents of 3 to 9 ids below V, with a `corpus.json`.
pub(super) fn write_corpus(dir: &Path, n_documents: u32, seed: u32) {
    std::fs::create_dir_all(dir).unwrap();
    let mut writer = MegatronWriter::create(&dir.join("tokens"), V).unwrap();
    for doc in 0..n_documents {
        let ids: Vec<u32> = (0..3 + doc % 7)
            .map(|i| (doc * 31 + i * 7 + seed) % V)
            .collect();
        writer.push_document(&ids).unwrap();
    }
    let pair = writer.finish().unwrap();
    let json = CorpusJson {
        format_version: 1,
        required_features: vec![],
        tokenizer_fingerprint: small_plan().tokenizer.unwrap().fingerprint,
        vocab_size: V,
        bos: None,
        eod: None,
        ids_in_front: vec![],
        ids_after: vec![],
        dtype: pair.dtype,
        n_documents: pair.n_documents,
        n_tokens: pair.n_tokens,
        n_text_bytes: 9,
        n_empty_documents: 0,
        n_bad_lines: 0,
        bin: pair.bin,
        idx: pair.idx,
        blocks: Some(pair.blocks),
        documents: None,
        inputs: vec![],
    };
    let json = serde_json::to_vec(&json).unwrap();
    std::fs::write(dir.join("corpus.json"), json).unwrap();
}

fn plan_of(tokens: &Path) -> Plan {
    let corpus = TokenCorpus::open(tokens, &OpenOptions::default()).unwrap();
    let files: Vec<PlanFile> = corpus.files().iter().map(|path| plan_file(path)).collect();
    let mut plan = small_plan();
    plan.corpus.fingerprint = storage::fingerprint_of(files.iter().map(|f| f.blake3.as_str()));
    plan.corpus.files = files;
    plan.corpus.n_tokens = corpus.n_tokens();
    plan.corpus.n_documents = corpus.n_documents();
    plan.sequences.packing = Packing::Concat;
    plan.sequences.attention = Attention::Full;
    plan.sequences.positions = Positions::Continuous;
    plan.sequences.n_total = SequenceView::new(&corpus, view()).unwrap().len();
    plan
}

fn plan_file(path: &Path) -> PlanFile {
    let hash = storage::hash_file(path).unwrap();
    PlanFile {
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
        bytes: hash.bytes,
        blake3: hash.blake3,
        sampled_blake3: storage::sampled_blake3(path).unwrap(),
    }
}

pub(super) fn stages(labelled_steps: u64, token_steps: u64, batch_size: usize) -> Stages {
    Stages {
        labelled_steps,
        token_steps,
        batch_size,
        label_epochs: 3,
        token_epochs: 3,
    }
}

pub(super) fn loader(labels: &LabelSource, stages: Stages, position: u64) -> Loader {
    let position = LoaderPosition {
        labelled: position,
        tokens: 0,
    };
    Loader::new(Some(labels.clone()), None, stages, 2, position).unwrap()
}

/// The seq_ids of the next `n_steps` steps.
pub(super) fn labelled_ids(loader: &mut Loader, n_steps: u64) -> Vec<Vec<u64>> {
    let mut step = || ids(&loader.next_labelled().unwrap());
    (0..n_steps).map(|_| step()).collect()
}

pub(super) fn token_ids(loader: &mut Loader, n_steps: u64) -> Vec<Vec<u64>> {
    let mut step = || ids(&loader.next_tokens().unwrap());
    (0..n_steps).map(|_| step()).collect()
}

pub(super) fn ids(batch: &[Example]) -> Vec<u64> {
    batch.iter().map(|example| example.seq_id).collect()
}

pub(super) fn sorted(steps: &[Vec<u64>]) -> Vec<u64> {
    let mut all = steps.concat();
    all.sort_unstable();
    all
}

#[track_caller]
pub(super) fn assert_says<V>(result: Result<V, DataError>, words: &[&str]) {
    let error = result.err().expect("it is refused");
    let message = format!("{error}");
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}
