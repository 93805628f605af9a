//! Tokens as text: a token may hold part of a character, and a corpus may hold escape sequences.

use super::Surprise;
use crate::visible::printable_but;

/// A stretch of text with one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Whole characters, safe to print.
    pub text: String,
    /// That of its most surprising token.
    pub surprise: Surprise,
}

/// Joins tokens' bytes to spans that begin and end at characters. Bytes that are no UTF-8 become
/// U+FFFD; what is not seen is escaped, but for the line feed.
pub fn spans(tokens: impl IntoIterator<Item = (Vec<u8>, Surprise)>) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut pending: Option<(Vec<u8>, Surprise)> = None;
    for (bytes, surprise) in tokens {
        let (mut joined, before) = pending.take().unwrap_or((Vec::new(), Surprise::Unknown));
        joined.extend(bytes);
        let surprise = before.max(surprise);
        if ends_inside_a_character(&joined) {
            pending = Some((joined, surprise));
        } else {
            spans.push(span(&joined, surprise));
        }
    }
    spans.extend(pending.map(|(bytes, surprise)| span(&bytes, surprise)));
    spans
}

fn span(bytes: &[u8], surprise: Surprise) -> Span {
    let text = String::from_utf8_lossy(bytes);
    let text = printable_but(&text, &['\n']);
    Span { text, surprise }
}

/// Whether more bytes could complete the last character.
fn ends_inside_a_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_split_over_tokens_is_shown_whole_with_the_greater_surprise() {
        let euro = "€".as_bytes();
        let tokens = [
            (b"a".to_vec(), Surprise::Certain),
            (euro[..1].to_vec(), Surprise::Shocking),
            (euro[1..].to_vec(), Surprise::Certain),
            (b"b".to_vec(), Surprise::Open),
        ];
        let spans = spans(tokens);
        let texts: Vec<&str> = spans.iter().map(|span| span.text.as_str()).collect();
        assert_eq!(texts, ["a", "€", "b"]);
        assert_eq!(spans[1].surprise, Surprise::Shocking);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let joined = spans([
            (vec![0xff], Surprise::Open),
            (vec![0xe2, 0x82], Surprise::Open),
        ]);
        assert!(joined.iter().all(|span| span.text.contains('\u{fffd}')));
        assert_eq!(joined.len(), 2);
    }

    #[test]
    fn escape_sequences_of_the_corpus_do_not_reach_the_terminal() {
        let shown = spans([(b"\x1b[2Jx\ny\r".to_vec(), Surprise::Open)]);
        assert_eq!(shown[0].text, "\\u{1b}[2Jx\ny\\r");
    }
}
