//! Recognizes files of other kinds, which could be read as ids: a raw token file has no header.

use super::error::TokensError;
use super::token_file::RawFile;

pub(super) const NPY_MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes examined at the beginning.
const HEAD_BYTES: usize = 64 * 1024;
/// Shorter files are never taken for text.
const MIN_TEXT_BYTES: usize = 32;

/// What a file is, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) what: &'static str,
    pub(super) remedy: &'static str,
}

const COMPRESSED: &str = "decompress it first";
const TO_PARQUET: &str = "write its ids as a flat array with `numpy.ndarray.tofile`, or as Parquet with a list column `input_ids`";
const TO_TOKENS: &str = "make tokens of it with `saltworks tokenize`";
const WRONG_FILE: &str = "give the token file";
const AS_PARQUET: &str = "rename it to .parquet, or pass --tokens-format parquet";

/// Magic bytes at the beginning, the kind, and the remedy.
const MAGICS: &[(&[u8], &str, &str)] = &[
    (&[0x1f, 0x8b, 8], "compressed with gzip", COMPRESSED),
    (
        &[0x28, 0xb5, 0x2f, 0xfd],
        "compressed with zstd",
        COMPRESSED,
    ),
    (b"\xfd7zXZ\0", "compressed with xz", COMPRESSED),
    (&[4, 0x22, 0x4d, 0x18], "compressed with lz4", COMPRESSED),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", COMPRESSED),
    (b"Rar!\x1a\x07", "a RAR archive", COMPRESSED),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", TO_PARQUET),
    (b"PAR1", "a Parquet file", AS_PARQUET),
    (b"ARROW1\0\0", "an Arrow IPC file", TO_PARQUET),
    (b"FEA1", "a Feather file", TO_PARQUET),
    (b"ORC", "an ORC file", TO_PARQUET),
    (b"Obj\x01", "an Avro file", TO_PARQUET),
    (b"SQLite format 3\0", "an SQLite database", TO_PARQUET),
    (b"GGUF", "a GGUF model", WRONG_FILE),
    (b"\x7fELF", "a program", WRONG_FILE),
    (
        b"MMIDIDX\0\0",
        "a Megatron index (.idx)",
        "rename it to .idx next to its .bin, and give that name",
    ),
    (
        b"TNTIDX\0\0",
        "an index in the old format of fairseq and Megatron",
        "write the tokens again with --dataset-impl mmap",
    ),
    (
        NPY_MAGIC,
        "a NumPy array with a header",
        "rename it to .npy, or pass --tokens-format nanogpt",
    ),
];

const LLM_C_TOKENS: &str = "llm.c's tokens, with a header";

/// llm.c's files: a header of i32 that begins with one of these.
const LLM_C_MAGICS: &[(u32, &str)] = &[
    (20_240_520, LLM_C_TOKENS),
    (20_240_801, LLM_C_TOKENS),
    (20_240_326, "llm.c's model weights"),
    (20_240_327, "llm.c's debugging state"),
    (20_240_328, "llm.c's tokenizer"),
    (20_240_522, "llm.c's HellaSwag evaluation"),
    (20_240_803, "llm.c's Llama weights"),
];

/// Refuses a file that is known to be of another kind. A file that merely looks like text passes if `may_be_text`.
pub(super) fn refuse(file: &RawFile, may_be_text: bool) -> Result<(), TokensError> {
    match kind_of(file)? {
        Some(foreign) if !(may_be_text && foreign == PLAIN_TEXT) => Err(TokensError::Foreign {
            path: file.path.clone(),
            what: foreign.what,
            remedy: foreign.remedy,
        }),
        _ => Ok(()),
    }
}

const PLAIN_TEXT: Foreign = Foreign {
    what: "text",
    remedy: "tokenize it with `saltworks tokenize`, or pass --dtype if it is a raw token file after all",
};

