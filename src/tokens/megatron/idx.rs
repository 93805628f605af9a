//! Reads an `.idx`; nothing in it is trusted before it is checked.

use crate::error::{Classified, Kind};
use crate::tokens::dtype::Dtype;

/// The first bytes of every `.idx`.
pub const MAGIC: [u8; 9] = *b"MMIDIDX\0\0";
/// The tables start here.
pub const HEADER_BYTES: u64 = 34;
pub(super) const VERSION: u64 = 1;
const OLD_MAGIC: &[u8] = b"TNTIDX\0\0";

/// What is wrong with an `.idx`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdxFault {
    /// Shorter than its header.
    #[error("it has {got} bytes, less than a header ({HEADER_BYTES})")]
    TooShort {
        /// Its size, bytes.
        got: u64,
    },
    /// Another kind of file.
    #[error("it does not start with Megatron's magic number")]
    Magic,
    /// An index from before Megatron's memory-mapped files.
    #[error("it has the old format (TNTIDX) of fairseq and Megatron")]
    OldFormat,
    /// An unknown version.
    #[error("it has version {got}, expected version 1")]
    Version {
        /// The version found.
        got: u64,
    },
    /// A dtype of ids that is not an integer type, or unknown.
    #[error("its dtype code is {code} ({}), expected an integer type (1 to 5, or 8)", name_of_code(*code))]
    DtypeCode {
        /// The code found.
        code: u8,
    },
    /// Impossible counts.
    #[error("its counts are impossible: {n_sequences} sequences and {n_entries} document entries")]
    Counts {
        /// Number of sequences as stated.
        n_sequences: u64,
        /// Number of document entries as stated.
        n_entries: u64,
    },
    /// Sequences that are not text.
    #[error("it is a multimodal index: sequence {sequence} has mode {mode}, where text has 0")]
    Mode {
        /// The first such sequence.
        sequence: u64,
        /// Its mode.
        mode: u8,
    },
    /// Counts that do not fit the file.
    #[error(
        "its {n_sequences} sequences and {n_entries} document entries need {expected} bytes, but it has {got}"
    )]
    Size {
        /// Number of sequences as stated.
        n_sequences: u64,
        /// Number of document entries as stated.
        n_entries: u64,
        /// Header and tables, bytes.
        expected: u64,
        /// Its size, bytes.
        got: u64,
    },
    /// A negative length.
    #[error("sequence {sequence} has length {length}")]
    Length {
        /// The sequence.
        sequence: u64,
        /// Its length.
        length: i32,
    },
    /// A sequence that does not start where the one before ended.
    #[error("sequence {sequence} starts at byte {got} of the .bin, expected {expected}: {}", if *got < *expected as i64 { "it overlaps the previous one" } else { "there is a gap before it" })]
    Pointer {
        /// The sequence.
        sequence: u64,
        /// End of the sequence before it, bytes.
        expected: u64,
        /// The pointer found.
        got: i64,
    },
    /// A `.bin` of another size.
    #[error("its sequences end at byte {expected} of the .bin, which has {got} bytes")]
    BinSize {
        /// End of the last sequence, bytes.
        expected: u64,
        /// Size of the `.bin`, bytes.
        got: u64,
    },
    /// A document that starts at an impossible sequence.
    #[error(
        "document entry {entry} is {got}, expected {min} to {max} (the first is 0, none is below the previous one, the last is the number of sequences)"
    )]
    DocumentEntry {
        /// The entry.
        entry: u64,
        /// The entry before it.
        min: u64,
        /// The largest allowed.
        max: u64,
        /// The entry found.
        got: i64,
    },
}

impl Classified for IdxFault {
    fn kind(&self) -> Kind {
        Kind::BadData
    }
}

