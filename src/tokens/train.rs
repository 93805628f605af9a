//! Training a byte-level BPE tokenizer.

use super::error::TokensError;
use super::partial::Partial;
use super::tokenizer::MAX_VOCAB;
use crate::corpus::{CorpusError, Documents, Tally};
use crate::error::guarded;
use crate::storage::sweep_abandoned;
use std::collections::HashSet;
use std::io::Write;
use std::path::{MAIN_SEPARATOR, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// The default end-of-document token of a trained tokenizer.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Most bytes of text to learn from: the trainer counts pairs in 32 bits, so more could overflow.
pub const DEFAULT_TRAIN_TEXT_BYTES: u64 = i32::MAX as u64;

const N_BYTES: u32 = 256;
/// Documents go to the trainer in pieces of about this many bytes: it needs some seventy times the memory of a piece.
const PIECE_BYTES: usize = 1 << 20;
/// How often progress and interrupts are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainOptions {
    /// Number of ids, including special tokens and the 256 bytes; fewer if the text has no more pairs.
    pub vocab_size: u32,
    /// Special tokens, in the order of their ids, which come first.
    pub special_tokens: Vec<String>,
    /// Bytes of text at which reading stops; at most [`DEFAULT_TRAIN_TEXT_BYTES`].
    pub max_text_bytes: u64,
}

/// The result of training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainedTokenizer {
    /// The `tokenizer.json`.
    pub json: String,
    /// Documents learned from.
    pub n_documents: u64,
    /// Bytes of text learned from.
    pub n_text_bytes: u64,
    /// Whether reading stopped at `max_text_bytes`, with documents left.
    pub stopped_early: bool,
    /// What was left out.
    pub tally: Tally,
}

/// The output file of a trained tokenizer; opened before the long work, removed if it fails.
pub struct TokenizerOutput(Partial);

impl TokenizerOutput {
    /// Opens the output.
    ///
    /// # Errors
    /// A directory, an existing file (unless it may be overwritten), I/O.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, TokensError> {
        if path.is_dir() || path.to_string_lossy().ends_with(MAIN_SEPARATOR) {
            return Err(TokensError::OutputIsDirectory {
                path: path.to_path_buf(),
            });
        }
        if path.exists() && !overwrite {
            return Err(TokensError::OutputExists {
                path: path.to_path_buf(),
            });
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        if let Some(name) = path.file_name().and_then(std::ffi::OsStr::to_str) {
            sweep_abandoned(dir.unwrap_or(Path::new(".")), name)?;
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
            .map_err(TokensError::write(&path))?;
        self.0.seal()?.publish()
    }
}

/// How much text has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainProgress {
    /// Bytes of the input files read so far.
    pub bytes_read: u64,
    /// Documents read.
    pub n_documents: u64,
    /// Whether text is still being read; learning merges afterwards has no measurable progress.
    pub is_reading: bool,
}

/// Learns merges from documents; the same documents give the same tokenizer, whatever the number of threads.
/// `on_progress` is called a few times a second. The interrupt of the documents ends this function at any time, but the
/// library cannot be stopped: its thread continues until the process ends.
///
/// # Errors
/// Documents that cannot be read, a vocabulary too small for 256 bytes and the special tokens or larger than can be
/// read, [`TokensError::Interrupted`].
pub fn train_bpe(
    documents: Documents,
    options: &TrainOptions,
    mut on_progress: impl FnMut(TrainProgress),
) -> Result<TrainedTokenizer, TokensError> {
    check_vocab_size(options)?;
    let interrupt = documents.interrupt().clone();
    let counts = Arc::new(Counts::default());
    let feed = Feed::new(documents, options.max_text_bytes, Arc::clone(&counts));
    let (sender, result) = channel();
    let options = options.clone();
    let thread = std::thread::Builder::new().name("train-bpe".to_owned());
    thread
        .spawn(move || {
            // The receiver is gone if the work was interrupted.
            let _ = sender.send(train(feed, &options));
        })
        .map_err(|error| TokensError::Threads {
            n_threads: 1,
            reason: error.to_string(),
        })?;
    loop {
        match result.recv_timeout(POLL_INTERVAL) {
            Ok(_) if interrupt.is_requested() => return Err(TokensError::Interrupted),
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) if interrupt.is_requested() => {
                return Err(TokensError::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => on_progress(counts.now()),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(TokensError::Train {
                    reason: "the thread that trains has ended".to_owned(),
                });
            }
        }
    }
}

