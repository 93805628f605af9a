//! Text as a temporary token corpus, for evaluation.

use super::EvalError;
use super::score::DocumentGroups;
use crate::corpus::{Document, Documents};
use crate::tokens::{
    CorpusWriter, OpenOptions, TokenCorpus, Tokenizer, TokensError, WriterSettings,
};
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Bytes of text encoded at a time.
const CHUNK_TEXT_BYTES: usize = 4 << 20;
const CHUNK_DOCUMENTS: usize = 4096;

/// The group of documents without the field.
const NO_GROUP: &str = "(none)";

/// How text becomes tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// Ids before every document, in order.
    pub bos: Vec<u32>,
    /// Ids after every document, in order.
    pub eod: Vec<u32>,
    /// Separator between documents within one text; the documents are then trimmed of white space.
    pub split_on: Option<String>,
    /// The field that the documents were read with, to group by.
    pub group_by: Option<String>,
    /// Only the part of the field before this names the group.
    pub group_until: Option<String>,
}

/// The tokens of some text, with facts about the text; removed from disk on drop.
pub struct TextCorpus {
    /// The tokens.
    pub tokens: TokenCorpus,
    /// Groups of its documents, if any.
    pub groups: Option<DocumentGroups>,
    /// `[n_groups]`, or one: bytes of text.
    pub text_bytes: Vec<u64>,
    /// `[n_groups]`, or one: bytes of the first tokens of documents, which are not predicted without an id
    /// before them.
    first_token_bytes: Vec<u64>,
    /// Group, and bytes of the first token, of the first document.
    very_first_bytes: (usize, u64),
    // Declared last, so that the files are removed after they are unmapped.
    _dir: tempfile::TempDir,
}

impl TextCorpus {
    /// Encodes all documents; `on_progress` is called with the bytes read so far, and may stop.
    ///
    /// # Errors
    /// Documents that cannot be read or encoded, no document with text, a field that no document has.
    pub fn create(
        mut documents: Documents,
        tokenizer: &Tokenizer,
        options: &TextOptions,
        mut on_progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, EvalError> {
        if options.split_on.as_deref() == Some("") {
            return Err(EvalError::EmptySeparator);
        }
        let dir = tempfile::tempdir().map_err(|source| EvalError::TempDir { source })?;
        let path = dir.path().join("tokens");
        let settings = WriterSettings {
            bos: options.bos.clone(),
            eod: options.eod.clone(),
            overwrite: false,
        };
        let writer = CorpusWriter::create(&path, tokenizer, settings)?;
        let mut builder = CorpusBuilder::new(tokenizer, options, writer);
        loop {
            let chunk = read_chunk(&mut documents)?;
            if chunk.is_empty() {
                break;
            }
            builder.push(&chunk)?;
            if on_progress(documents.bytes_read()).is_break() {
                return Err(EvalError::Interrupted);
            }
        }
        builder.finish(documents.tally(), dir)
    }

    /// Bytes of the predicted text, per group or in total, when each document is cut separately (`by_document`)
    /// or all are concatenated; `id_in_front` says whether every sequence begins with an added id.
    pub fn predicted_bytes(&self, by_document: bool, id_in_front: bool) -> Vec<u64> {
        let mut bytes = self.text_bytes.clone();
        if id_in_front {
            return bytes;
        }
        if by_document {
            for (bytes, first) in std::iter::zip(&mut bytes, &self.first_token_bytes) {
                *bytes = bytes.saturating_sub(*first);
            }
        } else if let Some(bytes) = bytes.get_mut(self.very_first_bytes.0) {
            *bytes = bytes.saturating_sub(self.very_first_bytes.1);
        }
        bytes
    }
}

/// The next documents, until they have enough text; empty at the end.
fn read_chunk(documents: &mut Documents) -> Result<Vec<Document>, EvalError> {
    let (mut chunk, mut n_bytes) = (Vec::new(), 0);
    while n_bytes < CHUNK_TEXT_BYTES && chunk.len() < CHUNK_DOCUMENTS {
        let Some(document) = documents.next() else {
            break;
        };
        let document = document?;
        n_bytes += document.text.len();
        chunk.push(document);
    }
    Ok(chunk)
}

/// A corpus being written.
struct CorpusBuilder<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a TextOptions,
    writer: CorpusWriter,
    groups: DocumentGroups,
    text_bytes: Vec<u64>,
    first_token_bytes: Vec<u64>,
    very_first_bytes: (usize, u64),
    has_group: bool,
}

