//! What a file is that was given for a tokenizer.json, so that the message says more than where JSON broke off.

use crate::corpus::is_html;
use serde_json::Value;

const CONVERT: &str = "which can be converted: in Python, AutoTokenizer.from_pretrained(DIR).save_pretrained(OUT) of transformers writes a tokenizer.json";
const BESIDE: &str = "which lies beside the tokenizer.json";
/// Bytes of the beginning that are looked at.
const HEAD_BYTES: usize = 256;

/// What `bytes` are, if they are a known file of another kind.
pub(super) fn other_kind(bytes: &[u8]) -> Option<String> {
    let (what, remedy) = of_bytes(bytes).or_else(|| of_json(bytes))?;
    Some(match remedy {
        "" => format!("it is {what}"),
        remedy => format!("it is {what}, {remedy}"),
    })
}

fn of_bytes(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let holds = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    let starts = |word: &[u8]| bytes.starts_with(word);
    let is_piece = starts(b"\n") && (holds(b"<unk>") || holds(b"<s>") || holds(b"<pad>"));
    Some(match () {
        () if bytes.is_empty() => ("an empty file", "so fetch it again"),
        () if starts(b"\x1f\x8b") => ("compressed with gzip", "so decompress it first"),
        () if starts(b"\x28\xb5\x2f\xfd") => ("compressed with zstd", "so decompress it first"),
        () if starts(b"\xff\xfe") || starts(b"\xfe\xff") => {
            ("UTF-16 text", "so convert it to UTF-8")
        }
        () if starts(b"\xef\xbb\xbf") => (
            "JSON behind a byte order mark",
            "so save it without the mark",
        ),
        () if starts(b"version https://git-lfs") => (
            "a Git LFS pointer",
            "so fetch the file itself with `git lfs pull`",
        ),
        () if is_html(head) => ("an HTML page", "so fetch the file again"),
        () if is_piece && !starts(b"\n{") => ("a SentencePiece model", CONVERT),
        () if is_ranks(head) => ("a file of tiktoken's ranks", CONVERT),
        () => return None,
    })
}

/// Lines of base64 and a number.
fn is_ranks(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let is_base64 = |word: &[u8]| {
        !word.is_empty()
            && word.len().is_multiple_of(4)
            && word
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b))
    };
    let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    words.next().is_some_and(is_base64)
        && words.next().is_some_and(is_number)
        && words.next().is_none()
}

fn of_json(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let Value::Object(fields) = serde_json::from_slice(bytes).ok()? else {
        return None;
    };
    let has = |key: &str| fields.contains_key(key);
    Some(match () {
        () if has("model") => return None,
        () if has("tokenizer_class") || has("added_tokens_decoder") || has("add_bos_token") => {
            ("a tokenizer_config.json", BESIDE)
        }
        () if has("model_type") || has("architectures") => ("a model's config.json", BESIDE),
        () if fields.get("vocab").is_some_and(Value::is_array) => ("a tekken.json", CONVERT),
        () if has("eos_token") || has("bos_token") => ("a special_tokens_map.json", BESIDE),
        () if !fields.is_empty() && fields.values().all(Value::is_u64) => {
            ("a vocab.json, ids alone", BESIDE)
        }
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_named() {
        let cases: [(&[u8], &str); 10] = [
            (b"\n\x0e\n\x05<unk>\x15\0\0\0\0", "a SentencePiece model"),
            (b"IQ== 0\nIg== 1\n", "tiktoken"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"", "an empty file"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"{\"add_bos_token\": true}", "a tokenizer_config.json"),
            (b"{\"model_type\": \"llama\"}", "config.json"),
            (b"{\"config\": {}, \"vocab\": []}", "tekken.json"),
            (b"{\"eos_token\": \"</s>\"}", "special_tokens_map.json"),
            (b"{\"a\": 0, \"b\": 1}", "vocab.json"),
        ];
        for (bytes, kind) in cases {
            let kind_found = other_kind(bytes).unwrap_or_default();
            assert!(kind_found.contains(kind), "{kind}: {kind_found}");
        }
        for bytes in [b"{\"model\": {}}".as_slice(), b"{}", b"[]", b"garbage"] {
            assert_eq!(other_kind(bytes), None);
        }
    }
}