fn check_vocab_size(options: &TrainOptions) -> Result<(), TokensError> {
    let special: HashSet<_> = options.special_tokens.iter().collect();
    let (min, got) = (N_BYTES + special.len() as u32, options.vocab_size);
    if got < min {
        return Err(TokensError::VocabTooSmall { min, got });
    }
    if got > MAX_VOCAB {
        let most = MAX_VOCAB;
        return Err(TokensError::VocabTooLarge { most, got });
    }
    Ok(())
}

fn train(mut feed: Feed, options: &TrainOptions) -> Result<TrainedTokenizer, TokensError> {
    let fault = |reason: String| TokensError::Train { reason };
    let mut tokenizer = byte_level_tokenizer();
    let trained = guarded(|| {
        tokenizer
            .train(&mut trainer(options), &mut feed)
            .map(|_| ())
    });
    trained
        .map_err(fault)?
        .map_err(|error| fault(error.to_string()))?;
    if let Some(error) = feed.error {
        return Err(error.into());
    }
    let (n_documents, n_text_bytes) = (feed.counts.now().n_documents, feed.n_text_bytes);
    if n_documents == 0 && !feed.stopped_early {
        let tally: Tally = feed.documents.tally();
        return Err(TokensError::NoDocuments { tally });
    }
    Ok(TrainedTokenizer {
        json: tokenizer
            .to_string(true)
            .map_err(|error| fault(error.to_string()))?,
        n_documents,
        n_text_bytes,
        stopped_early: feed.stopped_early,
        tally: feed.documents.tally(),
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

/// Counts that another thread reads.
#[derive(Default)]
struct Counts {
    bytes_read: AtomicU64,
    n_documents: AtomicU64,
    is_read: AtomicBool,
}

impl Counts {
    fn now(&self) -> TrainProgress {
        TrainProgress {
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            n_documents: self.n_documents.load(Ordering::Relaxed),
            is_reading: !self.is_read.load(Ordering::Relaxed),
        }
    }
}

/// Texts for the trainer, which accepts no errors: the first one ends the feed and is kept.
struct Feed {
    documents: Documents,
    max_text_bytes: u64,
    counts: Arc<Counts>,
    n_text_bytes: u64,
    stopped_early: bool,
    error: Option<CorpusError>,
    /// The current document; `piece_start` is where its next piece starts.
    text: String,
    piece_start: usize,
}

impl Feed {
    fn new(documents: Documents, max_text_bytes: u64, counts: Arc<Counts>) -> Self {
        Self {
            documents,
            max_text_bytes,
            counts,
            n_text_bytes: 0,
            stopped_early: false,
            error: None,
            text: String::new(),
            piece_start: 0,
        }
    }

    fn next_document(&mut self) -> Option<String> {
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
        self.counts.n_documents.fetch_add(1, Ordering::Relaxed);
        let bytes_read = self.documents.bytes_read();
        self.counts.bytes_read.store(bytes_read, Ordering::Relaxed);
        Some(text)
    }
}

impl Iterator for Feed {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.piece_start == self.text.len() {
            let Some(text) = self.next_document() else {
                self.counts.is_read.store(true, Ordering::Relaxed);
                return None;
            };
            self.text = text;
            self.piece_start = 0;
        }
        let rest = &self.text[self.piece_start..];
        let piece = &rest[..piece_end(rest, PIECE_BYTES)];
        self.piece_start += piece.len();
        Some(piece.to_owned())
    }
}

/// The first place at or after `n_bytes` where a cut preserves the words of the byte-level pre-tokenizer: before a
/// space, or after a line feed, with a character other than white space on both sides. A space begins the word that
/// follows it; such a line feed is a word of its own.
fn piece_end(text: &str, n_bytes: usize) -> usize {
    let start = text.floor_char_boundary(n_bytes.min(text.len()));
    let places = text[start..].char_indices();
    let place = places
        .clone()
        .zip(places.clone().skip(1))
        .zip(places.skip(2));
    place
        .filter(|(((_, before), _), (_, after))| !before.is_whitespace() && !after.is_whitespace())
        .find_map(|((_, (at, c)), (next, _))| match c {
            ' ' => Some(start + at),
            '\n' => Some(start + next),
            _ => None,
        })
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::CorpusOptions;
    use crate::error::Classified;

    fn train(text: &str, options: &TrainOptions) -> Result<TrainedTokenizer, TokensError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.jsonl");
        std::fs::write(&path, text).unwrap();
        let documents = Documents::open(vec![path], CorpusOptions::default()).unwrap();
        train_bpe(documents, options, |_| {})
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
    fn pieces_of_a_document_have_the_words_of_the_whole() {
        let text = "It's  a\n\nlong\nday, isn't it? é12 ' \t x\u{a0} y\n z  \n";
        let words = |text: &str| {
            let mut split = tokenizers::PreTokenizedString::from(text);
            use tokenizers::PreTokenizer;
            let byte_level = ByteLevel::new(false, false, true);
            byte_level.pre_tokenize(&mut split).unwrap();
            let words = split.get_splits(
                tokenizers::OffsetReferential::Normalized,
                tokenizers::OffsetType::Byte,
            );
            words
                .into_iter()
                .map(|(word, ..)| word.to_owned())
                .collect::<Vec<_>>()
        };
        for n_bytes in 0..text.len() {
            let (mut rest, mut of_pieces) = (text, Vec::new());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(piece_end(rest, n_bytes));
                assert!(!piece.is_empty());
                of_pieces.extend(words(piece));
                rest = after;
            }
            assert_eq!(of_pieces, words(text), "{n_bytes}");
        }
        assert_eq!(piece_end(text, 10), text.find("\nday").unwrap() + 1);
    }

    #[test]
    fn reading_ends_with_the_last_document() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.jsonl");
        std::fs::write(&path, lines()).unwrap();
        let documents = Documents::open(vec![path], CorpusOptions::default()).unwrap();
        let counts = Arc::new(Counts::default());
        let mut feed = Feed::new(documents, DEFAULT_TRAIN_TEXT_BYTES, Arc::clone(&counts));
        feed.next().unwrap();
        assert!(counts.now().is_reading);
        assert_eq!(feed.count() + 1, 200);
        assert!(!counts.now().is_reading);
        assert_eq!(counts.now().n_documents, 200);
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
        assert_eq!(eod, [0]);
    }

    #[test]
    fn a_vocabulary_too_small_for_the_bytes_is_refused() {
        let error = train(&lines(), &options(256)).unwrap_err();
        assert!(matches!(
            error,
            TokensError::VocabTooSmall { min: 257, got: 256 }
        ));
    }

    #[test]
    fn a_vocabulary_too_large_for_any_format_is_refused_before_allocation() {
        let error = train(&lines(), &options(u32::MAX)).unwrap_err();
        assert!(matches!(
            error,
            TokensError::VocabTooLarge { got: u32::MAX, .. }
        ));
    }

    #[test]
    fn a_stop_request_ends_the_training() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.jsonl");
        std::fs::write(&path, lines()).unwrap();
        let interrupt = crate::interrupt::Interrupt::new();
        interrupt.request();
        let documents = Documents::open(vec![path], CorpusOptions::default())
            .unwrap()
            .with_interrupt(&interrupt);
        let error = train_bpe(documents, &options(300), |_| {}).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Interrupted);
    }

    #[test]
    fn an_output_that_is_a_directory_is_refused_before_the_work_and_litter_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let error = TokenizerOutput::create(dir.path(), true).err().unwrap();
        assert!(matches!(error, TokensError::OutputIsDirectory { .. }));
        let slash = dir.path().join("t.json/");
        assert!(TokenizerOutput::create(&slash, true).is_err());
        let litter = dir.path().join(".t.json.host.1.00112233445566ff");
        std::fs::write(&litter, "half").unwrap();
        TokenizerOutput::create(&dir.path().join("t.json"), false).unwrap();
        assert!(!litter.exists());
    }

    #[test]
    fn a_bad_line_is_an_error_and_unused_text_causes_a_note() {
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
