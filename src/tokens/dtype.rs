//! Little-endian integer types of token files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The integer type of the ids in a token file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Dtype {
    /// Megatron code 1.
    U8,
    /// Megatron code 2.
    I8,
    /// Megatron code 3.
    I16,
    /// Megatron code 4.
    I32,
    /// Megatron code 5.
    I64,
    /// Megatron code 8.
    U16,
    /// llm.c version 7, and `.npy`; Megatron has no code for it.
    U32,
}

impl Dtype {
    /// Bytes per id.
    pub fn bytes(self) -> u64 {
        match self {
            Dtype::U8 | Dtype::I8 => 1,
            Dtype::I16 | Dtype::U16 => 2,
            Dtype::I32 | Dtype::U32 => 4,
            Dtype::I64 => 8,
        }
    }

    /// Its name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::U8 => "u8",
            Dtype::I8 => "i8",
            Dtype::I16 => "i16",
            Dtype::I32 => "i32",
            Dtype::I64 => "i64",
            Dtype::U16 => "u16",
            Dtype::U32 => "u32",
        }
    }

    /// u16 for a vocabulary below 65,536, else i32: the two types that Megatron's own tools write
    /// (which switch to i32 from 65,500 on).
    pub fn for_vocab(vocab_size: u32) -> Self {
        if vocab_size < 1 << 16 {
            Dtype::U16
        } else {
            Dtype::I32
        }
    }

    /// The integer type of a Megatron dtype code.
    pub(super) fn of_megatron_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Dtype::U8,
            2 => Dtype::I8,
            3 => Dtype::I16,
            4 => Dtype::I32,
            5 => Dtype::I64,
            8 => Dtype::U16,
            _ => return None,
        })
    }

    /// Decodes ids from `bytes` (as many as `out` takes). A value that does not fit in u32 becomes
    /// a very large id (a negative one 2^31 or more), so that it is above every vocabulary.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [u32]) {
        match self {
            Dtype::U8 => decode_as(bytes, out, |[b]: [u8; 1]| u32::from(b)),
            Dtype::I8 => decode_as(bytes, out, |b: [u8; 1]| {
                i32::from(i8::from_le_bytes(b)) as u32
            }),
            Dtype::I16 => decode_as(bytes, out, |b| i32::from(i16::from_le_bytes(b)) as u32),
            Dtype::U16 => decode_as(bytes, out, |b| u32::from(u16::from_le_bytes(b))),
            Dtype::I32 | Dtype::U32 => decode_as(bytes, out, u32::from_le_bytes),
            Dtype::I64 => decode_as(bytes, out, |b| {
                u32::try_from(i64::from_le_bytes(b)).unwrap_or(u32::MAX)
            }),
        }
    }
}

fn decode_as<const BYTES: usize>(
    bytes: &[u8],
    out: &mut [u32],
    id_of: impl Fn([u8; BYTES]) -> u32,
) {
    let (chunks, rest) = bytes.as_chunks::<BYTES>();
    assert!(
        rest.is_empty() && chunks.len() == out.len(),
        "as many ids as places for them"
    );
    for (id, chunk) in out.iter_mut().zip(chunks) {
        *id = id_of(*chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(dtype: Dtype, bytes: &[u8]) -> Vec<u32> {
        let mut out = vec![0; bytes.len() / dtype.bytes() as usize];
        dtype.decode(bytes, &mut out);
        out
    }

    #[test]
    fn every_dtype_is_little_endian_and_negative_ids_are_huge() {
        assert_eq!(decoded(Dtype::U8, &[0, 255]), [0, 255]);
        assert_eq!(decoded(Dtype::I8, &[1, 255]), [1, u32::MAX]);
        assert_eq!(decoded(Dtype::U16, &[1, 2, 255, 255]), [0x201, 65535]);
        assert_eq!(decoded(Dtype::I16, &[1, 2, 255, 255]), [0x201, u32::MAX]);
        assert_eq!(
            decoded(Dtype::I32, &[1, 2, 0, 0, 0, 0, 0, 128]),
            [0x201, 1 << 31]
        );
        assert_eq!(decoded(Dtype::U32, &[255; 4]), [u32::MAX]);
        assert_eq!(decoded(Dtype::I64, &7_i64.to_le_bytes()), [7]);
        for beyond in [-1, 1_i64 << 32, i64::MIN] {
            assert_eq!(decoded(Dtype::I64, &beyond.to_le_bytes()), [u32::MAX]);
        }
    }

    #[test]
    fn u16_holds_every_vocabulary_below_65536() {
        assert_eq!(Dtype::for_vocab(65_535), Dtype::U16);
        assert_eq!(Dtype::for_vocab(65_536), Dtype::I32);
    }
}
