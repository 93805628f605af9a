//! A token corpus of some inputs, and a selection from its documents.

use crate::corpus::{CorpusOptions, Documents};
use crate::filter::{FilterError, FilterOptions, Job, Request, Summary};
use crate::interrupt::Interrupt;
use crate::shards::{
    DOCUMENT_SELECTION_VERSION, DocumentRow, DocumentScore, DocumentSelectionHead,
    DocumentSelectionWriter, SelectedDocument,
};
use crate::storage::Partial;
use crate::tokens::{
    CorpusJson, CorpusWriter, DocumentEntry, DocumentReader, EncodeOptions, Tokenizer,
    TrainOptions, WriterSettings, encode_documents, train_bpe,
};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Inputs in a folder of their own, and the files made from them beside it.
pub(super) struct Setup {
    pub(super) dir: tempfile::TempDir,
    pub(super) inputs: Vec<PathBuf>,
    pub(super) reading: CorpusOptions,
}

impl Setup {
    pub(super) fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |(name, bytes): &(&str, Vec<u8>)| {
            let path = dir.path().join("in").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        };
        let inputs = files.iter().map(write).collect();
        let reading = CorpusOptions {
            skip_bad_lines: true,
            ..CorpusOptions::default()
        };
        Self {
            dir,
            inputs,
            reading,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The output called `name`.
    pub(super) fn output(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("out").join(name)).unwrap()
    }

    /// Makes the token corpus.
    pub(super) fn tokenize(&self) -> CorpusJson {
        let open = || Documents::open(self.inputs.clone(), self.reading.clone()).unwrap();
        let training = TrainOptions {
            vocab_size: 300,
            special_tokens: vec!["<e>".into()],
            max_text_bytes: 100_000,
        };
        let json = train_bpe(open(), &training, |_| {}).unwrap().json;
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), Path::new("t")).unwrap();
        let settings = WriterSettings::default();
        let corpus = self.path("tokens");
        let mut writer = CorpusWriter::create(&corpus, &tokenizer, settings).unwrap();
        let options = EncodeOptions::default();
        let go_on = |_: &_| ControlFlow::Continue(());
        let tally = encode_documents(open(), &tokenizer, &options, &mut writer, go_on).unwrap();
        writer.finish(tally).unwrap()
    }

    /// The corpus's description.
    pub(super) fn corpus_json(&self) -> CorpusJson {
        let path = self.path("tokens/corpus.json");
        CorpusJson::read(&path).unwrap().unwrap()
    }

    pub(super) fn documents(&self, json: &CorpusJson) -> Vec<DocumentEntry> {
        let reader = DocumentReader::open(&self.path("tokens"), json).unwrap();
        reader.unwrap().map(Result::unwrap).collect()
    }

    /// Makes the corpus, and a selection of the documents whose number `is_kept` accepts.
    pub(super) fn select(&self, is_kept: impl Fn(u64) -> bool) -> Vec<DocumentEntry> {
        let json = self.tokenize();
        let documents = self.documents(&json);
        let rows: Vec<(u64, bool)> = documents
            .iter()
            .map(|document| (document.doc_index, is_kept(document.doc_index)))
            .collect();
        write_selection(&self.path("selection.parquet"), &json.fingerprint(), &rows);
        documents
    }

    pub(super) fn request(&self, options: FilterOptions) -> Request {
        Request {
            inputs: self.inputs.clone(),
            reading: self.reading.clone(),
            corpus: self.path("tokens"),
            selection: self.path("selection.parquet"),
            output: self.path("out"),
            options,
        }
    }

    pub(super) fn filter(&self, options: FilterOptions) -> Result<Summary, FilterError> {
        run(self.request(options))
    }
}

pub(super) fn run(request: Request) -> Result<Summary, FilterError> {
    Job::open(request, &Interrupt::new())?.run(|_| {})
}

/// The score of document number `doc_index` in the selections of this file.
pub(super) fn score_of(doc_index: u64) -> f64 {
    doc_index as f64 / 8.0 - 1.0
}

/// The value of its other scores, in the valid range of all of them.
pub(super) fn value_of(doc_index: u64) -> f64 {
    (doc_index % 8) as f64 / 8.0
}

/// Writes a selection with `rows`: each a document and whether it is kept.
pub(super) fn write_selection(path: &Path, fingerprint: &str, rows: &[(u64, bool)]) {
    let head = DocumentSelectionHead {
        version: DOCUMENT_SELECTION_VERSION,
        corpus_fingerprint: fingerprint.to_owned(),
        labels_fingerprint: format!("blake3:{}", "1".repeat(64)),
        minus_fingerprint: None,
        policy: "by hand".into(),
        n_documents: rows.len() as u64,
        n_kept: rows.iter().filter(|(_, is_kept)| *is_kept).count() as u64,
        n_tokens: 0,
        n_tokens_kept: 0,
    };
    let partial = Partial::create(path).unwrap();
    let mut writer = DocumentSelectionWriter::create(path, partial, &head).unwrap();
    for (doc_index, kept) in rows {
        let mut document = DocumentRow {
            doc_index: *doc_index,
            n_targets: 1,
            scores: [Some(value_of(*doc_index)); 7],
            ..DocumentRow::default()
        };
        document.scores[DocumentScore::BitsPerByte as usize] = None;
        let row = SelectedDocument {
            score: Some(score_of(*doc_index)),
            rank: Some(*doc_index),
            kept: *kept,
            document,
        };
        writer.push(row).unwrap();
    }
    writer.publish().unwrap();
}

/// Compressed as by `filter` itself.
pub(super) fn compressed(bytes: &[u8], compression: crate::corpus::Compression) -> Vec<u8> {
    let mut out = crate::filter::compress::Compressor::new(Vec::new(), compression).unwrap();
    out.push(bytes).unwrap();
    out.finish().unwrap()
}

/// The content of a file, decompressed by the readers of inputs.
pub(super) fn decompressed(path: &Path) -> Vec<u8> {
    use crate::corpus::{RawContents, RawFile};
    let (options, interrupt) = (CorpusOptions::default(), Interrupt::new());
    let mut file = RawFile::open(path, &options, &std::sync::Arc::default(), &interrupt).unwrap();
    let mut bytes = Vec::new();
    match &mut file.contents {
        RawContents::Lines(lines) => {
            while let Some(line) = lines.next_line().unwrap() {
                bytes.extend_from_slice(line.mark);
                bytes.extend_from_slice(line.bytes);
            }
        }
        RawContents::Text(text) => {
            let mut block = [0; 1000];
            loop {
                let n = text.read(&mut block).unwrap();
                if n == 0 {
                    break;
                }
                bytes.extend_from_slice(&block[..n]);
            }
        }
        RawContents::Parquet => panic!("Parquet is not decompressed"),
    }
    bytes
}
