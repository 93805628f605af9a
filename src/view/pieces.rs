//! Tokens as text. A token may be part of a character, and a corpus may contain escape sequences.

use super::Surprise;
use crate::visible::printable_but;

/// A stretch of text with one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Whole characters, safe to print.
    pub text: String,
    /// Surprise of its most surprising token.
    pub surprise: Surprise,
}

/// Joins tokens' bytes into spans of whole characters. Bytes that are not UTF-8 become U+FFFD; unseen
/// characters except the line feed are escaped.
pub fn spans(tokens: impl IntoIterator<Item = (Vec<u8>, Surprise)>) -> Vec<Span> {
    let span = |(text, surprises): (String, Vec<Surprise>)| Span {
        text: printable_but(&text, &['\n']),
        surprise: surprises.into_iter().max().unwrap_or(Surprise::Unknown),
    };
    pieces(tokens).into_iter().map(span).collect()
}

/// The same without escapes, with the items that came with the tokens.
pub fn pieces<T>(tokens: impl IntoIterator<Item = (Vec<u8>, T)>) -> Vec<(String, Vec<T>)> {
    let mut pieces = Vec::new();
    let (mut joined, mut items) = (Vec::new(), Vec::new());
    for (bytes, item) in tokens {
        joined.extend(bytes);
        items.push(item);
        if !ends_inside_a_character(&joined) {
            pieces.push((lossy(&joined), std::mem::take(&mut items)));
            joined.clear();
        }
    }
    if !items.is_empty() {
        pieces.push((lossy(&joined), items));
    }
    pieces
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