impl IdxFault {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            IdxFault::Magic => {
                "give the .idx that was written with the .bin, or the .bin under another name if it is a raw token file"
            }
            IdxFault::OldFormat => "write the tokens again with --dataset-impl mmap",
            IdxFault::Version { .. } => {
                "write the tokens with a Megatron whose index is of version 1"
            }
            IdxFault::DtypeCode { code: 6 | 7 } => {
                "its .bin contains numbers that are not token ids: give the token files"
            }
            IdxFault::Mode { .. } => "label only the sequences of text, from files of their own",
            IdxFault::BinSize { .. } => {
                "it belongs to another .bin, or one of the two is truncated: give the two that were written together, or fetch them again"
            }
            IdxFault::TooShort { .. } | IdxFault::Size { .. } => {
                "it is truncated or too long: fetch it again, or write the token files again"
            }
            IdxFault::DtypeCode { .. }
            | IdxFault::Counts { .. }
            | IdxFault::Length { .. }
            | IdxFault::Pointer { .. }
            | IdxFault::DocumentEntry { .. } => "it is damaged: write the token files again",
        }
    }
}

fn name_of_code(code: u8) -> &'static str {
    match code {
        6 => "f32, or f64 in newer versions",
        7 => "f64, or f32 in newer versions",
        _ => "unknown",
    }
}

/// The header of a validated `.idx`; the methods read the tables from the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdxLayout {
    /// Type of the ids in the `.bin`.
    pub dtype: Dtype,
    /// Number of sequences.
    pub n_sequences: u64,
    /// Number of documents.
    pub n_documents: u64,
    /// Number of tokens in the `.bin`.
    pub n_tokens: u64,
    /// Whether a mode follows for each sequence, as in multimodal data sets; all are 0.
    pub has_modes: bool,
}

/// Checks all of an `.idx` against the size of its `.bin`.
///
/// # Errors
/// The first fault found.
pub fn validate_idx(bytes: &[u8], bin_bytes: u64) -> Result<IdxLayout, IdxFault> {
    let mut layout = read_header(bytes)?;
    layout.n_tokens = check_sequences(&layout, bytes, bin_bytes)?;
    check_documents(&layout, bytes)?;
    check_modes(&layout, bytes)?;
    Ok(layout)
}

fn read_header(bytes: &[u8]) -> Result<IdxLayout, IdxFault> {
    let got = bytes.len() as u64;
    if !bytes.starts_with(&MAGIC) {
        return Err(if bytes.starts_with(OLD_MAGIC) {
            IdxFault::OldFormat
        } else if MAGIC.starts_with(bytes) {
            IdxFault::TooShort { got }
        } else {
            IdxFault::Magic
        });
    }
    if got < HEADER_BYTES {
        return Err(IdxFault::TooShort { got });
    }
    let version = u64_at(bytes, 9);
    if version != VERSION {
        return Err(IdxFault::Version { got: version });
    }
    let code = bytes[17];
    let dtype = Dtype::of_megatron_code(code).ok_or(IdxFault::DtypeCode { code })?;
    let (n_sequences, n_entries) = (u64_at(bytes, 18), u64_at(bytes, 26));
    let counts = IdxFault::Counts {
        n_sequences,
        n_entries,
    };
    let n_documents = n_entries.checked_sub(1).ok_or(counts.clone())?;
    let expected = table_bytes(n_sequences, n_entries).ok_or(counts)?;
    let has_modes = n_sequences > 0 && expected.checked_add(n_sequences) == Some(got);
    if expected != got && !has_modes {
        return Err(IdxFault::Size {
            n_sequences,
            n_entries,
            expected,
            got,
        });
    }
    Ok(IdxLayout {
        dtype,
        n_sequences,
        n_documents,
        n_tokens: 0,
        has_modes,
    })
}

fn table_bytes(n_sequences: u64, n_entries: u64) -> Option<u64> {
    let sequences = n_sequences.checked_mul(4 + 8)?;
    n_entries
        .checked_mul(8)?
        .checked_add(sequences)?
        .checked_add(HEADER_BYTES)
}

