//! Raw token files without an index: nanoGPT's, NumPy's and llm.c's.

use super::dtype::Dtype;
use super::error::TokensError;
use super::token_file::{TokenFile, map_file};
use memmap2::Mmap;
use std::path::Path;

const NPY_MAGIC: &[u8] = b"\x93NUMPY";
const LLM_C_HEADER_BYTES: usize = 256 * 4;
const LLM_C_U16: (u32, u32) = (20_240_520, 1);
const LLM_C_U32: (u32, u32) = (20_240_801, 7);

/// Whether a file starts like one of llm.c's two versions.
pub(super) fn is_llm_c(path: &Path) -> Result<bool, TokensError> {
    let map = map_file(path)?;
    let start = header_u32(&map, 0).zip(header_u32(&map, 1));
    Ok(start == Some(LLM_C_U16) || start == Some(LLM_C_U32))
}

/// llm.c: a header of 256 i32 (magic, version, number of tokens), then u16 or u32 ids.
pub(super) fn open_llm_c(path: &Path) -> Result<TokenFile, TokensError> {
    let map = map_file(path)?;
    let fault = |reason: String| raw_fault(path, "llm.c", reason);
    let (Some(magic), Some(version), Some(n_tokens)) = (
        header_u32(&map, 0),
        header_u32(&map, 1),
        header_u32(&map, 2),
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
                "magic {magic} and version {version} are neither 20240520 and 1 nor 20240801 and 7"
            )));
        }
    };
    let expected = LLM_C_HEADER_BYTES as u64 + u64::from(n_tokens) * dtype.bytes();
    if map.len() as u64 != expected {
        return Err(fault(format!(
            "its header says {n_tokens} tokens, {expected} bytes, but it has {} bytes: fetch or write it again",
            map.len()
        )));
    }
    Ok(TokenFile::new(
        map,
        LLM_C_HEADER_BYTES,
        dtype,
        u64::from(n_tokens),
    ))
}

fn header_u32(map: &Mmap, field: usize) -> Option<u32> {
    let header = map.get(..LLM_C_HEADER_BYTES)?;
    Some(u32::from_le_bytes(*header.as_chunks::<4>().0.get(field)?))
}

/// nanoGPT: u16 ids and nothing else; or a NumPy array, told by its header (a `.npy` may lack it).
pub(super) fn open_nano_gpt(path: &Path) -> Result<TokenFile, TokensError> {
    let map = map_file(path)?;
    if map.starts_with(NPY_MAGIC) {
        return open_npy(map, path);
    }
    if map.len() % 2 != 0 {
        let reason = format!(
            "{} bytes are no whole number of u16 ids: fetch or write it again",
            map.len()
        );
        return Err(raw_fault(path, "nanoGPT (u16)", reason));
    }
    let n_tokens = map.len() as u64 / 2;
    Ok(TokenFile::new(map, 0, Dtype::U16, n_tokens))
}

fn open_npy(map: Mmap, path: &Path) -> Result<TokenFile, TokensError> {
    let header = parse_npy(&map).map_err(|reason| raw_fault(path, "NumPy", reason))?;
    Ok(TokenFile::new(
        map,
        header.data_start,
        header.dtype,
        header.n_tokens,
    ))
}

struct NpyHeader {
    data_start: usize,
    dtype: Dtype,
    n_tokens: u64,
}

/// Format: magic, u8 major, u8 minor, header length (u16, from version 2 on u32), a Python dict.
fn parse_npy(bytes: &[u8]) -> Result<NpyHeader, String> {
    let cut_short = || "it is shorter than its header: fetch or write it again".to_owned();
    let n_length_bytes = match bytes.get(6).ok_or_else(cut_short)? {
        1 => 2,
        2 | 3 => 4,
        other => {
            return Err(format!(
                "version {other} of the header is not known: save it again"
            ));
        }
    };
    let dict_start = 8 + n_length_bytes;
    let length = bytes.get(8..dict_start).ok_or_else(cut_short)?;
    let length = length
        .iter()
        .rev()
        .fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
    let data_start = dict_start + length;
    let dict = bytes.get(dict_start..data_start).ok_or_else(cut_short)?;
    let dict = std::str::from_utf8(dict).map_err(|_| "its header is not text".to_owned())?;
    let (dtype, n_tokens) = parse_npy_dict(dict)?;
    let expected = n_tokens.checked_mul(dtype.bytes());
    let got = (bytes.len() - data_start) as u64;
    if expected != Some(got) {
        return Err(format!(
            "its header says {n_tokens} ids of {dtype:?}, but {got} bytes follow: save it again"
        ));
    }
    Ok(NpyHeader {
        data_start,
        dtype,
        n_tokens,
    })
}

fn parse_npy_dict(dict: &str) -> Result<(Dtype, u64), String> {
    let value = |key: &str| {
        let (_, rest) = dict.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let descr = value("descr").unwrap_or_default().trim_start_matches('\'');
    let descr = descr.split('\'').next().unwrap_or_default();
    let dtype = match descr {
        "|u1" => Dtype::U8,
        "|i1" => Dtype::I8,
        "<i2" => Dtype::I16,
        "<u2" => Dtype::U16,
        "<i4" => Dtype::I32,
        "<u4" => Dtype::U32,
        "<i8" => Dtype::I64,
        other => {
            return Err(format!(
                "its dtype is `{other}`: save it as little-endian u16, u32, i32 or i64"
            ));
        }
    };
    let shape = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let shape = shape.map(|(shape, _)| shape.trim().trim_end_matches(','));
    let n_tokens = shape.and_then(|shape| shape.trim().parse().ok());
    n_tokens
        .map(|n| (dtype, n))
        .ok_or_else(|| "it is not one-dimensional: save a flat array of ids".to_owned())
}

fn raw_fault(path: &Path, kind: &'static str, reason: String) -> TokensError {
    TokensError::RawFile {
        path: path.to_path_buf(),
        kind,
        reason,
    }
}
