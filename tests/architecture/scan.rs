//! The source of a file as its modules, imports, definitions and paths, without comments, literals and tests.

/// What a module holds.
pub(crate) enum Item {
    /// A child: its items, or `None` where they are in a file of its own.
    Module(String, Option<Vec<Item>>),
    /// One name that is imported or re-exported.
    Use(UseTree),
    /// The name of a function, type, constant or macro.
    Definition(String),
    /// A path of two segments or more.
    Path(Vec<String>),
    /// Any word.
    Word(String),
}

/// One leaf of a `use`.
pub(crate) struct UseTree {
    /// All segments; the last may be `*`.
    pub(crate) path: Vec<String>,
    /// The name that it has here; `None` for `*`.
    pub(crate) name: Option<String>,
    /// `pub`, whatever it is limited to.
    pub(crate) is_public: bool,
}

impl UseTree {
    /// Whether `name` may come from here.
    pub(crate) fn gives(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|own| own == name)
    }

    /// The path to `name::rest`.
    pub(crate) fn path_to(&self, name: &str, rest: &[String]) -> Vec<String> {
        let mut path = self.path.clone();
        if self.name.is_none() {
            path.pop();
            path.push(name.to_owned());
        }
        path.extend_from_slice(rest);
        path
    }
}

/// What the file with this text holds.
pub(crate) fn items(text: &str) -> Vec<Item> {
    items_of(&without_attributes_and_tests(&tokens(text)))
}

fn items_of(tokens: &[String]) -> Vec<Item> {
    let mut items = Vec::new();
    let (mut depth, mut i) = (0, 0);
    while i < tokens.len() {
        match tokens[i].as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            "use" if i == 0 || is_before_item(&tokens[i - 1]) => {
                let is_public = depth == 0 && is_after_pub(tokens, i);
                i = push_tree(tokens, i + 1, &[], is_public, &mut items);
                continue;
            }
            "mod" if depth == 0 => {
                let name = tokens[i + 1].clone();
                let end = match tokens[i + 2].as_str() {
                    ";" => i + 2,
                    _ => closing(tokens, i + 2),
                };
                let inside = (end > i + 2).then(|| items_of(&tokens[i + 3..end]));
                items.push(Item::Module(name, inside));
                i = end + 1;
                continue;
            }
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
                if depth == 0 && is_word(&tokens[i + 1]) =>
            {
                items.push(Item::Definition(tokens[i + 1].clone()));
            }
            "macro_rules" => items.push(Item::Definition(tokens[i + 2].clone())),
            word if is_word(word) => {
                items.push(Item::Word(word.to_owned()));
                let path = path_from(tokens, i);
                if path.len() > 1 && (i == 0 || tokens[i - 1] != "::") {
                    items.push(Item::Path(path));
                }
            }
            _ => {}
        }
        i += 1;
    }
    items
}

/// Pushes the leaves of the tree that begins at `at`, behind `before`; returns where it ends.
fn push_tree(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    is_public: bool,
    items: &mut Vec<Item>,
) -> usize {
    let mut path = before.to_vec();
    if tokens[at] == "::" {
        // Of another crate, whatever is called so here.
        path.push(tokens[at].clone());
        at += 1;
    }
    while is_word(&tokens[at]) {
        path.push(tokens[at].clone());
        at += 1;
        if tokens[at] != "::" {
            break;
        }
        at += 1;
    }
    match tokens[at].as_str() {
        "{" => {
            at += 1;
            while tokens[at] != "}" {
                at = push_tree(tokens, at, &path, is_public, items);
                at += usize::from(tokens[at] == ",");
            }
            return at + 1;
        }
        "*" => {
            path.push("*".to_owned());
            items.push(Item::Use(UseTree {
                path,
                name: None,
                is_public,
            }));
            return at + 1;
        }
        _ => {}
    }
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let is_renamed = tokens[at] == "as";
    let name = match is_renamed {
        true => Some(tokens[at + 1].clone()),
        false => path.last().cloned(),
    };
    items.push(Item::Use(UseTree {
        path,
        name,
        is_public,
    }));
    at + 2 * usize::from(is_renamed)
}

/// The words that `::` joins, from the one at `at` on.
fn path_from(tokens: &[String], at: usize) -> Vec<String> {
    let mut path = vec![tokens[at].clone()];
    let mut next = at + 1;
    while next + 1 < tokens.len() && tokens[next] == "::" && is_word(&tokens[next + 1]) {
        path.push(tokens[next + 1].clone());
        next += 2;
    }
    path
}

