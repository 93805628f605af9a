//! Hugging Face's tokenizers, and the bytes of each of their ids.

use super::error::TokensError;
use super::growth::check_growth;
use super::pieces::{JoinPoints, PiecesError, Placed, Sizes, Steps, WHOLE_BYTES, encode_pieces};
use super::spelling_check::SpellingCheck;
use super::template::AffixIds;
use super::tokenizer_kind::other_kind;
use crate::error::guarded;
use crate::storage;
use serde::Deserialize;
use serde_json::Value;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tokenizers::Model as _;

/// Ids must be below this, so that a table of them stays small whatever a file claims.
pub(super) const MAX_VOCAB: u32 = 1 << 24;

/// A tokenizer, with the bytes of each token.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    /// By id; ids may have gaps.
    entries: Vec<Option<Entry>>,
    around: AffixIds,
    join_points: JoinPoints,
}

struct Entry {
    bytes: Box<[u8]>,
    special: bool,
}

impl Tokenizer {
    /// Opens a `tokenizer.json`. Its truncation and padding are disabled: they are for a model's batches, not for a
    /// corpus.
    ///
    /// # Errors
    /// I/O, not a tokenizer, or one whose output is random.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        Self::from_bytes(&storage::read(path)?, path)
    }

    /// Like [`open`](Self::open), from the file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// Not a tokenizer, or one whose output is random.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, TokensError> {
        let fault = |reason: String| TokensError::NotATokenizer {
            path: path.to_path_buf(),
            reason,
        };
        // Checked as JSON first: on invalid JSON the library panics in some places.
        if let Some(other) = other_kind(bytes) {
            return Err(fault(other));
        }
        let parts: Parts =
            serde_json::from_slice(bytes).map_err(|error| fault(error.to_string()))?;
        check_growth(&[&parts.normalizer, &parts.pre_tokenizer]).map_err(fault)?;
        let around = AffixIds::of(&parts.post_processor).map_err(fault)?;
        let inner = guarded(|| open_inner(bytes)).and_then(|opened| opened);
        let inner = inner.map_err(fault)?;
        if let tokenizers::ModelWrapper::BPE(bpe) = inner.get_model()
            && let Some(dropout) = bpe.dropout.filter(|&dropout| dropout > 0.0)
        {
            return Err(TokensError::Dropout {
                path: path.to_path_buf(),
                dropout,
            });
        }
        parts.check_added_ids(&inner).map_err(fault)?;
        let entries = entries_of(&inner, &Spelling::of(&parts)).map_err(fault)?;
        let mut ids = around.front.iter().chain(&around.after);
        if let Some(id) = ids.find(|&&id| id as usize >= entries.len()) {
            let n_ids = entries.len();
            return Err(fault(format!(
                "its post-processor adds id {id}, outside its vocabulary of {n_ids}"
            )));
        }
        Ok(Self {
            path: path.to_path_buf(),
            join_points: join_points_of(&inner, &parts),
            inner,
            entries,
            around,
        })
    }

    /// Largest id + 1, added tokens included.
    pub fn vocab_size(&self) -> u32 {
        self.entries.len() as u32
    }

    /// `blake3:<hex>` over the canonical id-to-bytes table and the special ids: equal for two files exactly if every id
    /// has the same bytes and the same ids are special, however the files spell them.
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

    /// Ids of a text, without special tokens around it (special tokens IN the text are recognized, as everywhere in
    /// that library). A long text is encoded in pieces, with the same ids.
    ///
    /// # Errors
    /// Text for which the tokenizer has no ids, or that is too long to be encoded at once and cannot be split; the
    /// message names the tokenizer, not the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokensError> {
        if text.len() <= WHOLE_BYTES {
            return self.encode_whole(text);
        }
        let mut ids = Vec::new();
        self.encode_to(text, |piece| {
            ids.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(ids)
    }

    /// Like [`encode`](Self::encode), but the ids go to `sink` in pieces, which are encoded on all threads of the
    /// current rayon pool.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode) and of the sink.
    pub fn encode_to(
        &self,
        text: &str,
        sink: impl FnMut(&[u32]) -> Result<(), TokensError>,
    ) -> Result<(), TokensError> {
        self.encode_sized(text, Sizes::default(), sink)
    }

    fn encode_sized(
        &self,
        text: &str,
        sizes: Sizes,
        sink: impl FnMut(&[u32]) -> Result<(), TokensError>,
    ) -> Result<(), TokensError> {
        let steps = Steps {
            whole: |text: &str| self.encode_whole(text),
            window: |text: &str, range: Range<usize>| self.encode_window(text, range),
            sink,
        };
        encode_pieces(text, self.join_points, sizes, steps).map_err(|error| match error {
            PiecesError::Caller(error) => error,
            PiecesError::NoJoin { at } => TokensError::NoPieces {
                location: self.path.display().to_string(),
                n_bytes: text.len(),
                at,
            },
        })
    }

    fn encode_whole(&self, text: &str) -> Result<Vec<u32>, TokensError> {
        let encoded = guarded(|| self.inner.encode_fast(text, false));
        let encoding = encoded.map_err(|reason| self.fault(reason))?;
        let encoding = encoding.map_err(|error| self.fault(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of part of a text, encoded by itself, with offsets in the whole.
    fn encode_window(&self, text: &str, range: Range<usize>) -> Result<Vec<Placed>, TokensError> {
        let encoded = guarded(|| self.inner.encode(&text[range.clone()], false));
        let encoding = encoded.map_err(|reason| self.fault(reason))?;
        let encoding = encoding.map_err(|error| self.fault(error.to_string()))?;
        let words = encoding.get_word_ids();
        let tokens = std::iter::zip(encoding.get_ids(), encoding.get_offsets()).enumerate();
        Ok(tokens
            .map(|(i, (&id, &(start, end)))| Placed {
                id,
                start: range.start + start,
                end: range.start + end,
                is_word_start: i == 0 || words[i] != words[i - 1],
            })
            .collect())
    }

    fn fault(&self, reason: String) -> TokensError {
        TokensError::Encode {
            location: self.path.display().to_string(),
            reason,
        }
    }

    /// The text of several ids, special tokens included; ids that are not in the vocabulary are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        guarded(|| self.inner.decode(ids, false).ok())
            .ok()
            .flatten()
            .unwrap_or_else(|| ids.iter().map(|&id| self.token_text(id)).collect())
    }

    /// One token for display: control characters escaped, bytes that are not text as `<0xNN>`.
    pub fn token_text(&self, id: u32) -> String {
        match self.entry(id) {
            Some(entry) => readable(&entry.bytes),
            None => format!("<id {id}>"),
        }
    }

    /// Several ids for display: each with its text, or `none`.
    pub fn describe(&self, ids: &[u32]) -> String {
        if ids.is_empty() {
            return "none".to_owned();
        }
        let one = |&id: &u32| format!("{id} `{}`", self.token_text(id));
        ids.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The bytes that one token stands for.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        self.entry(id).map(|entry| entry.bytes.to_vec())
    }

    /// Adds the bytes of `ids`.
    pub(super) fn spell(&self, spelling_check: &mut SpellingCheck<'_>, ids: &[u32]) {
        for &id in ids {
            spelling_check.push_bytes(self.entry(id).map_or(&[], |entry| &entry.bytes));
        }
    }

    /// Whether `ids` spell `text` byte for byte, except for one space in front. Those of a tokenizer that changes case,
    /// normalizes or loses characters do not.
    pub fn spells(&self, text: &str, ids: &[u32]) -> bool {
        let mut spelling_check = SpellingCheck::new(text);
        self.spell(&mut spelling_check, ids);
        spelling_check.is_whole()
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

    /// What the post-processor adds around a text.
    pub(super) fn around(&self) -> &AffixIds {
        &self.around
    }

    fn entry(&self, id: u32) -> Option<&Entry> {
        self.entries.get(id as usize)?.as_ref()
    }
}

/// The library's tokenizer, without truncation and padding and without its post-processor: that one shifts offsets, and
/// what it adds around a text is read from its description.
fn open_inner(bytes: &[u8]) -> Result<tokenizers::Tokenizer, String> {
    let opened = tokenizers::Tokenizer::from_bytes(bytes);
    let mut inner = opened.map_err(|error| error.to_string())?;
    inner
        .with_truncation(None)
        .map_err(|error| error.to_string())?;
    inner.with_padding(None);
    inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
    Ok(inner)
}

/// Where windows of a text may be joined, depending on the model.
fn join_points_of(inner: &tokenizers::Tokenizer, parts: &Parts) -> JoinPoints {
    let tokenizers::ModelWrapper::BPE(bpe) = inner.get_model() else {
        return JoinPoints::Words;
    };
    let has = |token: String| inner.get_model().token_to_id(&token).is_some();
    let has_all_bytes = bpe.byte_fallback && (0..=255).all(|byte| has(format!("<0x{byte:02X}>")));
    let all = [&parts.normalizer, &parts.pre_tokenizer];
    let is_byte_level = all.iter().any(|part| find(part, "ByteLevel").is_some())
        && byte_level_alphabet().all(|c| has(c.to_string()));
    let is_plain = |affix: &Option<String>| affix.as_deref().is_none_or(str::is_empty);
    let is_whole = is_plain(&bpe.continuing_subword_prefix) && is_plain(&bpe.end_of_word_suffix);
    match bpe.unk_token {
        _ if is_whole && (has_all_bytes || is_byte_level) => JoinPoints::Tokens,
        // Pending unknown characters can be reordered with those that fall back to bytes.
        Some(_) if bpe.byte_fallback => JoinPoints::Words,
        Some(_) => JoinPoints::Tokens,
        None => JoinPoints::WordsWithGaps,
    }
}

/// The 256 characters that represent bytes in GPT-2's alphabet.
fn byte_level_alphabet() -> impl Iterator<Item = char> {
    (0..0x144)
        .filter_map(char::from_u32)
        .filter(|&c| byte_of_char(c).is_some())
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
            "id {largest} exceeds the maximum vocabulary of {MAX_VOCAB}"
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

/// Parts of a `tokenizer.json` that the library does not expose.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    added_tokens: Vec<AddedId>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct AddedId {
    id: u32,
    content: String,
}

impl Parts {
    /// The library renumbers added tokens after the model's own, with only a warning if the file disagrees: tokens
    /// would then have other ids than a reader of the file expects.
    fn check_added_ids(&self, inner: &tokenizers::Tokenizer) -> Result<(), String> {
        for AddedId { id, content } in &self.added_tokens {
            let given = inner.token_to_id(content);
            if given != Some(*id) {
                let given = given.map_or("none".to_owned(), |given| given.to_string());
                return Err(format!(
                    "added token `{content}` has id {id} in the file, but would get {given}: ids of added tokens must follow the model's own without gaps"
                ));
            }
        }
        Ok(())
    }
}

/// How tokens encode bytes.
struct Spelling {
    /// GPT-2's alphabet: one printable character per byte.
    byte_level: bool,
    /// Whether `<0xNN>` is a byte.
    byte_fallback: bool,
    /// The character for a space (`▁`).
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

/// The first part of type `wanted`, here or in the parts of a sequence.
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

/// GPT-2's alphabet: printable Latin-1 characters represent themselves, the other 68 bytes, in order, are U+0100 and
/// up.
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
