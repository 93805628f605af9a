//! The protobuf wire format, one field at a time, without copying.

use prost::Message;

/// What is wrong with the bytes; the offset is in the message that was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireFault {
    /// A length or a number runs past the end.
    Truncated,
    /// Bytes that no protobuf writer makes.
    Malformed,
}

/// One field's value; `Bytes` borrows from the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum WireValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Iterates over the fields of one message. Ends after the first fault.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u32, WireValue<'a>), WireFault> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireFault::Malformed)?;
        if number == 0 {
            return Err(WireFault::Malformed);
        }
        let value = match key & 7 {
            0 => WireValue::Varint(self.varint()?),
            1 => WireValue::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireFault::Truncated)?;
                WireValue::Bytes(self.take(length)?)
            }
            5 => WireValue::Fixed32(u32::from_le_bytes(self.array()?)),
            // 3 and 4 are groups, which ONNX never uses; 6 and 7 do not exist.
            _ => return Err(WireFault::Malformed),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, WireFault> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array::<1>()?;
            if shift == 63 && byte > 1 {
                return Err(WireFault::Malformed);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireFault::Malformed)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireFault> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(WireFault::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireFault> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireFault::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, WireValue<'a>), WireFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Bytes that `value` takes as a varint.
pub(super) fn varint_len(value: u64) -> u64 {
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

/// Appends `value` as a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the key and length prefix of a length-delimited field whose bytes follow.
pub(super) fn put_length_prefix(out: &mut Vec<u8>, field: u32, length: u64) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, length);
}

/// Appends a length-delimited field.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_length_prefix(out, field, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a message as a field.
pub(super) fn put_message(out: &mut Vec<u8>, field: u32, message: &impl Message) {
    put_bytes(out, field, &message.encode_to_vec());
}