/// Sequences must cover the `.bin` from its first byte to its last; returns the number of tokens.
fn check_sequences(layout: &IdxLayout, bytes: &[u8], bin_bytes: u64) -> Result<u64, IdxFault> {
    let (mut n_tokens, mut end) = (0_u64, 0_u64);
    for sequence in 0..layout.n_sequences {
        let length = layout.length(bytes, sequence);
        let fault = IdxFault::Length { sequence, length };
        let length = u64::try_from(length).map_err(|_| fault.clone())?;
        let pointer = layout.pointer(bytes, sequence);
        if u64::try_from(pointer) != Ok(end) {
            return Err(IdxFault::Pointer {
                sequence,
                expected: end,
                got: pointer,
            });
        }
        // At most 2^31 tokens of 8 bytes, for as many sequences as fit in the file: no overflow in
        // practice, but the counts come from a file.
        n_tokens = n_tokens.checked_add(length).ok_or(fault.clone())?;
        end = n_tokens.checked_mul(layout.dtype.bytes()).ok_or(fault)?;
    }
    if end != bin_bytes {
        return Err(IdxFault::BinSize {
            expected: end,
            got: bin_bytes,
        });
    }
    Ok(n_tokens)
}

/// Entries must start at 0, never decrease, and end at the number of sequences.
fn check_documents(layout: &IdxLayout, bytes: &[u8]) -> Result<(), IdxFault> {
    let mut min = 0;
    for entry in 0..=layout.n_documents {
        let got = layout.document_entry(bytes, entry);
        let max = if entry == 0 { 0 } else { layout.n_sequences };
        if entry == layout.n_documents {
            min = layout.n_sequences;
        }
        match u64::try_from(got) {
            Ok(start) if (min..=max).contains(&start) => min = start,
            _ => {
                return Err(IdxFault::DocumentEntry {
                    entry,
                    min,
                    max,
                    got,
                });
            }
        }
    }
    Ok(())
}

/// Modes are read only for this check: text has mode 0.
fn check_modes(layout: &IdxLayout, bytes: &[u8]) -> Result<(), IdxFault> {
    if !layout.has_modes {
        return Ok(());
    }
    let modes = &bytes[bytes.len() - layout.n_sequences as usize..];
    match (0..).zip(modes).find(|(_, mode)| **mode != 0) {
        None => Ok(()),
        Some((sequence, &mode)) => Err(IdxFault::Mode { sequence, mode }),
    }
}

impl IdxLayout {
    fn length(&self, bytes: &[u8], sequence: u64) -> i32 {
        i32::from_le_bytes(array_at(bytes, HEADER_BYTES + 4 * sequence))
    }

    fn pointer(&self, bytes: &[u8], sequence: u64) -> i64 {
        let table = HEADER_BYTES + 4 * self.n_sequences;
        i64::from_le_bytes(array_at(bytes, table + 8 * sequence))
    }

    fn document_entry(&self, bytes: &[u8], entry: u64) -> i64 {
        let table = HEADER_BYTES + 12 * self.n_sequences;
        i64::from_le_bytes(array_at(bytes, table + 8 * entry))
    }

    /// Token offset at which `document` starts; for `n_documents` it is `n_tokens`. `bytes` must be
    /// those that were validated.
    pub fn document_start(&self, bytes: &[u8], document: u64) -> u64 {
        let sequence = self.document_entry(bytes, document) as u64;
        if sequence >= self.n_sequences {
            return self.n_tokens;
        }
        self.pointer(bytes, sequence) as u64 / self.dtype.bytes()
    }
}

fn u64_at(bytes: &[u8], offset: u64) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}

/// The caller has checked the bounds.
fn array_at<const N: usize>(bytes: &[u8], offset: u64) -> [u8; N] {
    let offset = offset as usize;
    bytes[offset..offset + N]
        .try_into()
        .expect("the slice has N bytes")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
