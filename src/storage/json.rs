//! Small JSON files that contain their own checksum.
//!
//! The key [`CHECKSUM_KEY`] of the outermost object holds the BLAKE3 of everything else in it, by value: white space
//! and the order of keys do not matter. Without it a flipped digit would just be another number.

use crate::error::{Classified, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The key of the checksum.
pub const CHECKSUM_KEY: &str = "saltworks_blake3";

/// Why bytes are not the JSON that was written.
#[derive(Debug, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON with the expected fields.
    #[error("it cannot be parsed: {0}")]
    Content(#[from] serde_json::Error),
    /// Valid JSON of the expected fields that was changed since it was written.
    #[error("its contents have the BLAKE3 {got}, but its {CHECKSUM_KEY} is {expected}")]
    Checksum {
        /// As the file states.
        expected: String,
        /// As computed.
        got: String,
    },
}

impl Classified for JsonFault {
    fn kind(&self) -> Kind {
        Kind::BadData
    }
}

/// `value`, which is an object, as indented JSON, with its checksum first and a newline at the end.
///
/// # Errors
/// A value that JSON cannot hold, or that is not an object.
pub fn checked_json(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let text = serde_json::to_string_pretty(value)?;
    // Hashed as a reader parses it: an f32 is written with fewer digits than as an f64.
    let object: Map<String, Value> = serde_json::from_str(&text)?;
    let checksum = hash_of(&Value::Object(object));
    let rest = text.trim_start_matches('{');
    let comma = if rest.trim() == "}" { "\n" } else { "," };
    Ok(format!("{{\n  \"{CHECKSUM_KEY}\": \"{checksum}\"{comma}{rest}\n").into_bytes())
}

/// Parses what [`checked_json`] wrote; an object without a checksum is accepted.
///
/// # Errors
/// [`JsonFault`].
pub fn from_checked_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonFault> {
    let mut value: Value = serde_json::from_slice(bytes)?;
    let recorded = value
        .as_object_mut()
        .and_then(|object| object.remove(CHECKSUM_KEY));
    if let Some(recorded) = recorded {
        let got = hash_of(&value);
        if recorded != got {
            let expected = recorded
                .as_str()
                .map_or(recorded.to_string(), str::to_owned);
            return Err(JsonFault::Checksum { expected, got });
        }
    }
    Ok(serde_json::from_value(value)?)
}

/// BLAKE3 over the compact text of `value` with the keys of every object sorted, 64 hex digits.
fn hash_of(value: &Value) -> String {
    let mut hasher = blake3::Hasher::new();
    feed(&mut hasher, value);
    hasher.finalize().to_hex().to_string()
}

fn feed(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(object) => {
            let mut members: Vec<(&String, &Value)> = object.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            hasher.update(b"{");
            for (key, value) in members {
                feed(hasher, &Value::String(key.clone()));
                hasher.update(b":");
                feed(hasher, value);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        plain => {
            hasher.update(plain.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Sample {
        z: f64,
        a: f32,
        list: Vec<Option<u64>>,
        text: String,
    }

    fn sample() -> Sample {
        Sample {
            z: 4.105_812_345,
            a: 0.1,
            list: vec![Some(u64::MAX), None],
            text: "a \"quoted\" line\n".to_owned(),
        }
    }

    #[test]
    fn json_round_trips_and_keeps_the_order_of_its_fields() {
        let bytes = checked_json(&sample()).unwrap();
        assert_eq!(from_checked_json::<Sample>(&bytes).unwrap(), sample());
        let text = String::from_utf8(bytes).unwrap();
        let places = [CHECKSUM_KEY, "\"z\"", "\"a\"", "\"list\""].map(|key| text.find(key));
        assert!(places.is_sorted() && places[0].is_some(), "{text}");
        let empty = checked_json(&serde_json::json!({})).unwrap();
        let read: Map<String, Value> = from_checked_json(&empty).unwrap();
        assert!(read.is_empty());
    }

    #[test]
    fn a_file_of_another_layout_and_one_without_a_checksum_are_read() {
        let bytes = checked_json(&sample()).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            from_checked_json::<Sample>(value.to_string().as_bytes()).unwrap(),
            sample()
        );
        let plain = serde_json::to_vec(&sample()).unwrap();
        assert_eq!(from_checked_json::<Sample>(&plain).unwrap(), sample());
    }

    #[test]
    fn no_flipped_bit_changes_what_is_read() {
        let bytes = checked_json(&sample()).unwrap();
        let mut n_refused = 0;
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1 << bit;
                match from_checked_json::<Sample>(&flipped) {
                    Ok(read) => assert_eq!(read, sample(), "byte {i}, bit {bit}"),
                    Err(_) => n_refused += 1,
                }
            }
        }
        assert!(n_refused > 6 * bytes.len(), "{n_refused}");
    }
}
