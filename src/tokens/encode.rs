//! From documents to tokens: one thread reads, all encode, one writes, in the documents' order.
//!
//! Documents travel in chunks of bounded size, a few at a time, so memory does not grow with the
//! corpus. Each document is encoded by itself, so neither chunks nor threads show in the output.

use super::corpus_writer::CorpusWriter;
use super::error::TokensError;
use super::tokenizer::Tokenizer;
use crate::corpus::{CorpusError, Document, Documents, Tally};
use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Text that a chunk holds for each thread before it is closed, bytes: enough that threads seldom
/// wait for the last document, and little enough that progress and an interrupt are prompt.
const CHUNK_TEXT_BYTES: usize = 1 << 20;
const CHUNK_DOCUMENTS: usize = 4096;
/// Chunks that are read ahead.
const N_CHUNKS_AHEAD: usize = 2;

/// How to encode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The id in front of every document.
    pub bos: Option<u32>,
    /// The id behind every document.
    pub eod: Option<u32>,
    /// Threads that encode; 0: as many as there are cores. The output is the same for any number.
    pub n_threads: usize,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeProgress {
    /// Bytes of the input files that were read.
    pub bytes_read: u64,
    /// Bytes of the input files.
    pub bytes_total: u64,
    /// Documents written.
    pub n_documents: u64,
    /// Tokens written.
    pub n_tokens: u64,
}

struct Chunk {
    documents: Vec<Document>,
    bytes_read: u64,
    tally: Tally,
}

/// Encodes all documents into `writer`; after each chunk `on_progress` may end it.
/// A document that gives no token is counted as empty and left out.
///
/// # Errors
/// A document that cannot be read or encoded, no document at all, I/O, [`TokensError::Interrupted`].
pub fn encode_documents(
    documents: Documents,
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
    writer: &mut CorpusWriter,
    mut on_progress: impl FnMut(&EncodeProgress) -> ControlFlow<()>,
) -> Result<Tally, TokensError> {
    let bytes_total = documents.bytes_total();
    let pool = thread_pool(options.n_threads)?;
    let chunk_text_bytes = CHUNK_TEXT_BYTES * pool.current_num_threads();
    let (sender, receiver) = crossbeam_channel::bounded(N_CHUNKS_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || read_chunks(documents, chunk_text_bytes, &sender));
        let receiver: Receiver<Result<Chunk, CorpusError>> = receiver;
        let (mut tally, mut n_without_tokens) = (Tally::default(), 0);
        for chunk in receiver {
            let chunk = chunk?;
            let encoded = pool.install(|| encode_chunk(&chunk.documents, tokenizer, options))?;
            n_without_tokens += write_chunk(&chunk.documents, &encoded, writer)?;
            tally = chunk.tally;
            let progress = EncodeProgress {
                bytes_read: chunk.bytes_read,
                bytes_total,
                n_documents: writer.n_documents(),
                n_tokens: writer.n_tokens(),
            };
            if on_progress(&progress).is_break() {
                return Err(TokensError::Interrupted);
            }
        }
        tally.n_empty_documents += n_without_tokens;
        if writer.n_documents() == 0 {
            return Err(TokensError::NoDocuments { tally });
        }
        Ok(tally)
    })
}

fn thread_pool(n_threads: usize) -> Result<rayon::ThreadPool, TokensError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .map_err(|error| TokensError::Threads {
            n_threads,
            reason: error.to_string(),
        })
}

/// Ends when the documents do, at the first error, or when nobody listens any more.
fn read_chunks(
    mut documents: Documents,
    text_bytes: usize,
    sender: &Sender<Result<Chunk, CorpusError>>,
) {
    loop {
        let chunk = read_chunk(&mut documents, text_bytes);
        let is_last = chunk
            .as_ref()
            .map_or(true, |chunk| chunk.documents.is_empty());
        if sender.send(chunk).is_err() || is_last {
            return;
        }
    }
}

/// The next chunk; an empty one at the end, which carries the last counts.
fn read_chunk(documents: &mut Documents, text_bytes: usize) -> Result<Chunk, CorpusError> {
    let (mut read, mut n_text_bytes) = (Vec::new(), 0);
    while n_text_bytes < text_bytes && read.len() < CHUNK_DOCUMENTS {
        let Some(document) = documents.next() else {
            break;
        };
        let document = document?;
        n_text_bytes += document.text.len();
        read.push(document);
    }
    Ok(Chunk {
        documents: read,
        bytes_read: documents.bytes_read(),
        tally: documents.tally(),
    })
}

fn encode_chunk(
    documents: &[Document],
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
) -> Result<Vec<Vec<u32>>, TokensError> {
    documents
        .par_iter()
        .map(|document| encode_document(document, tokenizer, options))
        .collect()
}

fn encode_document(
    document: &Document,
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
) -> Result<Vec<u32>, TokensError> {
    let ids = tokenizer
        .encode(&document.text)
        .map_err(|error| match error {
            TokensError::Encode { reason, .. } => TokensError::Encode {
                location: document.location.to_string(),
                reason,
            },
            other => other,
        })?;
    Ok(options
        .bos
        .into_iter()
        .chain(ids)
        .chain(options.eod)
        .collect())
}

/// Gives the number of documents that were left out.
fn write_chunk(
    documents: &[Document],
    encoded: &[Vec<u32>],
    writer: &mut CorpusWriter,
) -> Result<u64, TokensError> {
    let mut n_left_out = 0;
    for (document, ids) in documents.iter().zip(encoded) {
        if ids.is_empty() {
            n_left_out += 1;
        } else {
            writer.push_document(ids, document.text.len() as u64)?;
        }
    }
    Ok(n_left_out)
}

#[cfg(test)]
#[path = "encode/tests.rs"]
mod tests;
