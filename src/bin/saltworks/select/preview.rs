//! What was kept and dropped, as text: beginnings of a few sequences of each kind.

use super::Args;
use crate::common::exit::Result;
use saltworks::select::{Example, Examples};
use saltworks::shards::{LabelSet, Plan};
use saltworks::storage::sampled_blake3;
use saltworks::tokens::{
    EodPosition, OpenOptions, SequenceView, TokenCorpus, Tokenizer, ViewOptions,
};
use saltworks::view::report::matching_tokenizer;
use saltworks::view::{RowChoice, ViewError, printable, read_row};
use serde::Serialize;
use std::path::Path;

/// Tokens that are decoded of a sequence.
const N_TOKENS: usize = 64;
/// Characters that are shown of them.
const N_CHARS: usize = 200;

/// Where text comes from.
pub(super) struct Source {
    tokenizer: Option<Tokenizer>,
    /// Where the labels hold no tokens.
    corpus: Option<TokenCorpus>,
}

/// A few sequences of each kind.
#[derive(Serialize)]
pub(super) struct Preview {
    hardest_kept: Vec<Beginning>,
    median: Vec<Beginning>,
    unlearnable: Vec<Beginning>,
}

/// One sequence with its first tokens as text.
#[derive(Serialize)]
struct Beginning {
    #[serde(flatten)]
    example: Example,
    text: String,
}

impl Source {
    /// Opens what a preview needs, if one was requested.
    pub(super) fn open(args: &Args, labels: &LabelSet) -> Result<Option<Self>> {
        if !args.preview {
            return Ok(None);
        }
        let plan = &labels.segments[0];
        let tokenizer = args.tokenizer.clone().or(labels.tokenizer_path()?);
        let tokenizer = tokenizer
            .map(|path| matching_tokenizer(&path, plan))
            .transpose()?;
        let corpus = match (plan.signals.has_positions(), &args.tokens) {
            (_, Some(tokens)) => Some(open_corpus(tokens, plan)?),
            (true, None) => None,
            (false, None) => {
                let dir = labels.dir.clone();
                return Err(ViewError::NoTokens { dir }.into());
            }
        };
        Ok(Some(Source { tokenizer, corpus }))
    }

    pub(super) fn preview(&self, labels: &LabelSet, examples: &Examples) -> Result<Preview> {
        let all = |examples: &[Example]| -> Result<Vec<Beginning>> {
            let beginning = |&example: &Example| {
                let text = self.text(&self.input_ids(labels, example.seq_id)?);
                Ok(Beginning { example, text })
            };
            examples.iter().map(beginning).collect()
        };
        Ok(Preview {
            hardest_kept: all(&examples.hardest_kept)?,
            median: all(&examples.median)?,
            unlearnable: all(&examples.unlearnable)?,
        })
    }

    fn input_ids(&self, labels: &LabelSet, seq_id: u64) -> Result<Vec<u32>> {
        let Some(corpus) = &self.corpus else {
            let (row, _) = read_row(labels, RowChoice::SeqId(seq_id))?;
            return Ok(row.input_ids);
        };
        let sequences = &labels.segments[0].sequences;
        let options = ViewOptions {
            packing: sequences.packing,
            seq_len: sequences.seq_len,
            sequence_bos: sequences.sequence_bos,
        };
        Ok(SequenceView::new(corpus, options)?.read(seq_id)?.input_ids)
    }

    fn text(&self, input_ids: &[u32]) -> String {
        let ids = &input_ids[..input_ids.len().min(N_TOKENS)];
        let text = match &self.tokenizer {
            Some(tokenizer) => tokenizer.decode(ids),
            None => ids.iter().map(|id| format!("<{id}>")).collect(),
        };
        text.chars().take(N_CHARS).collect()
    }
}

/// The corpus that was labelled, checked by samples of its files: another one would be cut into other
/// sequences.
fn open_corpus(path: &Path, plan: &Plan) -> Result<TokenCorpus> {
    let options = OpenOptions {
        format: Some(plan.corpus.format),
        dtype: plan.corpus.dtype,
        eod: plan.corpus.eod,
        // Absent from plans of files that were split at the end of documents.
        eod_position: (plan.corpus.eod)
            .map(|_| plan.corpus.eod_position.unwrap_or(EodPosition::Back)),
    };
    let corpus = TokenCorpus::open(path, &options)?;
    let got = corpus.local_files().iter().map(|file| sampled_blake3(file));
    let got: Vec<String> = got.collect::<Result<_, _>>()?;
    let expected = plan.corpus.files.iter().map(|file| &file.sampled_blake3);
    if !got.iter().eq(expected) {
        let path = path.to_path_buf();
        return Err(ViewError::OtherCorpus { path }.into());
    }
    Ok(corpus)
}

impl Preview {
    pub(super) fn render(&self) -> String {
        let parts = [
            ("hardest kept", &self.hardest_kept),
            ("near the median", &self.median),
            ("least learnable", &self.unlearnable),
        ];
        let bold = anstyle::Style::new().bold();
        let part = |(title, beginnings): (&str, &Vec<Beginning>)| {
            let lines: String = beginnings.iter().map(Beginning::render).collect();
            format!("\n{bold}{title}{bold:#}\n{lines}")
        };
        parts.into_iter().map(part).collect()
    }
}

/// Lines joined, for a terminal.
fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Beginning {
    fn render(&self) -> String {
        let example = &self.example;
        let score = example
            .score
            .map_or("none".to_owned(), |s| format!("{s:.3}"));
        let kept = if example.kept { "kept" } else { "dropped" };
        format!(
            "  sequence {}: score {score}, {:.0}% learnable, {kept}\n    {}\n",
            example.seq_id,
            100.0 * example.learnable_fraction,
            printable(&on_one_line(&self.text))
        )
    }
}