fn kind_of(file: &RawFile) -> Result<Option<Foreign>, TokensError> {
    let head = file.read(0, HEAD_BYTES)?;
    let tail = file.read(file.len.saturating_sub(1), 1)?;
    let found = by_magic(&head)
        .or_else(|| archive(&head))
        .or_else(|| model(&head, file.len))
        .or_else(|| pickle(&head, &tail))
        .or_else(|| arrow_stream(&head))
        .or_else(|| known_text(&head));
    if found.is_some() {
        return Ok(found);
    }
    if let Some(found) = sample_shard(file, &head)? {
        return Ok(Some(found));
    }
    is_text(file, &head).map(|text| text.then_some(PLAIN_TEXT))
}

fn by_magic(head: &[u8]) -> Option<Foreign> {
    let magic = MAGICS.iter().find(|(magic, ..)| head.starts_with(magic));
    if let Some(&(_, what, remedy)) = magic {
        return Some(Foreign { what, remedy });
    }
    let first = u32::from_le_bytes(*head.first_chunk()?);
    let of_llm_c = LLM_C_MAGICS.iter().find(|(magic, _)| *magic == first);
    of_llm_c.map(|&(_, what)| Foreign {
        what,
        remedy: match what == LLM_C_TOKENS {
            true => "leave --tokens-format out, or pass --tokens-format llmc; if the file is shorter than its header of 1024 bytes, fetch or write it again",
            false => WRONG_FILE,
        },
    })
}

fn archive(head: &[u8]) -> Option<Foreign> {
    let holds = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    let is_bzip2 = head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY");
    let found = if is_bzip2 {
        ("compressed with bzip2", COMPRESSED)
    } else if head.starts_with(b"PK\x03\x04") && holds(b"/data.pkl") {
        ("a PyTorch file", TO_PARQUET)
    } else if head.starts_with(b"PK\x03\x04") && holds(b".npy") {
        ("a NumPy .npz archive", "save the one array in it as .npy")
    } else if head.starts_with(b"PK\x03\x04") {
        ("a zip archive", COMPRESSED)
    } else if head.get(257..262) == Some(b"ustar") {
        ("a tar archive", "unpack it, and give the token file in it")
    } else {
        return None;
    };
    Some(Foreign {
        what: found.0,
        remedy: found.1,
    })
}

/// safetensors: u64 length of a JSON header, then the header. ONNX: protobuf of an IR version, then the name of the
/// program that wrote it.
fn model(head: &[u8], len: u64) -> Option<Foreign> {
    let n_json = u64::from_le_bytes(*head.first_chunk()?);
    // With i64 ids there would be zeros here.
    let json = head.get(8..8 + n_json.min(16) as usize).unwrap_or_default();
    let is_json = json.starts_with(b"{") && is_printable(json);
    if n_json <= len - 8 && is_json && json.len() > 1 {
        return Some(Foreign {
            what: "a safetensors file",
            remedy: TO_PARQUET,
        });
    }
    let &[8, 1..=32, 18, n_name @ 3..=64, ..] = head else {
        return None;
    };
    let name = head.get(4..4 + usize::from(n_name))?;
    let is_name = is_printable(name);
    is_name.then_some(Foreign {
        what: "an ONNX model",
        remedy: "give it to --teacher, and the token file to --tokens",
    })
}

fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Python's pickle, and files of PyTorch before version 1.6.
fn pickle(head: &[u8], tail: &[u8]) -> Option<Foreign> {
    let &[0x80, 2..=5, opcode, ..] = head else {
        return None;
    };
    let is_torch = head.get(2..5) == Some(&[0x8a, 0x0a, 0x6c]);
    let is_pickle = tail == b"." && [0x95, b']', b'}', b'c', b'(', b'X', 0x8c].contains(&opcode);
    (is_torch || is_pickle).then_some(Foreign {
        what: if is_torch {
            "a PyTorch file"
        } else {
            "a Python pickle"
        },
        remedy: TO_PARQUET,
    })
}

