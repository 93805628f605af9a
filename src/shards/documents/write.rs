//! Writes `documents/`: sums joined with the corpus's list of documents.

use super::columns::{SOURCE, document_arrays, document_fields};
use super::format::{
    DOCUMENTS_DIR, DOCUMENTS_VERSION, DocumentRow, DocumentScore, bits_per_byte, scores_of,
};
use super::index::{CorpusSpelling, DocumentsIndex, DocumentsPart};
use super::sums::{DocumentSums, Gathered, RUN_ROWS, gather};
use crate::shards::ShardsError;
use crate::shards::label_set::LabelSet;
use crate::shards::names::{MANIFEST_NAME, part_name, shard_of_part};
use crate::shards::place;
use crate::shards::plan::PlanSequences;
use crate::shards::properties::key_values;
use crate::shards::selection::labels_fingerprint;
use crate::shards::sidecar::SidecarFile;
use crate::shards::table::TableWriter;
use crate::signals::TargetSums;
use crate::storage::{self, Partial, table_properties};
use crate::tokens::{DocumentEntry, Packing};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::path::Path;

/// Names the format, not the library: the file's bytes must not change with a release.
const CREATED_BY: &str = "saltworks-documents version 1.0.0";
/// Rows per file.
const PART_ROWS: u64 = 1 << 20;

/// The outcome of [`write_documents`].
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentsOutcome {
    /// The documents are there, written now or before.
    Written(Box<DocumentsIndex>),
    /// This shard was made by a version of Saltworks that stores no sums of documents.
    WithoutSums {
        /// The first such shard.
        shard: u32,
    },
}

/// A corpus's list of its documents.
#[derive(Debug)]
pub struct ListedDocuments<I> {
    /// All of them, in order.
    pub entries: I,
    /// Whether their tokens spell their text, if known.
    pub spelling: Option<CorpusSpelling>,
}

/// Writes the documents of a finished set, replacing earlier ones; those of the same shards stay. `listed` are the
/// documents of the whole corpus, if known.
///
/// # Errors
/// A set that is not finalized, or damaged; entries of another corpus, or unreadable ones; I/O.
pub fn write_documents<E, I>(
    set: &LabelSet,
    listed: Option<ListedDocuments<I>>,
) -> Result<DocumentsOutcome, E>
where
    E: From<ShardsError>,
    I: Iterator<Item = Result<DocumentEntry, E>>,
{
    write_with_runs(set, listed, RUN_ROWS)
}

/// Like [`write_documents`], sorting `run_rows` rows in memory at a time.
pub(super) fn write_with_runs<E, I>(
    set: &LabelSet,
    listed: Option<ListedDocuments<I>>,
    run_rows: usize,
) -> Result<DocumentsOutcome, E>
where
    E: From<ShardsError>,
    I: Iterator<Item = Result<DocumentEntry, E>>,
{
    set.finished_manifest()?;
    let spelling = listed.as_ref().and_then(|listed| listed.spelling);
    let start = start_index(set, listed.is_some(), spelling)?;
    if let Some(existing) = same_documents(set, &start)? {
        return Ok(DocumentsOutcome::Written(Box::new(existing)));
    }
    // It is of other shards: a concurrent reader would get their sums.
    remove_index(&set.dir)?;
    let sums = match gather(set, run_rows)? {
        Gathered::Sums(sums) => sums,
        Gathered::Without(shard) => return Ok(DocumentsOutcome::WithoutSums { shard }),
    };
    let mut writer = Writer::new(&set.dir, start);
    let entries = listed.map(|listed| listed.entries);
    join(set, sums, entries, |row| writer.push(row))?;
    Ok(DocumentsOutcome::Written(Box::new(writer.finish()?)))
}

/// The index before counting.
fn start_index(
    set: &LabelSet,
    has_sources: bool,
    spelling: Option<CorpusSpelling>,
) -> Result<DocumentsIndex, ShardsError> {
    let plan = &set.segments[0];
    let manifest = storage::hash_file(&set.dir.join(MANIFEST_NAME))?;
    Ok(DocumentsIndex {
        format_version: DOCUMENTS_VERSION,
        labels_fingerprint: labels_fingerprint(set),
        manifest_blake3: manifest.blake3,
        corpus_fingerprint: plan.corpus.fingerprint.clone(),
        teacher_fingerprint: plan.teacher.fingerprint.clone(),
        tokenizer_fingerprint: plan.tokenizer.as_ref().map(|t| t.fingerprint.clone()),
        has_sources,
        spelling,
        n_documents: 0,
        n_whole: 0,
        n_bytes_whole: 0,
        bits_per_byte: None,
        n_targets: 0,
        parts: Vec::new(),
    })
}

