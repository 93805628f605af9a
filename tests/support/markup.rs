//! Pages as tests read them.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

/// An opening tag.
#[derive(Debug)]
pub struct Tag {
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Every opening tag. Fails where tags do not nest, an attribute is not in quotes, or text has a `<`
/// or an `&` that begins no entity.
pub fn check_markup(html: &str) -> Vec<Tag> {
    const VOID: [&str; 4] = ["meta", "input", "br", "rect"];
    let (mut tags, mut open): (Vec<Tag>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap_or(html);
    while let Some(at) = rest.find('<') {
        check_entities(&rest[..at]);
        rest = &rest[at..];
        if let Some(closed) = rest.strip_prefix("</") {
            let (name, after) = closed.split_once('>').unwrap();
            assert_eq!(open.pop().as_deref(), Some(name), "before {:.80}", after);
            rest = after;
            continue;
        }
        let (tag, after) = opening_tag(&rest[1..]);
        rest = after;
        // What these hold is not markup.
        if tag.name == "script" || tag.name == "style" {
            let end = format!("</{}>", tag.name);
            rest = rest.split_once(&end).expect("it is closed").1;
        } else if !VOID.contains(&tag.name.as_str()) {
            open.push(tag.name.clone());
        }
        tags.push(tag);
    }
    check_entities(rest);
    assert!(open.is_empty(), "not closed: {open:?}");
    tags
}

fn opening_tag(text: &str) -> (Tag, &str) {
    let end = text.find([' ', '>', '/']).unwrap();
    let name = text[..end].to_owned();
    assert!(
        name.bytes().all(|b| b.is_ascii_alphanumeric()),
        "<{text:.60}"
    );
    let (mut attributes, mut rest) = (Vec::new(), text[end..].trim_start());
    loop {
        if let Some(after) = rest.strip_prefix("/>").or_else(|| rest.strip_prefix('>')) {
            return (Tag { name, attributes }, after);
        }
        let end = rest.find(['=', ' ', '>']).unwrap();
        let key = rest[..end].to_owned();
        match rest[end..].strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').unwrap();
                check_entities(value);
                attributes.push((key, value.to_owned()));
                rest = after.trim_start();
            }
            // Without a value, as `checked` is.
            None => {
                assert!(!rest[end..].starts_with('='), "{rest:.60}");
                attributes.push((key, String::new()));
                rest = rest[end..].trim_start();
            }
        }
    }
}

fn check_entities(text: &str) {
    assert!(!text.contains('<'), "{text:.80}");
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(
            known.iter().any(|entity| text[at..].starts_with(entity)),
            "{:.60}",
            &text[at..]
        );
    }
    let control = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None);
}

/// What is left without tags, entities resolved.
pub fn text_of(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text += before;
        text.push(' ');
        let skipped = match after
            .strip_prefix("script>")
            .or(after.strip_prefix("style>"))
        {
            Some(inner) => inner.split_once("</").map_or("", |pair| pair.1),
            None => after,
        };
        rest = skipped.split_once('>').map_or("", |pair| pair.1);
    }
    text += rest;
    let text = text
        .replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    text.split([' ', '\n'])
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The file that a link holds, by the name that it is saved under.
pub fn linked_file(tags: &[Tag], name: &str) -> String {
    let mut links = tags
        .iter()
        .filter(|tag| tag.attribute("download") == Some(name));
    let href = links.next().unwrap().attribute("href").unwrap();
    let data = href.strip_prefix("data:text/csv;charset=utf-8,").unwrap();
    let mut parts = data.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap()
}

/// Fails where a page would load anything, or links to anything but its own parts and the files in it.
pub fn check_is_alone(page: &str, tags: &[Tag]) {
    for tag in tags {
        assert!(
            !["link", "img", "iframe", "object", "embed", "base"].contains(&tag.name.as_str()),
            "{tag:?}"
        );
        assert!(tag.attribute("src").is_none(), "{tag:?}");
        let is_own = |href: &str| {
            href.starts_with('#')
                || (href.starts_with("data:text/csv") && tag.attribute("download").is_some())
        };
        assert!(tag.attribute("href").is_none_or(is_own), "{tag:?}");
    }
    for part in ["http:", "https:", "url(", "@import"] {
        assert!(!page.contains(part), "{part} is in the page");
    }
}
