//! The tokenizer, token files, and sequences as views over them.
//!
//! # A token corpus
//!
//! A directory of `tokens.bin` (all ids, concatenated), `tokens.idx` (where documents start) and `corpus.json`
//! ([`CorpusJson`], written last: without it the directory is unfinished). The two token files are in Megatron's own
//! format ([`megatron`]), since tools for it exist; the ids chosen for the beginning and the end of a document are IN
//! the `.bin`, and a view never inserts them. Beside them, `documents.parquet` says which record of which input each
//! document is ([`DocumentReader`]). nanoGPT's and llm.c's raw files and Parquet with a list column `input_ids` are
//! read as well.
//!
//! # How it is read
//!
//! Ids stay in their files and are read by position. Opening takes one pass over the index, which checks all its
//! lengths, pointers and document entries against the `.bin`, and copies where documents start. If a file is truncated
//! later, the next read fails; if it is overwritten, [`TokenCorpus::modified_file`] reports it.
//!
//! # What is checked
//!
//! A raw file does not describe itself: other kinds of file are refused by how they begin (`foreign`), the type of its
//! ids is checked on blocks from all over it (`width`), and the side of the separator is inferred from its ends, with a
//! note (`eod`). Padding of Parquet rows is removed according to the columns that mark it (`padding`).
//!
//! # Sequences
//!
//! A [`SequenceView`] divides the corpus into sequences of at most T predicted positions by arithmetic (`concat`) or by
//! a sparse index of prefix sums (`document`); nothing is copied or stored.

mod corpus;
mod corpus_json;
mod corpus_writer;
mod decode;
mod documents;
mod dtype;
mod encode;
mod eod;
mod error;
mod foreign;
mod format;
mod growth;
mod index;
mod list_column;
pub mod megatron;
mod padding;
mod partial;
mod paths;
mod pieces;
mod raw;
mod special;
mod spelling_check;
mod spool;
mod template;
mod token_file;
mod tokenizer;
mod tokenizer_copy;
mod tokenizer_kind;
mod train;
mod view;
mod width;

pub use corpus::{OpenOptions, TokenCorpus, corpus_json_of};
pub use corpus_json::{BinBlocks, CORPUS_FORMAT_VERSION, CorpusJson, FileStamp};
pub use corpus_writer::{CorpusWriter, WriterSettings};
pub use documents::{DocumentEntry, DocumentReader, DocumentsStamp};
pub use dtype::Dtype;
pub use encode::{EncodeOptions, EncodeProgress, encode_documents};
pub use eod::EodPosition;
pub use error::TokensError;
pub use format::{CORPUS_JSON, TokenFormat};
pub use list_column::Padding;
pub use special::SpecialChoice;
pub use tokenizer::Tokenizer;
pub use tokenizer_copy::{TOKENIZER_JSON, copy_tokenizer};
pub use train::{
    DEFAULT_TRAIN_TEXT_BYTES, END_OF_TEXT, TokenizerOutput, TrainOptions, TrainProgress,
    TrainedTokenizer, train_bpe,
};
pub use view::{Packing, Sequence, SequenceView, ViewOptions};
