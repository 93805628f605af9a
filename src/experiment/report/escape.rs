//! Text inside HTML and SVG.

use crate::view::printable;

/// Text as it stands in HTML, attributes included. What is not seen is written out: control
/// characters, which HTML has no way to hold, and marks that turn the direction of the page; line
/// feeds stay.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            safe.push('\n');
        }
        for character in printable(line).chars() {
            match character {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&#39;"),
                other => safe.push(other),
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_an_element_or_turn_the_direction_of_the_page() {
        let text = "<script>\u{202e}a\u{2066}b\u{1b}\n\"'&";
        let safe = escape(text);
        assert_eq!(
            safe,
            "&lt;script&gt;\\u{202e}a\\u{2066}b\\u{1b}\n&quot;&#39;&amp;"
        );
    }
}
