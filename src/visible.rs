//! Makes untrusted text visible: characters that have no shape of their own, or that affect a terminal, are
//! shown by their number.

/// Whether `character` is invisible on its own: it controls a terminal, changes the direction of the text after
/// it (such as U+202E, which can make one name read as another), breaks a line, or has no shape at all.
///
/// Joiners and soft hyphens do not count, since writing systems need them.
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` on one line and without effect on a terminal: unseen characters are escaped, as in `\n` or
/// `\u{202e}`.
pub fn printable(text: &str) -> String {
    printable_but(text, &[])
}

/// The same, but the characters in `kept` stay as they are.
pub fn printable_but(text: &str, kept: &[char]) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unseen(character) && !kept.contains(&character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// JSON for the same value with unseen characters in JSON's own escapes. `json` must come from `serde_json`,
/// which puts line breaks only between values.
pub fn printable_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unseen(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe += &format!("\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_shown_by_code_point() {
        assert_eq!(printable("a\tb\u{1b}[2J\n"), "a\\tb\\u{1b}[2J\\n");
        assert_eq!(printable("x\u{202e}gpj.exe"), "x\\u{202e}gpj.exe");
        assert_eq!(printable("\u{9b}2J\u{7f}"), "\\u{9b}2J\\u{7f}");
    }

    #[test]
    fn every_control_and_every_mark_of_direction_is_unseen() {
        let controls = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}');
        let directions = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        for character in controls.chain(directions.chars()) {
            assert!(is_unseen(character), "{character:?}");
        }
    }

    #[test]
    fn writing_of_any_language_stays_as_it_is() {
        for text in [
            "Grüße, ça va?",
            "नमस्ते",
            "می\u{200c}خواهم",
            "👩\u{200d}🔬",
            "שלום",
            "a·▁Ġ",
        ] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn json_keeps_its_value_and_loses_what_is_not_seen() {
        let value = serde_json::json!({"a\u{202e}": ["\u{1b}[2J", "\u{e0041}\u{9b}", "é\n"]});
        for text in [value.to_string(), format!("{value:#}")] {
            let safe = printable_json(&text);
            assert!(safe.chars().all(|c| !is_unseen(c) || c == '\n'), "{safe}");
            let read: serde_json::Value = serde_json::from_str(&safe).expect("still JSON");
            assert_eq!(read, value);
        }
    }
}
