//! Raw token files without an index: nanoGPT's, NumPy's and llm.c's.

use super::dtype::Dtype;
use super::error::TokensError;
use super::foreign::{self, NPY_MAGIC};
use super::token_file::{RawFile, TokenFile};
use std::path::Path;

/// Most bytes read of a NumPy header; real ones have 118.
const NPY_HEAD_BYTES: usize = 1 << 16;
const LLM_C_HEADER_BYTES: usize = 256 * 4;
const LLM_C_U16: (u32, u32) = (20_240_520, 1);
const LLM_C_U32: (u32, u32) = (20_240_801, 7);
/// How a file without a header is read by default.
const DEFAULT_DTYPE: Dtype = Dtype::U16;

/// An open raw file.
pub(super) struct RawTokens {
    pub(super) tokens: TokenFile,
    /// Whether the file states its own type.
    pub(super) has_header: bool,
}

/// Whether a file starts with one of llm.c's two magic numbers, whatever its version.
pub(super) fn is_llm_c(path: &Path) -> Result<bool, TokensError> {
    let head = RawFile::open(path)?.read(0, LLM_C_HEADER_BYTES)?;
    let magic = header_u32(&head, 0);
    Ok(magic == Some(LLM_C_U16.0) || magic == Some(LLM_C_U32.0))
}

/// llm.c: a header of 256 i32 (magic, version, number of tokens), then u16 or u32 ids.
pub(super) fn open_llm_c(path: &Path) -> Result<RawTokens, TokensError> {
    let file = RawFile::open(path)?;
    let head = file.read(0, LLM_C_HEADER_BYTES)?;
    let fault = |reason: String| raw_fault(path, "llm.c", reason);
    let (Some(magic), Some(version), Some(n_tokens)) = (
        header_u32(&head, 0),
        header_u32(&head, 1),
        header_u32(&head, 2),
    ) else {
        return Err(fault(
            "it is shorter than its header of 1024 bytes".to_owned(),
        ));
    };
    let dtype = match (magic, version) {
        LLM_C_U16 => Dtype::U16,
        LLM_C_U32 => Dtype::U32,
        _ => {
            return Err(fault(format!(
                "its magic number {magic} and version {version} are neither 20240520 and 1 (u16) nor 20240801 and 7 (u32): write it again with llm.c's current scripts, or give the ids without the header"
            )));
        }
    };
    let expected = LLM_C_HEADER_BYTES as u64 + u64::from(n_tokens) * dtype.bytes();
    if file.len != expected {
        return Err(fault(format!(
            "its header says {n_tokens} tokens, {expected} bytes, but it has {} bytes: fetch or write it again",
            file.len
        )));
    }
    let n_tokens = u64::from(n_tokens);
    Ok(RawTokens {
        tokens: file.into_tokens(LLM_C_HEADER_BYTES as u64, dtype, n_tokens),
        has_header: true,
    })
}

fn header_u32(head: &[u8], field: usize) -> Option<u32> {
    let header = head.get(..LLM_C_HEADER_BYTES)?;
    Some(u32::from_le_bytes(*header.as_chunks::<4>().0.get(field)?))
}

/// nanoGPT: only ids, u16 unless `dtype` says otherwise; or a NumPy array, recognized by its header
/// (a `.npy` may lack it).
pub(super) fn open_nano_gpt(path: &Path, dtype: Option<Dtype>) -> Result<RawTokens, TokensError> {
    let file = RawFile::open(path)?;
    if file.read(0, NPY_MAGIC.len())? == NPY_MAGIC {
        return open_npy(file);
    }
    foreign::refuse(&file, dtype.is_some())?;
    let read_as = dtype.unwrap_or(DEFAULT_DTYPE);
    if !file.len.is_multiple_of(read_as.bytes()) {
        let reason = format!(
            "{} bytes are not a whole number of {} ids: {}",
            file.len,
            read_as.name(),
            match dtype {
                Some(_) => "pass the --dtype that it was written in, or fetch or write it again",
                None => "fetch or write it again",
            }
        );
        return Err(raw_fault(path, "raw", reason));
    }
    let n_tokens = file.len / read_as.bytes();
    Ok(RawTokens {
        tokens: file.into_tokens(0, read_as, n_tokens),
        has_header: false,
    })
}