/// The existing index, if it is of the same shards, is no less complete, and its files match it.
fn same_documents(
    set: &LabelSet,
    start: &DocumentsIndex,
) -> Result<Option<DocumentsIndex>, ShardsError> {
    let existing = match DocumentsIndex::read(&set.dir) {
        Ok(existing) => existing,
        // It will be rewritten.
        Err(ShardsError::Documents { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(existing) = existing else {
        return Ok(None);
    };
    let is_same = existing.manifest_blake3 == start.manifest_blake3
        && existing.labels_fingerprint == start.labels_fingerprint
        && (existing.has_sources || !start.has_sources)
        && (existing.spelling == start.spelling || start.spelling.is_none());
    let mut files = existing.parts.iter().map(|part| &part.file);
    let is_whole = files.all(|file| crate::shards::sidecar::check_file(&set.dir, file).is_ok());
    Ok(Some(existing).filter(|_| is_same && is_whole))
}

fn remove_index(dir: &Path) -> Result<(), ShardsError> {
    Ok(storage::remove_file(&DocumentsIndex::path(dir))?)
}

/// Calls `on_row` for every document with sums, with its entry if there are entries.
fn join<E, I>(
    set: &LabelSet,
    sums: DocumentSums,
    entries: Option<I>,
    mut on_row: impl FnMut(Joined) -> Result<(), ShardsError>,
) -> Result<(), E>
where
    E: From<ShardsError>,
    I: Iterator<Item = Result<DocumentEntry, E>>,
{
    let plan = &set.segments[0];
    let fault = |reason: String| ShardsError::Documents {
        path: set.dir.join(DOCUMENTS_DIR),
        reason,
    };
    let Some(mut entries) = entries else {
        return Ok(sums.into_iter().try_for_each(|next| {
            next.and_then(|(doc, sums)| on_row(Joined::alone(doc, &sums)))
        })?);
    };
    let mut unpredicted = Unpredicted::new(&plan.sequences);
    let mut next_entry = || match entries.next().transpose()? {
        None => Ok(None),
        Some(entry) => Ok::<_, E>(Some((unpredicted.of(&entry), entry))),
    };
    for next in sums {
        let (doc_index, sums) = next?;
        let (n_unpredicted, entry) = loop {
            match next_entry()? {
                Some((_, entry)) if entry.doc_index < doc_index => {}
                Some(found) if found.1.doc_index == doc_index => break found,
                _ => Err(fault(format!(
                    "the labels have a document {doc_index}, which the corpus does not list"
                )))?,
            }
        };
        let n_predicted = entry.n_tokens.saturating_sub(n_unpredicted);
        if sums.n_targets > n_predicted {
            Err(fault(format!(
                "document {doc_index} has {} targets, but {} tokens in the corpus",
                sums.n_targets, entry.n_tokens
            )))?;
        }
        on_row(Joined::with_entry(entry, &sums, n_predicted))?;
    }
    // To the end, where the list is compared with the corpus.
    while next_entry()?.is_some() {}
    Ok(())
}

/// How many tokens of a document are not targets when all sequences are labelled.
struct Unpredicted {
    has_sequence_bos: bool,
    packing: Packing,
    had_tokens: bool,
}

impl Unpredicted {
    fn new(sequences: &PlanSequences) -> Self {
        Unpredicted {
            has_sequence_bos: sequences.sequence_bos.is_some(),
            packing: sequences.packing,
            had_tokens: false,
        }
    }

    /// The number for the next document.
    fn of(&mut self, entry: &DocumentEntry) -> u64 {
        let is_first = !self.had_tokens && entry.n_tokens > 0;
        self.had_tokens |= is_first;
        match self.packing {
            _ if self.has_sequence_bos => 0,
            Packing::Document => 1,
            // The very first token of the corpus.
            Packing::Concat => u64::from(is_first),
        }
    }
}

/// A row, and whether every target of its document is known to be labelled.
struct Joined {
    row: DocumentRow,
    is_whole: bool,
}

impl Joined {
    fn alone(doc_index: u64, sums: &TargetSums) -> Self {
        let row = DocumentRow {
            doc_index,
            n_targets: sums.n_targets,
            scores: scores_of(sums, None),
            ..DocumentRow::default()
        };
        Joined {
            row,
            is_whole: false,
        }
    }

    fn with_entry(entry: DocumentEntry, sums: &TargetSums, n_predicted: u64) -> Self {
        let is_whole = sums.n_targets == n_predicted;
        let row = DocumentRow {
            doc_index: entry.doc_index,
            id: entry.id,
            source: Some(entry.source),
            record: Some(entry.record),
            n_tokens: Some(entry.n_tokens),
            n_targets: sums.n_targets,
            n_bytes: Some(entry.n_bytes),
            scores: scores_of(sums, Some(entry.n_bytes).filter(|_| is_whole)),
        };
        Joined { row, is_whole }
    }
}

/// Writes rows to file after file, and the index at the end.
struct Writer<'a> {
    dir: &'a Path,
    index: DocumentsIndex,
    /// Total NLL of the completely labelled documents, nats.
    nll_whole: f64,
    part: Option<Part>,
}

/// A file being written.
struct Part {
    name: String,
    table: TableWriter<DocumentRow, Partial>,
    n_rows: u64,
}

impl<'a> Writer<'a> {
    fn new(dir: &'a Path, index: DocumentsIndex) -> Self {
        Writer {
            dir,
            index,
            nll_whole: 0.0,
            part: None,
        }
    }

    fn push(&mut self, Joined { row, is_whole }: Joined) -> Result<(), ShardsError> {
        self.index.n_documents += 1;
        if is_whole {
            self.index.n_whole += 1;
            self.index.n_bytes_whole += row.n_bytes.unwrap_or(0);
            self.nll_whole += row.score(DocumentScore::NllSum).unwrap_or(f64::INFINITY);
        }
        self.index.n_targets += row.n_targets;
        let mut part = match self.part.take() {
            Some(part) => part,
            None => Part::create(self.dir, &self.index)?,
        };
        part.push(row)?;
        match part.n_rows < PART_ROWS {
            true => self.part = Some(part),
            false => self.index.parts.push(part.publish()?),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<DocumentsIndex, ShardsError> {
        if let Some(part) = self.part.take() {
            self.index.parts.push(part.publish()?);
        }
        let bits = bits_per_byte(self.nll_whole, self.index.n_bytes_whole);
        self.index.bits_per_byte = bits.filter(|_| self.index.n_whole > 0);
        remove_parts_after(self.dir, self.index.parts.len())?;
        self.index.write(self.dir)?;
        Ok(self.index)
    }
}

/// Removes files of earlier documents beyond the current number.
fn remove_parts_after(dir: &Path, n_parts: usize) -> Result<(), ShardsError> {
    let documents = dir.join(DOCUMENTS_DIR);
    for name in place::names_in(&documents)? {
        if shard_of_part(&name).is_some_and(|part| part as usize >= n_parts) {
            storage::remove_file(&documents.join(name))?;
        }
    }
    Ok(())
}

impl Part {
    fn create(dir: &Path, index: &DocumentsIndex) -> Result<Self, ShardsError> {
        let number = index.parts.len() as u32;
        let documents = dir.join(DOCUMENTS_DIR);
        storage::make_dirs(&documents)?;
        let path = documents.join(part_name(number));
        let partial = Partial::create(&path)?;
        let properties = properties(index, number);
        let columns_of = |rows: &[DocumentRow]| document_arrays(rows.iter());
        Ok(Part {
            name: format!("{DOCUMENTS_DIR}/{}", part_name(number)),
            table: TableWriter::create(&path, partial, document_fields(), properties, columns_of)?,
            n_rows: 0,
        })
    }

    fn push(&mut self, row: DocumentRow) -> Result<(), ShardsError> {
        self.n_rows += 1;
        self.table.push(row)
    }

    fn publish(self) -> Result<DocumentsPart, ShardsError> {
        let (path, groups) = self.table.finish()?;
        let partial = groups.finish();
        let partial = partial.map_err(|error| ShardsError::of_encoder(&path, error))?;
        let sealed = partial.seal()?;
        let file = SidecarFile::new(self.name, sealed.hash.clone());
        sealed.replace()?;
        Ok(DocumentsPart {
            rows: self.n_rows,
            file,
        })
    }
}

fn properties(index: &DocumentsIndex, part: u32) -> WriterProperties {
    let metadata = [
        ("format_version", DOCUMENTS_VERSION.to_string()),
        ("file", DOCUMENTS_DIR.to_owned()),
        ("part", part.to_string()),
        ("labels_fingerprint", index.labels_fingerprint.clone()),
        ("corpus_fingerprint", index.corpus_fingerprint.clone()),
        ("teacher_fingerprint", index.teacher_fingerprint.clone()),
    ];
    let metadata = metadata.map(|(key, value)| (format!("saltworks.{key}"), value));
    table_properties(CREATED_BY)
        .set_column_dictionary_enabled(ColumnPath::from(SOURCE), true)
        .set_key_value_metadata(Some(key_values(metadata)))
        .build()
}
