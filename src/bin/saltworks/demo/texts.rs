//! The demo's text: generated, or a user's, cut and shuffled, with a part held out.

use super::Args;
use crate::common::exit::{Context, Result};
use crate::common::print;
use saltworks::corpus::{CorpusOptions, Documents, expand_inputs};
use saltworks::demo::{CorpusSettings, DemoError, write_corpus};
use saltworks::storage;
use std::io::BufRead;
use std::path::Path;

/// Longest document, bytes, so that a text in one long file has parts to hold out.
const MAX_DOCUMENT_BYTES: usize = 16 << 10;
/// One document in this many is held out.
const HELD_OUT_EVERY: usize = 16;
/// Minimum amount of useful text, bytes.
const MIN_TEXT_BYTES: usize = 200_000;

/// What was written.
pub(super) struct Texts {
    /// Documents to train on, and held out.
    pub(super) n_documents: [usize; 2],
    /// Bytes of text of both.
    pub(super) n_text_bytes: usize,
}

/// Writes the documents to train on and those held out, as JSON lines.
pub(super) fn write(args: &Args, megabytes: u64, corpus: &Path, held_out: &Path) -> Result<Texts> {
    let n_bytes = (megabytes * 1_000_000) as usize;
    let mut documents = match args.corpus.is_empty() {
        true => generated(args.seed, n_bytes)?,
        false => users(&args.corpus, n_bytes)?,
    };
    let n_text_bytes: usize = documents.iter().map(String::len).sum();
    if n_text_bytes < MIN_TEXT_BYTES {
        return Err(DemoError::TooLittleText {
            n_bytes: n_text_bytes,
            min_bytes: MIN_TEXT_BYTES,
        }
        .into());
    }
    shuffle(&mut documents, args.seed);
    let (held, kept): (Vec<_>, Vec<_>) = documents
        .iter()
        .enumerate()
        .partition(|(i, _)| i % HELD_OUT_EVERY == 0);
    write_lines(corpus, &kept)?;
    write_lines(held_out, &held)?;
    Ok(Texts {
        n_documents: [kept.len(), held.len()],
        n_text_bytes,
    })
}

fn generated(seed: u64, n_text_bytes: usize) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let settings = CorpusSettings {
        seed,
        n_text_bytes: n_text_bytes as u64,
    };
    write_corpus(&mut lines, &settings)?;
    let text_of = |line: std::io::Result<String>| {
        let document: serde_json::Value =
            serde_json::from_str(&line?).map_err(std::io::Error::from)?;
        Ok(document["text"].as_str().unwrap_or_default().to_owned())
    };
    lines.lines().map(text_of).collect()
}

/// The first documents, up to this many bytes of text.
fn users(inputs: &[String], n_bytes: usize) -> Result<Vec<String>> {
    let (mut pieces, mut left) = (Vec::new(), n_bytes);
    let files = expand_inputs(inputs, None)?;
    print::notes(files.left_out.notes());
    for document in Documents::open(files.paths, CorpusOptions::default())? {
        let document = document.context(
            "--corpus takes UTF-8 documents, in JSON and Parquet with the field `text`; the demo does not have the options of `tokenize`",
        )?;
        for piece in pieces_of(&document.text) {
            if piece.len() > left {
                return Ok(pieces);
            }
            left -= piece.len();
            pieces.push(piece.to_owned());
        }
    }
    Ok(pieces)
}

/// `text` in pieces of bounded length, cut after a paragraph, else a line, else a word, else
/// anywhere between two characters. Only pieces of white space are lost.
fn pieces_of(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut_of(rest));
        if !piece.trim().is_empty() {
            pieces.push(piece);
        }
        rest = behind;
    }
    pieces
}

fn cut_of(text: &str) -> usize {
    if text.len() <= MAX_DOCUMENT_BYTES {
        return text.len();
    }
    let window = &text[..text.floor_char_boundary(MAX_DOCUMENT_BYTES)];
    let behind = |separator: &str| window.rfind(separator).map(|at| at + separator.len());
    let cut = ["\n\n", "\n", " "].into_iter().find_map(behind);
    cut.unwrap_or(window.len())
}

/// By hashes of seed and place, so that the same documents come in the same order everywhere.
fn shuffle(documents: &mut Vec<String>, seed: u64) {
    let mut keyed: Vec<_> = std::mem::take(documents)
        .into_iter()
        .enumerate()
        .map(|(i, text)| {
            let key = [seed.to_le_bytes(), (i as u64).to_le_bytes()].concat();
            (*blake3::hash(&key).as_bytes(), text)
        })
        .collect();
    keyed.sort();
    documents.extend(keyed.into_iter().map(|(_, text)| text));
}

fn write_lines(path: &Path, documents: &[(usize, &String)]) -> Result<()> {
    let mut lines = Vec::new();
    for (i, text) in documents {
        let line = serde_json::json!({ "id": format!("{i:06}"), "text": text });
        lines.extend(format!("{line}\n").into_bytes());
    }
    Ok(storage::replace(path, &lines)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_where_a_paragraph_ends_and_nothing_is_lost() {
        let paragraph = "word ".repeat(600) + "\n\n";
        let text = paragraph.repeat(40);
        let pieces = pieces_of(&text);
        assert!(pieces.len() > 1);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_DOCUMENT_BYTES));
        assert!(pieces.iter().all(|piece| piece.ends_with("\n\n")));
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn a_text_without_any_space_is_cut_between_characters() {
        let text = "ß".repeat(MAX_DOCUMENT_BYTES);
        assert_eq!(pieces_of(&text).concat(), text);
    }

    #[test]
    fn a_seed_fixes_the_order() {
        let order = |seed| {
            let mut documents: Vec<String> = (0..50).map(|i| i.to_string()).collect();
            shuffle(&mut documents, seed);
            documents
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
