//! A token corpus as a source of sequences.

use super::DataError;
use super::facts::TokenizerFacts;
use super::labels::LabelSource;
use super::order::token_permutation;
use crate::shards::{Permutation, PlanCorpus, PlanFile};
use crate::storage;
use crate::tokens::{
    Dtype, EodPosition, OpenOptions, SequenceView, TokenCorpus, TokensError, ViewOptions,
};
use crate::train::example::Example;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a corpus is read. `view` and `seed` affect the order, and so the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOptions {
    /// The corpus.
    pub path: PathBuf,
    /// How its files are to be read.
    pub open_options: OpenOptions,
    /// How it is cut: as the labels, if there are any.
    pub view: ViewOptions,
    /// Seed of the order.
    pub seed: u64,
}

/// A mapped corpus whose ids are all below V. A clone shares the map.
#[derive(Clone)]
pub struct TokenSource {
    corpus: Arc<TokenCorpus>,
    options: TokenOptions,
    n_sequences: u64,
    excluded: Arc<Excluded>,
    /// BLAKE3 of sampled blocks of each file, as of opening.
    sampled: Arc<Vec<String>>,
}

/// Excluded sequences, stored so that a binary search finds the i-th of the others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Excluded {
    /// For each, `seq_id` minus its index, increasing: the number of other sequences before it.
    n_others_before: Vec<u64>,
}

impl Excluded {
    /// `seq_ids` must be increasing.
    fn new(seq_ids: &[u64]) -> Self {
        let indexed = seq_ids.iter().zip(0u64..);
        Excluded {
            n_others_before: indexed.map(|(seq_id, idx)| seq_id - idx).collect(),
        }
    }

    fn len(&self) -> u64 {
        self.n_others_before.len() as u64
    }

    /// The `i`-th seq_id that is not excluded.
    fn nth_included(&self, i: u64) -> u64 {
        i + self.n_others_before.partition_point(|&before| before <= i) as u64
    }
}

impl TokenSource {
    /// Opens and cuts a corpus and checks every id (a parallel scan), and the hashes of its files if there is a
    /// `corpus.json`. Returns notes on how the files were read, and whether the corpus does not record its
    /// tokenizer.
    ///
    /// # Errors
    /// A corpus that cannot be opened, is damaged, is of another tokenizer or vocabulary, has an id of V or
    /// more, or has no sequence.
    pub fn open(
        options: &TokenOptions,
        facts: &TokenizerFacts,
    ) -> Result<(Self, Vec<String>), DataError> {
        let corpus = open_corpus(options)?;
        corpus.check_contents()?;
        let note = match TokenizerFacts::of_corpus(&corpus) {
            Some(other) => facts.check(&options.path, &other)?,
            None => Some(format!(
                "{} does not record its tokenizer: only its ids were checked against the vocabulary of {}",
                options.path.display(),
                facts.vocab_size
            )),
        };
        check_bos(&options.view, facts.vocab_size)?;
        corpus.check_ids(0..corpus.n_tokens(), facts.vocab_size)?;
        let n_sequences = SequenceView::new(&corpus, options.view.clone())?.len();
        if n_sequences == 0 {
            return Err(DataError::NoSequences {
                path: options.path.clone(),
                n_tokens: corpus.n_tokens(),
                n_documents: corpus.n_documents(),
            });
        }
        let notes = corpus.notes().iter().cloned().chain(note).collect();
        let sampled = corpus
            .local_files()
            .iter()
            .map(|path| storage::sampled_blake3(path));
        let source = TokenSource {
            sampled: Arc::new(sampled.collect::<Result<_, _>>()?),
            corpus: Arc::new(corpus),
            options: options.clone(),
            n_sequences,
            excluded: Arc::new(Excluded::default()),
        };
        Ok((source, notes))
    }

