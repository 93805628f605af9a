//! Raw files have no index: a separator id before or after each document marks the boundaries.

use super::error::TokensError;
use super::index::{DocumentIndex, TableBuilder};
use super::token_file::TokenFile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Position of the id that separates documents.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum EodPosition {
    /// The first id of each document (llm.c's own files).
    Front,
    /// The last id of each document.
    Back,
}

/// Documents of a raw file split at an id.
pub(super) struct Split {
    pub(super) index: DocumentIndex,
    pub(super) position: EodPosition,
    /// A note for the user.
    pub(super) note: Option<String>,
}

/// Splits at `eod`. If `explicit` does not give the side, the two ends of the file decide: if it begins with the id and
/// does not end with it, the id is in front.
pub(super) fn split(
    tokens: &TokenFile,
    eod: u32,
    explicit: Option<EodPosition>,
) -> Result<Split, TokensError> {
    let ends = Ends::of(tokens, eod)?;
    let position = explicit.unwrap_or_else(|| ends.position());
    let (index, n_found) = split_at(tokens, eod, position)?;
    let note = match n_found {
        _ if tokens.n_tokens() == 0 => None,
        0 => Some(format!(
            "id {eod} does not occur in the file, which is treated as one document (--eod is the id that separates documents)"
        )),
        _ if explicit.is_some() => None,
        _ => ends.note(eod),
    };
    Ok(Split {
        index,
        position,
        note,
    })
}

/// Whether the first and the last id of a file are separators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    begins: bool,
    ends: bool,
}

impl Ends {
    fn of(tokens: &TokenFile, eod: u32) -> Result<Self, TokensError> {
        let n = tokens.n_tokens();
        if n == 0 {
            return Ok(Self {
                begins: false,
                ends: false,
            });
        }
        let id_at = |offset| {
            let mut id = [0];
            tokens.copy(offset, &mut id).map(|()| id[0] == eod)
        };
        Ok(Self {
            begins: id_at(0)?,
            ends: id_at(n - 1)?,
        })
    }

    fn position(self) -> EodPosition {
        match (self.begins, self.ends) {
            (true, false) => EodPosition::Front,
            _ => EodPosition::Back,
        }
    }

    fn note(self, eod: u32) -> Option<String> {
        match (self.begins, self.ends) {
            (true, false) => Some(format!(
                "the file begins with id {eod} and does not end with it, so each document is assumed to begin with it (--eod-position front; if it ends them, pass --eod-position back)"
            )),
            (true, true) => Some(format!(
                "the file begins and ends with id {eod}: each document is assumed to end with it (if it begins them, pass --eod-position front)"
            )),
            (false, false) => Some(format!(
                "the file neither begins nor ends with id {eod}: each document is assumed to end with it (if it begins them, pass --eod-position front)"
            )),
            (false, true) => None,
        }
    }
}

/// The documents, and how often the id occurs.
fn split_at(
    tokens: &TokenFile,
    eod: u32,
    position: EodPosition,
) -> Result<(DocumentIndex, u64), TokensError> {
    let mut table = TableBuilder::default();
    let mut n_found = 0;
    let mut starts_next = true;
    tokens.for_each_block(0..tokens.n_tokens(), |offset, ids| {
        for (token, &id) in (offset..).zip(ids) {
            let is_eod = id == eod;
            n_found += u64::from(is_eod);
            if starts_next || (is_eod && position == EodPosition::Front) {
                table.push_start(token)?;
            }
            starts_next = is_eod && position == EodPosition::Back;
        }
        Ok(())
    })?;
    Ok((table.finish(tokens.n_tokens())?, n_found))
}