fn is_before_item(token: &str) -> bool {
    matches!(token, ";" | "{" | "}" | ")" | "pub")
}

/// Whether `pub`, or `pub(...)`, stands before the token at `at`.
fn is_after_pub(tokens: &[String], at: usize) -> bool {
    let before = tokens[..at].iter().rev();
    let mut before = before.skip_while(|token| !matches!(token.as_str(), "pub" | ";" | "}"));
    before.next().is_some_and(|token| token == "pub")
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Where the bracket at `open` is closed.
fn closing(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    panic!("a bracket is not closed");
}

/// Attributes go, and with `#[cfg(test)]` the item, field or arm that it is of; so do the limits of `pub`,
/// which are no uses.
fn without_attributes_and_tests(tokens: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i] == "#" && matches!(tokens[i + 1].as_str(), "[" | "!") {
            let open = i + 1 + usize::from(tokens[i + 1] == "!");
            let end = closing(tokens, open);
            let is_test = tokens[open + 1..end].concat() == "cfg(test)";
            i = if is_test {
                end_of_item(tokens, end + 1)
            } else {
                end + 1
            };
        } else if tokens[i] == "in" && tokens[..i].ends_with(&["pub".to_owned(), "(".to_owned()]) {
            i = closing(tokens, i - 1);
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    kept
}

/// One past the item that begins at `at`.
fn end_of_item(tokens: &[String], mut at: usize) -> usize {
    while tokens[at] == "#" {
        at = closing(tokens, at + 1) + 1;
    }
    let mut first = tokens[at..]
        .iter()
        .skip_while(|token| matches!(token.as_str(), "pub" | "(" | "crate" | "super" | ")"));
    let is_import = first.next().is_some_and(|token| token == "use");
    loop {
        match tokens[at].as_str() {
            "{" if !is_import => return closing(tokens, at) + 1,
            "(" | "[" | "{" => at = closing(tokens, at),
            ";" | "," => return at + 1,
            "}" => return at,
            _ => {}
        }
        at += 1;
    }
}

/// Words, `::` and single characters. A literal is `""`; comments and lifetimes are nothing.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (len, token) = match first {
            _ if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), ""),
            _ if rest.starts_with("/*") => (rest.find("*/").unwrap() + 2, ""),
            _ if rest.starts_with("::") => (2, "::"),
            '"' => (string_len(rest), "\"\""),
            '\'' => (quoted_len(rest), ""),
            'r' | 'b' if prefixed_len(rest).is_some() => (prefixed_len(rest).unwrap(), "\"\""),
            _ if is_word(rest) => {
                let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                let len = len.unwrap_or(rest.len());
                (len, &rest[..len])
            }
            _ if first.is_whitespace() => (first.len_utf8(), ""),
            _ => (first.len_utf8(), &rest[..first.len_utf8()]),
        };
        if !token.is_empty() {
            tokens.push(token.to_owned());
        }
        rest = &rest[len..];
    }
    tokens
}

/// Bytes of the string literal that `text` begins with.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.unwrap().0 + 1
}

/// Bytes of the literal with a prefix (`r"`, `r#"`, `b"`, `b'`, `br"`) that `text` begins with.
fn prefixed_len(text: &str) -> Option<usize> {
    let prefix = text
        .find(|c| !matches!(c, 'b' | 'r'))
        .filter(|&len| len <= 2)?;
    let rest = &text[prefix..];
    let n_hashes = rest.find(|c| c != '#')?;
    if n_hashes == 0 && rest.starts_with('\'') {
        return Some(prefix + quoted_len(rest));
    }
    if !rest[n_hashes..].starts_with('"') {
        return None;
    }
    if !text[..prefix].contains('r') {
        return Some(prefix + string_len(rest));
    }
    let end = format!("\"{}", "#".repeat(n_hashes));
    let start = n_hashes + 1;
    Some(prefix + start + rest[start..].find(&end)? + end.len())
}

/// Bytes of the character literal or the lifetime that `text` begins with.
fn quoted_len(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next().unwrap();
    let (second_at, second) = characters.next().unwrap();
    if first == '\\' {
        return second_at
            + second.len_utf8()
            + text[second_at + second.len_utf8()..].find('\'').unwrap()
            + 1;
    }
    match second {
        '\'' => second_at + 1,
        _ => {
            text[1..]
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap()
                + 1
        }
    }
}