impl<'a> CorpusBuilder<'a> {
    fn new(tokenizer: &'a Tokenizer, options: &'a TextOptions, writer: CorpusWriter) -> Self {
        Self {
            tokenizer,
            options,
            writer,
            groups: DocumentGroups::default(),
            text_bytes: Vec::new(),
            first_token_bytes: Vec::new(),
            very_first_bytes: (0, 0),
            has_group: false,
        }
    }

    fn push(&mut self, chunk: &[Document]) -> Result<(), EvalError> {
        let texts: Vec<(&Document, &str)> = chunk
            .iter()
            .flat_map(|document| {
                self.pieces(&document.text)
                    .map(move |text| (document, text))
            })
            .collect();
        let encoded: Vec<Vec<u32>> = texts
            .par_iter()
            .map(|(document, text)| encode(self.tokenizer, document, text))
            .collect::<Result<_, _>>()?;
        for ((document, text), ids) in std::iter::zip(&texts, encoded) {
            self.push_document(document, text, ids)?;
        }
        Ok(())
    }

    /// The documents within one text.
    fn pieces<'t>(&self, text: &'t str) -> Box<dyn Iterator<Item = &'t str> + 't>
    where
        'a: 't,
    {
        let options = self.options;
        match &options.split_on {
            None => Box::new(std::iter::once(text)),
            Some(separator) => Box::new(
                text.split(separator.as_str())
                    .map(str::trim)
                    .filter(|piece| !piece.is_empty()),
            ),
        }
    }

    fn push_document(
        &mut self,
        document: &Document,
        text: &str,
        ids: Vec<u32>,
    ) -> Result<(), EvalError> {
        let Some(&first) = ids.first() else {
            return Ok(());
        };
        let TextOptions { bos, eod, .. } = self.options;
        let ids = [bos.as_slice(), &ids, eod].concat();
        self.writer.push_document(&ids, text.len() as u64)?;
        let group = self.group_of(document);
        let is_unpredicted = bos.is_empty() && !self.tokenizer.is_special(first);
        let first_bytes = match self.tokenizer.token_bytes(first) {
            Some(bytes) if is_unpredicted => (bytes.len() as u64).min(text.len() as u64),
            _ => 0,
        };
        if self.writer.n_documents() == 1 {
            self.very_first_bytes = (group, first_bytes);
        }
        self.text_bytes[group] += text.len() as u64;
        self.first_token_bytes[group] += first_bytes;
        Ok(())
    }

    /// The group of a document, added if new.
    fn group_of(&mut self, document: &Document) -> usize {
        self.has_group |= document.group.is_some();
        let name = document.group.as_deref().unwrap_or(NO_GROUP);
        let until = self.options.group_until.as_deref();
        let end = until.and_then(|until| name.find(until));
        self.groups.push(&name[..end.unwrap_or(name.len())]);
        self.text_bytes.resize(self.groups.names.len(), 0);
        self.first_token_bytes.resize(self.groups.names.len(), 0);
        self.groups
            .of_document
            .last()
            .map_or(0, |&group| group as usize)
    }

    fn finish(
        self,
        tally: crate::corpus::Tally,
        dir: tempfile::TempDir,
    ) -> Result<TextCorpus, EvalError> {
        if self.writer.n_documents() == 0 {
            return Err(TokensError::NoDocuments { tally }.into());
        }
        if let (Some(field), false) = (&self.options.group_by, self.has_group) {
            let field = field.clone();
            return Err(EvalError::NoGroups { field });
        }
        self.writer.finish(tally)?;
        let tokens = TokenCorpus::open(&dir.path().join("tokens"), &OpenOptions::default())?;
        Ok(TextCorpus {
            tokens,
            groups: self.options.group_by.is_some().then_some(self.groups),
            text_bytes: self.text_bytes,
            first_token_bytes: self.first_token_bytes,
            very_first_bytes: self.very_first_bytes,
            _dir: dir,
        })
    }
}

fn encode(tokenizer: &Tokenizer, document: &Document, text: &str) -> Result<Vec<u32>, TokensError> {
    let encoded = tokenizer.encode(text);
    encoded.map_err(|error| error.at(&document.location.to_string()))
}

#[cfg(test)]
mod tests;
