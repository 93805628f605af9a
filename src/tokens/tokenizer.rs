//! Hugging Face's tokenizers, and what each of their ids stands for.

use super::error::TokensError;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Ids are below this, so that a table of them stays small whatever a file says.
const MAX_VOCAB: u32 = 1 << 24;

/// A tokenizer, with the bytes of each token.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    /// By id; ids may have gaps.
    entries: Vec<Option<Entry>>,
}

struct Entry {
    bytes: Box<[u8]>,
    special: bool,
}

impl Tokenizer {
    /// Opens a `tokenizer.json`. Its truncation and padding are switched off: they are for batches
    /// of a model, not for a corpus.
    ///
    /// # Errors
    /// I/O, not a tokenizer, or one whose output is drawn at random.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        let bytes = std::fs::read(path).map_err(TokensError::io("read", path))?;
        Self::from_bytes(&bytes, path)
    }

    /// As [`open`](Self::open), from the file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// Not a tokenizer, or one whose output is drawn at random.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, TokensError> {
        let fault = |reason: String| TokensError::NotATokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let mut inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| fault(error.to_string()))?;
        inner
            .with_truncation(None)
            .map_err(|error| fault(error.to_string()))?;
        inner.with_padding(None);
        if let tokenizers::ModelWrapper::BPE(bpe) = inner.get_model()
            && let Some(dropout) = bpe.dropout.filter(|&dropout| dropout > 0.0)
        {
            return Err(TokensError::Dropout {
                path: path.to_path_buf(),
                dropout,
            });
        }
        let parts: Parts =
            serde_json::from_slice(bytes).map_err(|error| fault(error.to_string()))?;
        parts.check_added_ids(&inner).map_err(fault)?;
        let entries = entries_of(&inner, &Spelling::of(&parts)).map_err(fault)?;
        Ok(Self {
            path: path.to_path_buf(),
            inner,
            entries,
        })
    }

    /// Largest id + 1, added tokens included.
    pub fn vocab_size(&self) -> u32 {
        self.entries.len() as u32
    }

    /// `blake3:<hex>` over the canonical id-to-bytes table and the special ids: equal for two files
    /// exactly when every id stands for the same bytes and the same ids are special, however the
    /// files spell them.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"saltworks tokenizer 1\n");
        for (id, entry) in self.entries.iter().enumerate() {
            let Some(entry) = entry else { continue };
            hasher.update(&(id as u32).to_le_bytes());
            hasher.update(&[u8::from(entry.special)]);
            hasher.update(&(entry.bytes.len() as u64).to_le_bytes());
            hasher.update(&entry.bytes);
        }
        format!("blake3:{}", hasher.finalize().to_hex())
    }

    /// Ids of a text, without special tokens around it (special tokens IN the text are recognised,
    /// as everywhere in that library).
    ///
    /// # Errors
    /// Text that the tokenizer has no ids for; the message names the tokenizer, not the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokensError> {
        self.encode_with(text, false)
    }

    /// Ids of several texts, in parallel, in their order.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), for the first such text.
    pub fn encode_batch<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
    ) -> Result<Vec<Vec<u32>>, TokensError> {
        use rayon::prelude::*;
        texts
            .par_iter()
            .map(|text| self.encode(text.as_ref()))
            .collect()
    }

    fn encode_with(&self, text: &str, special: bool) -> Result<Vec<u32>, TokensError> {
        let encoding =
            self.inner
                .encode_fast(text, special)
                .map_err(|error| TokensError::Encode {
                    location: self.path.display().to_string(),
                    reason: error.to_string(),
                })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of several ids, special tokens included; ids that are not in the vocabulary are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.inner
            .decode(ids, false)
            .unwrap_or_else(|_| ids.iter().map(|&id| self.token_text(id)).collect())
    }

    /// One token as a person reads it: control characters escaped, bytes that are no text as `<0xNN>`.
    pub fn token_text(&self, id: u32) -> String {
        match self.entry(id) {
            Some(entry) => readable(&entry.bytes),
            None => format!("<id {id}>"),
        }
    }

    /// The bytes that one token stands for.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        self.entry(id).map(|entry| entry.bytes.to_vec())
    }

    /// Whether an id is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.entry(id).is_some_and(|entry| entry.special)
    }

    /// The id of a token as the tokenizer spells it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The id of an added token.
    pub(super) fn added_token_id(&self, token: &str) -> Option<u32> {
        self.inner
            .get_added_vocabulary()
            .get_vocab()
            .get(token)
            .copied()
    }

    /// What the post-processor puts in front of a text, and behind it.
    pub(super) fn ids_around(&self) -> Result<(Vec<u32>, Vec<u32>), TokensError> {
        const ANY_TEXT: &str = "a";
        let bare = self.encode_with(ANY_TEXT, false)?;
        let with = self.encode_with(ANY_TEXT, true)?;
        let n_added = with.len().saturating_sub(bare.len());
        let n_front = (0..=n_added)
            .find(|&n| with[n..].starts_with(&bare))
            .unwrap_or(0);
        let behind = with.get(n_front + bare.len()..).unwrap_or_default();
        Ok((with[..n_front].to_vec(), behind.to_vec()))
    }

    fn entry(&self, id: u32) -> Option<&Entry> {
        self.entries.get(id as usize)?.as_ref()
    }
}

