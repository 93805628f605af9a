//! Whether the tokens of a text spell it byte for byte.
//!
//! A byte-level tokenizer preserves every byte. Others put a space in front of the text, which adds nothing for a model
//! to learn. But those that change case, normalize characters, drop spaces or have no token for a character lose some
//! of the text: their models have less to predict.

/// Compares a text with its tokens, which come in pieces.
#[derive(Debug, Clone)]
pub(super) struct SpellingCheck<'t> {
    text: &'t [u8],
    /// Bytes matched so far, if the tokens spell the text itself, or the text after one extra space; `None` once they
    /// differ.
    plain: Option<usize>,
    spaced: Option<usize>,
}

impl<'t> SpellingCheck<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        SpellingCheck {
            text: text.as_bytes(),
            plain: Some(0),
            spaced: Some(0),
        }
    }

    /// Adds the bytes of the next token.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        let text = self.text;
        let follow = |at: Option<usize>, bytes: &[u8]| {
            let at = at?;
            text[at..].starts_with(bytes).then_some(at + bytes.len())
        };
        // The extra space can come only with the first bytes.
        let is_start = self.plain == Some(0);
        self.plain = follow(self.plain, bytes);
        self.spaced = match bytes.strip_prefix(b" ") {
            Some(rest) if is_start => follow(Some(0), rest),
            _ if is_start && !bytes.is_empty() => None,
            _ => follow(self.spaced, bytes),
        };
    }

    /// Whether the tokens spell the whole text.
    pub(super) fn is_whole(&self) -> bool {
        [self.plain, self.spaced].contains(&Some(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(text: &str, pieces: &[&str]) -> bool {
        let mut spelling_check = SpellingCheck::new(text);
        for piece in pieces {
            spelling_check.push_bytes(piece.as_bytes());
        }
        spelling_check.is_whole()
    }

    #[test]
    fn one_more_space_in_front_spells_the_text_and_nothing_else_does() {
        assert!(is_whole("a b", &["a", " b"]));
        assert!(is_whole("a b", &[" a", " b"]));
        assert!(is_whole("a b", &[" ", "a", " b"]));
        assert!(is_whole("a b", &["", " a", "", " b"]));
        assert!(
            is_whole(" a", &[" a"]) && is_whole(" a", &["  a"]) && is_whole(" a", &[" ", " a"])
        );
        assert!(is_whole("\u{e9}", &["\u{e9}"]));
        for pieces in [
            &["a"][..],
            &["a", "b"],
            &["a", "  b"],
            &["A", " b"],
            &["  a", " b"],
            &["a", " b", "c"],
            &["a", " b", " "],
            &["a", " ", " b"],
            &[],
        ] {
            assert!(!is_whole("a b", pieces), "{pieces:?}");
        }
    }

    #[test]
    fn bytes_of_one_character_may_be_of_several_tokens() {
        let mut spelling_check = SpellingCheck::new("\u{1f9c2}");
        for byte in "\u{1f9c2}".as_bytes() {
            assert!(!spelling_check.is_whole());
            spelling_check.push_bytes(&[*byte]);
        }
        assert!(spelling_check.is_whole());
    }
}
