//! How much longer a text can become inside a tokenizer: the factors of successive replacements multiply.

use serde_json::Value;

/// Largest factor by which normalization may lengthen a text: far above any tokenizer in use, and small enough that a
/// piece of text fits into memory.
const MAX_GROWTH: f64 = 1024.0;
/// Bytes that may be put in front of each part of a text.
const MAX_PREPENDED_BYTES: usize = 1024;

/// Refuses parts of a tokenizer that would make a text explode.
///
/// # Errors
/// What multiplies, in words.
pub(super) fn check_growth(parts: &[&Value]) -> Result<(), String> {
    let factor: f64 = parts.iter().map(|part| growth(part)).product();
    if factor > MAX_GROWTH {
        return Err(format!(
            "its normalizers can make a text {factor:.0} times as long; the limit is {MAX_GROWTH}"
        ));
    }
    let longest = parts.iter().map(|part| longest_prepended(part)).max();
    match longest {
        Some(bytes) if bytes > MAX_PREPENDED_BYTES => Err(format!(
            "it puts {bytes} bytes in front of every part of a text; the limit is {MAX_PREPENDED_BYTES}"
        )),
        _ => Ok(()),
    }
}

/// Bytes of output per byte of input for one part, or a sequence of parts.
fn growth(part: &Value) -> f64 {
    let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str);
    match part.get("type").and_then(Value::as_str) {
        Some("Replace") => {
            let content = text("/content").map_or(0, str::len) as f64;
            match text("/pattern/String").map_or(0, str::len) {
                // An empty pattern matches between any two bytes.
                0 => content + 1.0,
                pattern => (content / pattern as f64).max(1.0),
            }
        }
        Some("Metaspace") => 4.0,
        Some("ByteLevel") => 2.0,
        Some("NFKC" | "NFKD" | "BertNormalizer") => 4.0,
        _ => children(part).map(growth).product(),
    }
}

fn longest_prepended(part: &Value) -> usize {
    let own = part
        .get("prepend")
        .and_then(Value::as_str)
        .map_or(0, str::len);
    children(part).map(longest_prepended).fold(own, usize::max)
}

fn children(part: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["normalizers", "pretokenizers"].into_iter();
    lists
        .filter_map(|list| part.get(list)?.as_array())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replacements_that_multiply_are_refused_and_ordinary_ones_are_not() {
        let replace = |pattern: &str, content: &str| json!({"type": "Replace", "pattern": {"String": pattern}, "content": content});
        let ordinary = json!({"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "NFKC"}, replace(" ", "▁")]});
        check_growth(&[&ordinary, &json!({"type": "ByteLevel"}), &json!(null)]).unwrap();
        let tenfold = replace("a", "aaaaaaaaaa");
        let bomb = json!({"type": "Sequence", "normalizers": vec![tenfold; 12]});
        assert!(
            check_growth(&[&bomb])
                .unwrap_err()
                .contains("times as long")
        );
        let empty =
            json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "x".repeat(2000)});
        assert!(check_growth(&[&empty]).is_err());
        let long = json!({"type": "Prepend", "prepend": "x".repeat(5000)});
        assert!(check_growth(&[&long]).unwrap_err().contains("in front"));
    }
}
