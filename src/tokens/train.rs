//! Training a byte-level BPE tokenizer.

use super::error::TokensError;
use super::partial::Partial;
use crate::corpus::{CorpusError, Documents};
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// The end-of-document token that a trained tokenizer has unless others are named.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Text that is learned from, bytes: the trainer counts pairs in 32 bits, so more could overflow.
pub const DEFAULT_TRAIN_TEXT_BYTES: u64 = i32::MAX as u64;

const N_BYTES: u32 = 256;

/// What to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainOptions {
    /// Ids, special tokens and the 256 bytes included; fewer if the text holds no more pairs.
    pub vocab_size: u32,
    /// Special tokens, in the order of their ids, which are the first.
    pub special_tokens: Vec<String>,
    /// Reading stops here, bytes of text; at most [`DEFAULT_TRAIN_TEXT_BYTES`].
    pub max_text_bytes: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainedTokenizer {
    /// The `tokenizer.json`.
    pub json: String,
    /// Documents learned from.
    pub n_documents: u64,
    /// Bytes of text learned from.
    pub n_text_bytes: u64,
    /// Reading stopped at `max_text_bytes`, with documents left.
    pub stopped_early: bool,
}

/// Where a trained tokenizer goes; opened before the long work, removed if nothing comes of it.
pub struct TokenizerOutput(Partial);

impl TokenizerOutput {
    /// Opens the output.
    ///
    /// # Errors
    /// A file that is there already (unless it may be overwritten), I/O.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, TokensError> {
        if path.exists() && !overwrite {
            return Err(TokensError::OutputExists {
                path: path.to_path_buf(),
            });
        }
        Partial::create(path).map(Self)
    }

    /// Writes and publishes the `tokenizer.json`.
    ///
    /// # Errors
    /// I/O.
    pub fn publish(mut self, trained: &TrainedTokenizer) -> Result<(), TokensError> {
        let path = self.0.final_path().to_path_buf();
        self.0
            .write_all(trained.json.as_bytes())
            .map_err(TokensError::io("write", &path))?;
        self.0.seal()?.publish()
    }
}

/// Learns merges from documents; the same documents give the same tokenizer, whatever the threads.
/// `on_document` is called as documents are taken, with bytes read of the files so far.
///
/// # Errors
/// Documents that cannot be read, a vocabulary that does not hold 256 bytes and the special tokens.
pub fn train_bpe(
    documents: &mut Documents,
    options: &TrainOptions,
    on_document: impl FnMut(u64) + Send,
) -> Result<TrainedTokenizer, TokensError> {
    let special: HashSet<_> = options.special_tokens.iter().collect();
    let least = N_BYTES + special.len() as u32;
    if options.vocab_size < least {
        return Err(TokensError::VocabTooSmall {
            least,
            got: options.vocab_size,
        });
    }
    let fault = |error: tokenizers::Error| TokensError::Train {
        reason: error.to_string(),
    };
    let mut tokenizer = byte_level_tokenizer();
    let mut feed = Feed::new(documents, options.max_text_bytes, on_document);
    tokenizer
        .train(&mut trainer(options), &mut feed)
        .map_err(fault)?;
    if let Some(error) = feed.error {
        return Err(error.into());
    }
    if feed.n_documents == 0 && !feed.stopped_early {
        return Err(TokensError::NoDocuments {
            tally: feed.documents.tally(),
        });
    }
    Ok(TrainedTokenizer {
        json: tokenizer.to_string(true).map_err(fault)?,
        n_documents: feed.n_documents,
        n_text_bytes: feed.n_text_bytes,
        stopped_early: feed.stopped_early,
    })
}

fn byte_level_tokenizer() -> Tokenizer {
    let byte_level = ByteLevel::new(false, false, true);
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level));
    tokenizer.with_post_processor(Some(byte_level));
    tokenizer.with_decoder(Some(byte_level));
    tokenizer
}

fn trainer(options: &TrainOptions) -> TrainerWrapper {
    let special = options
        .special_tokens
        .iter()
        .map(|token| AddedToken::from(token.clone(), true));
    BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(options.vocab_size as usize)
        .special_tokens(special.collect())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into()
}

