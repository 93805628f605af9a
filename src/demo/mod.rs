//! The embedded default: a generated corpus and a teacher made of its n-gram statistics.
//!
//! The corpus is prose in an invented language with English function words. A few thousand forms
//! are coined from syllables and used with Zipf's frequencies, and there is something to learn at
//! every length: spelling and endings inside a word; agreement of number, tense and article inside
//! a sentence; a topic's vocabulary inside a paragraph; names, trades, pronouns and the places of
//! things all through a document; a frame of sections, a refrain and a list that every document
//! shares; counting and sums that come out right. Every document is a function of (seed, its index).
//!
//! The teacher is a trigram model with Witten-Bell smoothing, written as an ONNX graph of two look-ups.
//! Its distributions are true conditional probabilities of this corpus, so entropy, ranks and scores mean
//! what they say: endings and refrains are near certain, names and topics are not.

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