    /// Checks that the files are unchanged since they were opened: samples of them, or all of them if they were
    /// written to and a `corpus.json` has their hashes.
    ///
    /// # Errors
    /// [`DataError::ChangedWhileRead`].
    pub fn check_unchanged(&self) -> Result<(), DataError> {
        let changed = |path: &Path| DataError::ChangedWhileRead {
            path: path.to_path_buf(),
        };
        for (path, before) in self.corpus.files().iter().zip(self.sampled.iter()) {
            if storage::sampled_blake3(path)? != *before {
                return Err(changed(path));
            }
        }
        let Some(touched) = self.corpus.modified_file()? else {
            return Ok(());
        };
        match self.corpus.check_contents() {
            Err(TokensError::NotAsTokenized { .. }) => Err(changed(touched)),
            other => Ok(other?),
        }
    }

    /// The corpus.
    pub fn corpus(&self) -> &TokenCorpus {
        &self.corpus
    }

    /// Its sequences. With `document` packing this takes a pass over the document index, so callers should
    /// reuse it.
    pub fn view(&self) -> SequenceView<'_> {
        let view = SequenceView::new(&self.corpus, self.options.view.clone());
        view.expect("the same view was made when the corpus was opened")
    }

    /// Sequences excluded because the labelled stage may use them.
    pub fn n_excluded(&self) -> u64 {
        self.excluded.len()
    }

    /// Available sequences.
    pub fn n_available(&self) -> u64 {
        self.n_sequences - self.excluded.len()
    }

    /// The sequence at each position of one epoch: a pure function of seed and epoch.
    pub fn order(&self, epoch: u64) -> TokenOrder {
        TokenOrder {
            permutation: token_permutation(self.n_available(), self.options.seed, epoch),
            excluded: Arc::clone(&self.excluded),
        }
    }

    fn explicit_dtype(&self) -> Option<Dtype> {
        self.corpus.explicit_dtype()
    }

    fn is_front(&self) -> bool {
        self.corpus.eod_position() == Some(EodPosition::Front)
    }

    /// The same source without the first `n` sequences of the labels' order if it is the labels' own corpus,
    /// else unchanged.
    ///
    /// # Errors
    /// As [`TokenSource::is_corpus_of`].
    pub(super) fn without_labelled(
        mut self,
        labels: &LabelSource,
        n: u64,
    ) -> Result<Self, DataError> {
        if n > 0 && self.is_corpus_of(labels)? {
            self.excluded = Arc::new(Excluded::new(&labels.first_seq_ids(n)));
        }
        Ok(self)
    }

    /// Whether the labels' sequence numbers refer to this source.
    ///
    /// # Errors
    /// Token files that changed since the labels were made; the same files cut differently.
    pub fn is_corpus_of(&self, labels: &LabelSource) -> Result<bool, DataError> {
        let theirs = &labels.plan().corpus;
        if !self.has_files_of(theirs)? {
            return Ok(false);
        }
        let show = |eod: Option<u32>| eod.map_or("none".to_owned(), |id| id.to_string());
        let side = |is_front: bool| if is_front { "front" } else { "back" }.to_owned();
        let dtype = |dtype: Option<Dtype>| dtype.map_or("not said", Dtype::name).to_owned();
        let view = |view: &ViewOptions| format!("{view:?}");
        for (what, expected, got) in [
            (
                "data.eod",
                show(theirs.eod),
                show(self.options.open_options.eod),
            ),
            (
                "data.eod_position",
                side(theirs.eod_position == Some(EodPosition::Front)),
                side(self.is_front()),
            ),
            (
                "data.dtype",
                dtype(theirs.dtype),
                dtype(self.explicit_dtype()),
            ),
            ("the view", view(&labels.view()), view(&self.options.view)),
            (
                "the number of sequences",
                labels.plan().sequences.n_total.to_string(),
                self.n_sequences.to_string(),
            ),
        ] {
            if expected != got {
                return Err(DataError::OtherCut {
                    path: self.options.path.clone(),
                    what,
                    expected,
                    got,
                });
            }
        }
        Ok(true)
    }

    /// Whether the token files are those of a plan, by their BLAKE3: from `corpus.json` if there is one, else
    /// of the files, which are hashed whole only if their samples match.
    fn has_files_of(&self, theirs: &PlanCorpus) -> Result<bool, DataError> {
        let files = self.corpus.local_files();
        if files.len() != theirs.files.len() {
            return Ok(false);
        }
        if let Some(json) = self.corpus.corpus_json() {
            let hashes = [json.bin.blake3.as_str(), json.idx.blake3.as_str()];
            if storage::fingerprint_of(hashes.into_iter()) != theirs.fingerprint {
                return Ok(false);
            }
            return match differing_sample(files, &theirs.files)? {
                None => Ok(true),
                Some(path) => Err(DataError::ChangedCorpus { path }),
            };
        }
        if differing_sample(files, &theirs.files)?.is_some() {
            return Ok(false);
        }
        for (path, file) in files.iter().zip(&theirs.files) {
            if storage::hash_file(path)?.blake3 != file.blake3 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The order of sequences in one epoch.
#[derive(Debug, Clone)]
pub struct TokenOrder {
    permutation: Permutation,
    excluded: Arc<Excluded>,
}

impl TokenOrder {
    /// The seq_id at position `idx`, which must be below `n_available`.
    pub fn seq_id(&self, idx: u64) -> u64 {
        self.excluded.nth_included(self.permutation.index_at(idx))
    }
}

/// The first file whose sampled blocks differ.
fn differing_sample(paths: &[PathBuf], theirs: &[PlanFile]) -> Result<Option<PathBuf>, DataError> {
    for (path, file) in paths.iter().zip(theirs) {
        if storage::sampled_blake3(path)? != file.sampled_blake3 {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

fn open_corpus(options: &TokenOptions) -> Result<TokenCorpus, DataError> {
    // In a configuration these options are keys.
    let setting = |key, expected: &str, got: &str| DataError::Setting {
        key,
        expected: expected.to_owned(),
        got: got.to_owned(),
    };
    TokenCorpus::open(&options.path, &options.open_options).map_err(|error| match error {
        TokensError::OptionInFile { option, got, .. } => {
            let key = match option {
                "--dtype" => "data.dtype",
                "--eod" => "data.eod",
                _ => "data.eod_position",
            };
            let expected =
                "no value: these tokens record document boundaries and the type of their ids";
            setting(key, expected, &got)
        }
        TokensError::DtypeInHeader { expected, got, .. } => setting(
            "data.dtype",
            &format!("{expected}, as the file's header says"),
            got,
        ),
        error => error.into(),
    })
}

fn check_bos(view: &ViewOptions, vocab_size: u32) -> Result<(), DataError> {
    match view.sequence_bos {
        Some(id) if id >= vocab_size => Err(DataError::Setting {
            key: "data.sequence_bos",
            expected: format!("an id below the vocabulary of {vocab_size}"),
            got: id.to_string(),
        }),
        _ => Ok(()),
    }
}

/// An endless stream over the epochs of a corpus; the reader decides where to end.
pub(super) struct TokenStream<'a> {
    source: &'a TokenSource,
    view: SequenceView<'a>,
    position: u64,
    epoch: u64,
    order: TokenOrder,
}

impl<'a> TokenStream<'a> {
    /// Starts after the first `position` sequences.
    pub(super) fn new(source: &'a TokenSource, position: u64) -> Self {
        let epoch = position / source.n_available();
        TokenStream {
            view: source.view(),
            position,
            epoch,
            order: source.order(epoch),
            source,
        }
    }

    /// The next sequence.
    ///
    /// # Errors
    /// A truncated file, I/O errors.
    pub(super) fn next_example(&mut self) -> Result<Example, DataError> {
        let n = self.source.n_available();
        if self.position / n != self.epoch {
            self.epoch = self.position / n;
            self.order = self.source.order(self.epoch);
        }
        let seq_id = self.order.seq_id(self.position % n);
        self.position += 1;
        Ok(self.view.read(seq_id)?.into())
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource")
            .field("options", &self.options)
            .field("n_sequences", &self.n_sequences)
            .field("n_excluded", &self.n_excluded())
            .finish_non_exhaustive()
    }
}