/// Texts for the trainer, which takes no errors: the first ends the feed and is kept.
struct Feed<'a, F> {
    documents: &'a mut Documents,
    max_text_bytes: u64,
    on_document: F,
    n_documents: u64,
    n_text_bytes: u64,
    stopped_early: bool,
    error: Option<CorpusError>,
}

impl<'a, F: FnMut(u64)> Feed<'a, F> {
    fn new(documents: &'a mut Documents, max_text_bytes: u64, on_document: F) -> Self {
        Self {
            documents,
            max_text_bytes,
            on_document,
            n_documents: 0,
            n_text_bytes: 0,
            stopped_early: false,
            error: None,
        }
    }
}

impl<F: FnMut(u64)> Iterator for Feed<'_, F> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.stopped_early || self.error.is_some() {
            return None;
        }
        let text = match self.documents.next()? {
            Ok(document) => document.text,
            Err(error) => {
                self.error = Some(error);
                return None;
            }
        };
        let n_text_bytes = self.n_text_bytes + text.len() as u64;
        if n_text_bytes > self.max_text_bytes {
            self.stopped_early = true;
            return None;
        }
        self.n_text_bytes = n_text_bytes;
        self.n_documents += 1;
        (self.on_document)(self.documents.bytes_read());
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::CorpusOptions;

    fn train(text: &str, options: &TrainOptions) -> Result<TrainedTokenizer, TokensError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut documents = Documents::open(vec![path], CorpusOptions::default()).unwrap();
        train_bpe(&mut documents, options, |_| {})
    }

    fn lines() -> String {
        let words = [
            "salt",
            "works",
            "saltworks",
            "brine",
            "é",
            "crystal ",
            "evaporate\n",
        ];
        let document = |i: usize| {
            (0..50)
                .map(|j| words[(i * 7 + j * j) % 7])
                .collect::<String>()
        };
        (0..200)
            .map(|i| format!("{}\n", serde_json::json!({"text": document(i)})))
            .collect()
    }

    fn options(vocab_size: u32) -> TrainOptions {
        TrainOptions {
            vocab_size,
            special_tokens: vec![END_OF_TEXT.to_owned()],
            max_text_bytes: DEFAULT_TRAIN_TEXT_BYTES,
        }
    }

    #[test]
    fn the_same_text_gives_the_same_tokenizer_every_time() {
        let first = train(&lines(), &options(400)).unwrap();
        for _ in 0..5 {
            assert_eq!(train(&lines(), &options(400)).unwrap(), first);
        }
        assert_eq!(first.n_documents, 200);
    }

    #[test]
    fn a_trained_tokenizer_round_trips_any_text_and_ends_documents() {
        let trained = train(&lines(), &options(270)).unwrap();
        let tokenizer =
            crate::tokens::Tokenizer::from_bytes(trained.json.as_bytes(), Path::new("t")).unwrap();
        assert_eq!(tokenizer.vocab_size(), 270);
        assert_eq!(tokenizer.token_id(END_OF_TEXT), Some(0));
        let text = " never seen: \u{1f600}\0\t 日本 salt";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
        let eod = crate::tokens::SpecialChoice::Auto
            .resolve_eod(&tokenizer)
            .unwrap();
        assert_eq!(eod, Some(0));
    }

    #[test]
    fn a_vocabulary_too_small_for_the_bytes_is_refused() {
        let error = train(&lines(), &options(256)).unwrap_err();
        assert!(matches!(
            error,
            TokensError::VocabTooSmall {
                least: 257,
                got: 256
            }
        ));
    }

    #[test]
    fn a_bad_line_is_an_error_and_too_much_text_is_said() {
        let error = train("{\"text\": \"a\"}\nnot json\n", &options(300)).unwrap_err();
        assert!(error.to_string().contains("in.jsonl:2:"));
        let little = TrainOptions {
            max_text_bytes: 1000,
            ..options(300)
        };
        let trained = train(&lines(), &little).unwrap();
        assert!(trained.stopped_early && trained.n_text_bytes <= 1000);
    }
}
