//! The tokenizer, token files, and sequences as views over them.
//!
//! # A token corpus
//!
//! A directory of `tokens.bin` (ids, one after the other), `tokens.idx` (where documents start) and
//! `corpus.json` ([`CorpusJson`], written last: without it the directory is not finished). The two
//! token files are Megatron's own format ([`megatron`]), since tools for it exist; the ids chosen as
//! beginning and end of a document are IN the `.bin`, and a view never inserts them.
//! nanoGPT's and llm.c's raw files and Parquet with a list column `input_ids` are read as well.
//!
//! # How it is held
//!
//! Files are mapped, never read into memory: opening costs one pass over the index, which checks
//! every length, pointer and document index of it against the `.bin` before anything is believed.
//! Whoever changes a file while it is mapped breaks that promise.
//!
//! # Sequences
//!
//! A [`SequenceView`] cuts the corpus into sequences of at most T predicted positions by arithmetic
//! (`concat`) or by a sparse index of prefix sums (`document`); nothing is copied or stored.

mod corpus;
mod corpus_json;
mod corpus_writer;
mod dtype;
mod encode;
mod error;
mod growth;
mod index;
mod list_column;
pub mod megatron;
mod partial;
mod pieces;
mod raw;
mod special;
mod spool;
mod template;
mod token_file;
mod tokenizer;
mod train;
mod view;

pub use corpus::{OpenOptions, TokenCorpus, TokenFormat};
pub use corpus_json::{CORPUS_FORMAT_VERSION, CorpusJson, FileStamp};
pub use corpus_writer::{CorpusWriter, WriterSettings};
pub use dtype::Dtype;
pub use encode::{EncodeOptions, EncodeProgress, encode_documents};
pub use error::TokensError;
pub use special::SpecialChoice;
pub use tokenizer::Tokenizer;
pub use train::{
    DEFAULT_TRAIN_TEXT_BYTES, END_OF_TEXT, TokenizerOutput, TrainOptions, TrainProgress,
    TrainedTokenizer, train_bpe,
};
pub use view::{Packing, Sequence, SequenceView, ViewOptions};
