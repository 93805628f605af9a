//! The embedded default input: a generated corpus and a teacher made of its n-gram statistics.
//!
//! The corpus is prose in an invented language with English function words. A few thousand forms are coined
//! from syllables and used with Zipf's frequencies, and there is something to learn at every length: spelling
//! and endings within a word; agreement of number, tense and article within a sentence; a topic's vocabulary
//! within a paragraph; names, trades, pronouns and the places of things throughout a document; a structure of
//! sections, refrain and list that all documents share; counting and correct sums. Every document is a function
//! of the seed and its index.
//!
//! The teacher is a trigram model with Witten-Bell smoothing, written as an ONNX graph of two look-ups. Its
//! distributions are estimated from this corpus, so entropy, ranks and scores are realistic: endings and
//! refrains are nearly certain, names and topics are not.

mod corpus;
mod draws;
mod error;
mod grammar;
mod lexicon;
mod ngrams;
mod story;
mod teacher;

pub use corpus::{CorpusSettings, CorpusSummary, write_corpus};
pub use error::DemoError;
pub use ngrams::{NgramTeacher, unigram_entropy};
pub use teacher::write_teacher;
