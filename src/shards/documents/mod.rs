//! Results for each document of a set: `documents/`, made from the sums in `scores/`.
//!
//! ```text
//! documents/part-00000.parquet   one row per document with a labelled target, by increasing doc_index
//! documents/documents.json       lists the files and what they were made from; written last
//! ```
//!
//! A document's sums are those of its pieces, added in text order, so they depend neither on shards nor on tasks. Id,
//! source and sizes come from the corpus's own list of documents, if it has one. `bits_per_byte` = nll_sum / (n_bytes
//! ln 2), only for documents whose every target is labelled: for others the size of the labelled part is unknown.
//! `format` has the rows and `columns` their table; `selection` is the file of selected documents.

mod columns;
mod format;
mod index;
mod read;
mod selection;
mod sums;
mod write;

#[cfg(test)]
mod tests;

pub(super) use columns::DOC_INDEX;
pub(super) use format::{DOCUMENTS_DIR, INDEX_NAME};
pub use format::{DocumentRow, DocumentScore};
pub use index::{CorpusSpelling, DocumentsIndex, DocumentsPart};
pub(super) use read::check_document_parts;
pub use read::{DocumentRows, open_documents};
pub(crate) use selection::DocumentSelectionWriter;
pub(super) use selection::FILE_KIND as DOCUMENT_SELECTION_KIND;
pub use selection::{
    DOCUMENT_SELECTION_VERSION, DocumentSelection, DocumentSelectionHead, SelectedDocument,
};
pub use write::{DocumentsOutcome, ListedDocuments, write_documents};