fn entries_of(
    inner: &tokenizers::Tokenizer,
    spelling: &Spelling,
) -> Result<Vec<Option<Entry>>, String> {
    let vocab = inner.get_vocab(false);
    let added = inner.get_added_tokens_decoder();
    let largest = vocab.values().chain(added.keys()).copied().max();
    let largest = largest.ok_or("it has no tokens")?;
    if largest >= MAX_VOCAB {
        return Err(format!(
            "id {largest} is past the largest vocabulary of {MAX_VOCAB}"
        ));
    }
    let mut entries: Vec<Option<Entry>> = Vec::new();
    entries.resize_with(largest as usize + 1, || None);
    for (token, id) in vocab {
        let bytes = spelling.bytes_of(&token).into();
        entries[id as usize] = Some(Entry {
            bytes,
            special: false,
        });
    }
    for (id, token) in added {
        let bytes = token.content.into_bytes().into();
        entries[id as usize] = Some(Entry {
            bytes,
            special: token.special,
        });
    }
    Ok(entries)
}

/// What of a `tokenizer.json` the library does not show.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    added_tokens: Vec<AddedId>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct AddedId {
    id: u32,
    content: String,
}

impl Parts {
    /// The library numbers added tokens anew behind the model's own, with no more than a warning
    /// where the file says otherwise: tokens would then have other ids than the file's reader thinks.
    fn check_added_ids(&self, inner: &tokenizers::Tokenizer) -> Result<(), String> {
        for AddedId { id, content } in &self.added_tokens {
            let given = inner.token_to_id(content);
            if given != Some(*id) {
                let given = given.map_or("none".to_owned(), |given| given.to_string());
                return Err(format!(
                    "added token `{content}` has id {id} in the file, but is given {given}: \
                     added ids must follow the model's own without gaps"
                ));
            }
        }
        Ok(())
    }
}

/// How tokens spell bytes.
struct Spelling {
    /// GPT-2's alphabet: a printable character a byte.
    byte_level: bool,
    /// `<0xNN>` is a byte.
    byte_fallback: bool,
    /// What stands for a space (`▁`).
    space: Option<String>,
}

impl Spelling {
    fn of(parts: &Parts) -> Self {
        let all = [&parts.normalizer, &parts.pre_tokenizer, &parts.decoder];
        let byte_level = all.iter().any(|part| find(part, "ByteLevel").is_some());
        let byte_fallback = find(&parts.decoder, "ByteFallback").is_some();
        let metaspace = all.iter().find_map(|part| find(part, "Metaspace"));
        let space = metaspace
            .map(|part| text_at(part, "/replacement").unwrap_or("▁"))
            .or_else(|| {
                let part = find(&parts.decoder, "Replace")?;
                text_at(part, "/pattern/String").filter(|_| text_at(part, "/content") == Some(" "))
            });
        Self {
            byte_level,
            byte_fallback,
            space: space.map(str::to_owned),
        }
    }

    fn bytes_of(&self, token: &str) -> Vec<u8> {
        if self.byte_level
            && let Some(bytes) = token.chars().map(byte_of_char).collect()
        {
            return bytes;
        }
        if self.byte_fallback
            && let Some(byte) = byte_of_fallback(token)
        {
            return vec![byte];
        }
        match &self.space {
            Some(space) => token.replace(space.as_str(), " ").into_bytes(),
            None => token.as_bytes().to_vec(),
        }
    }
}

/// The first part of that type, in this or in the parts of a sequence.
fn find<'a>(part: &'a Value, wanted: &str) -> Option<&'a Value> {
    match part {
        Value::Object(fields) if fields.get("type")?.as_str() == Some(wanted) => Some(part),
        Value::Object(fields) => fields.values().find_map(|inner| find(inner, wanted)),
        Value::Array(parts) => parts.iter().find_map(|inner| find(inner, wanted)),
        _ => None,
    }
}

fn text_at<'a>(part: &'a Value, pointer: &str) -> Option<&'a str> {
    part.pointer(pointer)?.as_str()
}

/// GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes in their order for
/// U+0100 and up.
fn byte_of_char(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

fn byte_of_fallback(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default())
            } else {
                text.push(c)
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("<0x{byte:02X}>"));
        }
    }
    text
}

#[cfg(test)]
mod tests;
