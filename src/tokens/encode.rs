//! From documents to tokens: one thread reads, all encode, one writes, in document order.
//!
//! Documents are passed in chunks of bounded size, a few at a time, so memory does not grow with the corpus. Each
//! document is encoded separately, so neither chunks nor threads affect the output. A long document is alone in memory,
//! and its ids are written in pieces.

use super::corpus_writer::CorpusWriter;
use super::error::TokensError;
use super::spelling_check::SpellingCheck;
use super::tokenizer::Tokenizer;
use crate::corpus::{CorpusError, Document, Documents, InputFile, Tally};
use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Bytes of text per thread at which a chunk is closed: enough that threads seldom wait for the last document, and few
/// enough that progress and interrupts are prompt.
const CHUNK_TEXT_BYTES: usize = 1 << 20;
const CHUNK_DOCUMENTS: usize = 4096;
/// A document above this many bytes is encoded on all threads and nothing is read ahead of it.
const LONG_DOCUMENT_BYTES: usize = 4 << 20;
/// Chunks read ahead.
const N_CHUNKS_AHEAD: usize = 2;

/// How to encode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Ids in front of every document, in order.
    pub bos: Vec<u32>,
    /// Ids after every document, in order.
    pub eod: Vec<u32>,
    /// Threads that encode; 0: one per core. The output is the same for any number.
    pub n_threads: usize,
}

/// Progress so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeProgress {
    /// Bytes of the input files read so far.
    pub bytes_read: u64,
    /// Total bytes of the input files.
    pub bytes_total: u64,
    /// Documents written.
    pub n_documents: u64,
    /// Tokens written.
    pub n_tokens: u64,
}

struct Chunk {
    documents: Vec<Document>,
    /// Whether the reader waits until this chunk has been written.
    is_long: bool,
    bytes_read: u64,
    tally: Tally,
    /// In the last chunk: the files that were read.
    inputs: Vec<InputFile>,
}