fn open_npy(file: RawFile) -> Result<RawTokens, TokensError> {
    let head = file.read(0, NPY_HEAD_BYTES)?;
    let header =
        parse_npy(&head, file.len).map_err(|reason| raw_fault(&file.path, "NumPy", reason))?;
    Ok(RawTokens {
        tokens: file.into_tokens(header.data_start, header.dtype, header.n_tokens),
        has_header: true,
    })
}

struct NpyHeader {
    data_start: u64,
    dtype: Dtype,
    n_tokens: u64,
}

/// Format: magic, u8 major, u8 minor, header length (u16, from version 2 on u32), a Python dict.
fn parse_npy(head: &[u8], len: u64) -> Result<NpyHeader, String> {
    let cut_short = || "it is shorter than its header: fetch or write it again".to_owned();
    let n_length_bytes = match head.get(6).ok_or_else(cut_short)? {
        1 => 2,
        2 | 3 => 4,
        other => {
            return Err(format!(
                "version {other} of the header is unknown: save it again"
            ));
        }
    };
    let dict_start = 8 + n_length_bytes;
    let length = head.get(8..dict_start).ok_or_else(cut_short)?;
    let length = length
        .iter()
        .rev()
        .fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
    let data_start = dict_start + length;
    let dict = head.get(dict_start..data_start).ok_or_else(cut_short)?;
    let dict = std::str::from_utf8(dict).map_err(|_| "its header is not text".to_owned())?;
    let (dtype, n_tokens) = parse_npy_dict(dict)?;
    let expected = n_tokens.checked_mul(dtype.bytes());
    let got = len - data_start as u64;
    if expected != Some(got) {
        return Err(format!(
            "its header says {n_tokens} ids of {}, but {got} bytes follow: save it again",
            dtype.name()
        ));
    }
    Ok(NpyHeader {
        data_start: data_start as u64,
        dtype,
        n_tokens,
    })
}

fn parse_npy_dict(dict: &str) -> Result<(Dtype, u64), String> {
    let value = |key: &str| {
        let (_, rest) = dict.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let descr = value("descr").unwrap_or_default();
    let shape = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let shape = shape.map(|(shape, _)| shape.trim().trim_end_matches(','));
    let n_tokens = shape.and_then(|shape| shape.trim().parse().ok());
    let n_tokens = n_tokens.ok_or_else(|| {
        let order = match value("fortran_order").is_some_and(|rest| rest.starts_with("True")) {
            true => ", column by column",
            false => "",
        };
        format!(
            "its shape is ({}){order}, not one-dimensional: save a flat array of ids (`array.ravel()`), or rows of one document each as Parquet",
            shape.unwrap_or_default()
        )
    });
    // A structured type is a list, not a string.
    let dtype = match descr
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''))
    {
        Some((descr, _)) => npy_dtype(descr),
        None => Err("its dtype is structured: save one field, a flat array of ids".to_owned()),
    };
    Ok((dtype?, n_tokens?))
}

fn npy_dtype(descr: &str) -> Result<Dtype, String> {
    let what = match descr {
        "|u1" | "<u1" => return Ok(Dtype::U8),
        "|i1" | "<i1" => return Ok(Dtype::I8),
        "<i2" => return Ok(Dtype::I16),
        "<u2" => return Ok(Dtype::U16),
        "<i4" => return Ok(Dtype::I32),
        "<u4" => return Ok(Dtype::U32),
        // u64 values above 2^63 are as invalid as negative ids.
        "<i8" | "<u8" => return Ok(Dtype::I64),
        _ if descr.starts_with('>') => "big-endian",
        _ if descr.starts_with("|O") => "Python objects",
        _ if descr.contains('f') => "floats",
        _ if descr.contains(['U', 'S']) => "text",
        _ if descr.contains('b') => "booleans",
        _ => "no integers",
    };
    Err(format!(
        "its dtype is `{descr}` ({what}): save it as little-endian u16, u32, i32 or i64, such as `array.astype('<u4')`"
    ))
}

fn raw_fault(path: &Path, kind: &'static str, reason: String) -> TokensError {
    TokensError::RawFile {
        path: path.to_path_buf(),
        kind,
        reason,
    }
}