/// The .arrow files that `datasets` caches: a marker, and the length of a schema that contains its own name.
fn arrow_stream(head: &[u8]) -> Option<Foreign> {
    let n_schema = u32::from_le_bytes(*head.strip_prefix(&[0xff; 4])?.first_chunk()?) as usize;
    let schema = head.get(8..8 + n_schema.min(4096))?;
    let is_padded = n_schema.is_multiple_of(8) && n_schema >= 64;
    let holds = |word: &[u8]| schema.windows(word.len()).any(|window| window == word);
    let is_named = holds(b"input_ids") || holds(b"huggingface") || holds(b"item\0");
    (is_padded && is_named).then_some(Foreign {
        what: "an Arrow stream, as the `datasets` library keeps",
        remedy: "write it with `Dataset.to_parquet`",
    })
}

fn known_text(head: &[u8]) -> Option<Foreign> {
    let start = head
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start();
    let begins = |word: &str| {
        let start = start.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    let found = if begins("version https://git-lfs") {
        (
            "a Git LFS pointer, not the file itself",
            "fetch it with `git lfs pull`",
        )
    } else if begins("<!doctype html") || begins("<html") {
        ("a web page: the download failed", "fetch the file again")
    } else if begins("%PDF-") {
        ("a PDF document", TO_TOKENS)
    } else if begins("{\"") && is_utf8_text(head) {
        ("JSON", TO_TOKENS)
    } else {
        return None;
    };
    Some(Foreign {
        what: found.0,
        remedy: found.1,
    })
}

/// Shards of serialized samples, MosaicML's (MDS) and litdata's: u32 number of samples n, then n + 1 u32 offsets, of
/// which the first is the start of the samples and the last is the end of the file.
fn sample_shard(file: &RawFile, head: &[u8]) -> Result<Option<Foreign>, TokensError> {
    let word = |at: usize| {
        let bytes = head.get(at..at + 4)?;
        Some(u64::from(u32::from_le_bytes(
            bytes.try_into().expect("4 bytes"),
        )))
    };
    let (Some(n), Some(first)) = (word(0), word(4)) else {
        return Ok(None);
    };
    let n_table = 4 * (n + 2);
    if n == 0 || first < n_table || first > file.len || n_table > file.len {
        return Ok(None);
    }
    let last = file.read(n_table - 4, 5)?;
    let ends_file = last
        .first_chunk()
        .is_some_and(|&last| u64::from(u32::from_le_bytes(last)) == file.len);
    let is_mds = last.get(4) == Some(&b'{') && first > n_table;
    Ok(
        (ends_file && (is_mds || first == n_table)).then_some(Foreign {
            what: if is_mds {
                "a shard of MosaicML's streaming (MDS)"
            } else {
                "a chunk of litdata"
            },
            remedy: TO_PARQUET,
        }),
    )
}

/// Ids in a raw file contain bytes of every kind; only text is text throughout.
fn is_text(file: &RawFile, head: &[u8]) -> Result<bool, TokensError> {
    if head.len() < MIN_TEXT_BYTES || !is_utf8_text(head) {
        return Ok(false);
    }
    let n = head.len() as u64;
    for place in 1..=4 {
        let offset = file.len.saturating_sub(n) / 4 * place;
        // The block may begin inside a character.
        let block = file.read(offset, HEAD_BYTES)?;
        let n_cut = block
            .iter()
            .take_while(|byte| **byte & 0xc0 == 0x80)
            .count();
        if n_cut > 3 || !is_utf8_text(&block[n_cut..]) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// UTF-8, except for a truncated character at the end, mostly ASCII, and without control characters other than white
/// space.
fn is_utf8_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let valid = &bytes[..error.valid_up_to()];
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_text = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x0c');
    let n_ascii = text.bytes().filter(u8::is_ascii).count();
    text.chars().all(is_text) && 2 * n_ascii >= text.len()
}

#[cfg(test)]
#[path = "foreign/tests.rs"]
mod tests;