/// Encodes all documents into `writer`; `on_progress` may stop it after each chunk, and after each piece of a long
/// document. A document without tokens is counted as empty and left out.
///
/// # Errors
/// A document that cannot be read or encoded, no document at all, I/O, [`TokensError::Interrupted`].
pub fn encode_documents(
    documents: Documents,
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
    writer: &mut CorpusWriter,
    mut on_progress: impl FnMut(&EncodeProgress) -> ControlFlow<()> + Send,
) -> Result<Tally, TokensError> {
    let bytes_total = documents.bytes_total();
    let interrupt = documents.interrupt().clone();
    let documents = documents.with_input_hashes();
    writer.keep_documents()?;
    let pool = thread_pool(options.n_threads)?;
    let chunk_text_bytes = CHUNK_TEXT_BYTES * pool.current_num_threads();
    let (sender, receiver) = crossbeam_channel::bounded(N_CHUNKS_AHEAD);
    let (written, was_written) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        let mut reader = ChunkReader {
            documents,
            text_bytes: chunk_text_bytes,
            was_written,
        };
        scope.spawn(move || reader.read_all(&sender));
        // Both are dropped at the end of this closure, which ends the reader too, whatever it waits for.
        let receiver: Receiver<Result<Chunk, CorpusError>> = receiver;
        let written: Sender<()> = written;
        let mut encoder = Encoder {
            tokenizer,
            options,
            writer,
            n_without_tokens: 0,
        };
        let mut tally = Tally::default();
        for chunk in receiver {
            let mut chunk = chunk?;
            let show = |writer: &CorpusWriter| {
                let progress = EncodeProgress {
                    bytes_read: chunk.bytes_read,
                    bytes_total,
                    n_documents: writer.n_documents(),
                    n_tokens: writer.n_tokens(),
                };
                if on_progress(&progress).is_break() {
                    // The reader may take long to reach its next document.
                    interrupt.request();
                    return Err(TokensError::Interrupted);
                }
                Ok(())
            };
            pool.install(|| encoder.encode_chunk(&chunk.documents, show))?;
            tally = chunk.tally;
            let is_long = chunk.is_long;
            encoder.writer.set_inputs(std::mem::take(&mut chunk.inputs));
            drop(chunk);
            if is_long {
                // Fails only if the reader is done.
                let _ = written.send(());
            }
        }
        tally.n_empty_documents += encoder.n_without_tokens;
        if encoder.writer.n_documents() == 0 {
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

struct ChunkReader {
    documents: Documents,
    text_bytes: usize,
    was_written: Receiver<()>,
}

impl ChunkReader {
    /// Ends with the documents, at the first error, or when the receiver is gone.
    fn read_all(&mut self, sender: &Sender<Result<Chunk, CorpusError>>) {
        loop {
            let chunk = self.read_chunk();
            let (is_last, is_long) = match &chunk {
                Ok(chunk) => (chunk.documents.is_empty(), chunk.is_long),
                Err(_) => (true, false),
            };
            if sender.send(chunk).is_err() || is_last {
                return;
            }
            if is_long && self.was_written.recv().is_err() {
                return;
            }
        }
    }

    /// The next chunk; an empty one at the end, with the final counts.
    fn read_chunk(&mut self) -> Result<Chunk, CorpusError> {
        let (mut read, mut n_text_bytes) = (Vec::new(), 0);
        while n_text_bytes < self.text_bytes && read.len() < CHUNK_DOCUMENTS {
            let Some(document) = self.documents.next() else {
                break;
            };
            let document = document?;
            n_text_bytes += document.text.len();
            read.push(document);
        }
        let is_long = |document: &Document| document.text.len() > LONG_DOCUMENT_BYTES;
        let inputs = match read.is_empty() {
            true => self.documents.inputs().to_vec(),
            false => Vec::new(),
        };
        Ok(Chunk {
            is_long: read.iter().any(is_long),
            inputs,
            documents: read,
            bytes_read: self.documents.bytes_read(),
            tally: self.documents.tally(),
        })
    }
}

struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a EncodeOptions,
    writer: &'a mut CorpusWriter,
    /// Documents left out.
    n_without_tokens: u64,
}

impl Encoder<'_> {
    fn encode_chunk(
        &mut self,
        documents: &[Document],
        mut show: impl FnMut(&CorpusWriter) -> Result<(), TokensError>,
    ) -> Result<(), TokensError> {
        let is_long = |document: &Document| document.text.len() > LONG_DOCUMENT_BYTES;
        for group in documents.chunk_by(|a, b| !is_long(a) && !is_long(b)) {
            match group {
                [document] if is_long(document) => self.encode_long(document, &mut show)?,
                _ => self.encode_short(group)?,
            }
        }
        show(self.writer)
    }

    /// Encodes several documents, each on one thread.
    fn encode_short(&mut self, documents: &[Document]) -> Result<(), TokensError> {
        let tokenizer = self.tokenizer;
        let encoded: Vec<(Vec<u32>, bool)> = documents
            .par_iter()
            .map(|document| {
                let ids = tokenizer.encode(&document.text);
                let ids = ids.map_err(|error| located(error, document))?;
                let is_spelled = tokenizer.spells(&document.text, &ids);
                Ok((ids, is_spelled))
            })
            .collect::<Result<_, TokensError>>()?;
        for (document, (ids, is_spelled)) in documents.iter().zip(encoded) {
            if ids.is_empty() {
                self.n_without_tokens += 1;
                continue;
            }
            self.writer.append(&self.options.bos)?;
            self.writer.append(&ids)?;
            self.writer.append(&self.options.eod)?;
            self.writer.end_document(document, is_spelled)?;
        }
        Ok(())
    }

    /// Encodes one document on all threads; its ids are never all in memory.
    fn encode_long(
        &mut self,
        document: &Document,
        show: &mut impl FnMut(&CorpusWriter) -> Result<(), TokensError>,
    ) -> Result<(), TokensError> {
        let (options, mut has_tokens) = (self.options, false);
        let writer = &mut *self.writer;
        let tokenizer = self.tokenizer;
        let mut spelling_check = SpellingCheck::new(&document.text);
        let encoded = tokenizer.encode_to(&document.text, |ids| {
            tokenizer.spell(&mut spelling_check, ids);
            if !ids.is_empty() && !has_tokens {
                has_tokens = true;
                writer.append(&options.bos)?;
            }
            writer.append(ids)?;
            show(writer)
        });
        encoded.map_err(|error| located(error, document))?;
        if !has_tokens {
            self.n_without_tokens += 1;
            return Ok(());
        }
        self.writer.append(&options.eod)?;
        self.writer
            .end_document(document, spelling_check.is_whole())
    }
}

/// Gives an error of the tokenizer the location of the document.
fn located(error: TokensError, document: &Document) -> TokensError {
    error.at(&document.location.to_string())
}

#[cfg(test)]
#[path = "encode/tests.rs"]
mod tests;
