//! What a file holds, according to its first bytes.

use super::format::{Compression, DocumentFormat};
use super::json;

/// Bytes examined at the beginning.
pub(super) const HEAD_BYTES: usize = 4096;

/// An unsupported kind of content, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) name: &'static str,
    pub(super) remedy: &'static str,
}

const UNPACK: &str = "unpack it and give the files inside";
const TO_UTF8: &str = "convert it to UTF-8, as with `iconv -f UTF-16 -t UTF-8`";
const FROM_UTF32: &str = "convert it to UTF-8, as with `iconv -f UTF-32 -t UTF-8`";
const EXTRACT: &str = "extract its text first";
const NOT_TEXT: &str = "leave it out, or give the text itself";

const MAGICS: &[(&[u8], &str, &str)] = &[
    (b"\xff\xfe\0\0", "UTF-32 text", FROM_UTF32),
    (b"\0\0\xfe\xff", "UTF-32 text", FROM_UTF32),
    (b"\xff\xfe", "UTF-16 text", TO_UTF8),
    (b"\xfe\xff", "UTF-16 text", TO_UTF8),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"PK\x05\x06", "an empty zip archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"%PDF-", "a PDF", EXTRACT),
    (b"{\\rtf", "an RTF document", EXTRACT),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Office document",
        EXTRACT,
    ),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (
        b"\x93NUMPY",
        "a NumPy array",
        "if it contains tokens, label it without tokenizing",
    ),
    (b"GGUF", "a GGUF model", NOT_TEXT),
    (
        b"SQLite format 3\0",
        "an SQLite database",
        "export its text",
    ),
    (b"\x7fELF", "a program", NOT_TEXT),
    (b"\x89PNG\r\n", "a PNG image", NOT_TEXT),
    (b"\xff\xd8\xff", "a JPEG image", NOT_TEXT),
    (b"\x1f\x9d", "data of `compress` (.Z)", "decompress it"),
    (
        b"MMIDIDX\0\0",
        "a Megatron index",
        "it contains tokens: label it without tokenizing",
    ),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file",
        "fetch the file with `git lfs pull`",
    ),
    (
        b"Obj\x01",
        "an Avro file",
        "write it as JSON lines or Parquet",
    ),
];

/// The compression that the first bytes of a file show.
pub(super) fn compression_of(head: &[u8]) -> Compression {
    let is_bzip2 = || {
        head.starts_with(b"BZh")
            && matches!(head.get(3), Some(b'1'..=b'9'))
            && matches!(
                head.get(4..10),
                Some(b"1AY&SY" | b"\x17\x72\x45\x38\x50\x90")
            )
    };
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Compression::Lz4,
        _ if is_bzip2() => Compression::Bzip2,
        _ => Compression::None,
    }
}

/// The kind of the first decompressed bytes, if they are not text that we read.
pub(super) fn foreign(head: &[u8]) -> Option<Foreign> {
    let of = |name, remedy| Some(Foreign { name, remedy });
    if let Some((_, name, remedy)) = MAGICS.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return of(name, remedy);
    }
    match compression_of(head) {
        Compression::None => {}
        // It has already been decompressed once.
        twice => {
            return of(
                twice.name(),
                "it is compressed more than once: decompress it first",
            );
        }
    }
    if head.starts_with(b"PAR1") {
        return of("a Parquet file", "rename it to end in .parquet");
    }
    if head.get(257..262) == Some(b"ustar") {
        return of("a tar archive", UNPACK);
    }
    if head.len() >= 16 && head.iter().all(|&byte| byte == 0) {
        return of("nothing but zero bytes", "fetch or write the file again");
    }
    if is_four_bytes_wide(head) {
        return of("UTF-32 text", FROM_UTF32);
    }
    if is_wide(head) {
        return of("UTF-16 text", TO_UTF8);
    }
    None
}

/// Whether it is a web page: in place of data, usually a server's error message.
pub(crate) fn is_html(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = head.trim_ascii_start();
    let starts_with = |word: &[u8]| {
        let found = start.get(..word.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    starts_with(b"<!doctype html") || starts_with(b"<html")
}

/// Two bytes per character, one of them nearly always zero: UTF-16 without a byte order mark.
fn is_wide(head: &[u8]) -> bool {
    let pairs = head.as_chunks::<2>().0;
    let n_zero = |at: usize| pairs.iter().filter(|pair| pair[at] == 0).count();
    let few = pairs.len() / 20;
    let most = pairs.len() * 9 / 10;
    pairs.len() >= 8
        && ((n_zero(1) >= most && n_zero(0) <= few) || (n_zero(0) >= most && n_zero(1) <= few))
}

/// UTF-32 without a byte order mark: of every four bytes, three are nearly always zero.
fn is_four_bytes_wide(head: &[u8]) -> bool {
    let words = head.as_chunks::<4>().0;
    let at_end = |at: usize| {
        let is_ascii =
            |word: &&[u8; 4]| word.iter().enumerate().all(|(i, b)| (*b == 0) != (i == at));
        words.iter().filter(is_ascii).count() * 10 >= words.len() * 9
    };
    words.len() >= 4 && (at_end(0) || at_end(3))
}

/// Whether text begins with JSON lines: its first two lines, or its only one, are objects with a string in
/// `field`. `begin` is the beginning of a file, and may be all of it.
pub(super) fn begins_with_json_lines(begin: &[u8], field: &str) -> bool {
    let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    let mut lines = begin.split_inclusive(|&byte| byte == b'\n');
    let is_document = |line: &[u8]| match json::parse_line(line, &[field]) {
        Ok(json::Line::Object(values)) => matches!(values[..], [Some(json::Value::Text { .. })]),
        _ => false,
    };
    let first = lines.next().is_some_and(is_document);
    // The last line may be cut where the beginning ends.
    first
        && lines
            .next()
            .is_none_or(|line| !line.ends_with(b"\n") || is_document(line))
}

/// The format of a file whose name says nothing.
pub(super) fn contents_of(head: &[u8]) -> DocumentFormat {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mut bytes = head.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (bytes.next(), bytes.next()) {
        _ if head.starts_with(b"PAR1") => DocumentFormat::Parquet,
        (Some(b'{'), Some(b'"' | b'}')) => DocumentFormat::Jsonl,
        _ => DocumentFormat::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_kinds_are_detected_by_their_first_bytes() {
        let named = |head: &[u8]| foreign(head).map(|foreign| foreign.name);
        assert_eq!(named(b"\xff\xfea\0"), Some("UTF-16 text"));
        assert_eq!(named(&b"a\0".repeat(30)), Some("UTF-16 text"));
        assert_eq!(named(&b"\0a".repeat(30)), Some("UTF-16 text"));
        assert_eq!(named(&[0; 100]), Some("nothing but zero bytes"));
        assert_eq!(named(&b"a\0\0\0".repeat(9)), Some("UTF-32 text"));
        assert_eq!(named(&b"\0\0\0a".repeat(9)), Some("UTF-32 text"));
        assert_eq!(named(b"\0\0\xfe\xff\0\0\0a"), Some("UTF-32 text"));
        assert_eq!(named(b"%PDF-1.7"), Some("a PDF"));
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(named(&tar), Some("a tar archive"));
        for text in [
            b"plain text".as_slice(),
            b"{\"text\":1}",
            b"",
            b"a\0b with one zero",
        ] {
            assert_eq!(named(text), None);
        }
        assert!(is_html(b"\n <!DOCTYPE HTML><html>") && !is_html(b"<p>"));
    }

    #[test]
    fn json_lines_are_told_from_text() {
        let begins = |begin: &str| begins_with_json_lines(begin.as_bytes(), "text");
        assert!(begins("{\"text\": \"a\"}\n{\"text\": \"b\"}\n"));
        assert!(begins(
            "\u{feff}{\"id\": 1, \"text\": \"a\"}\n{\"text\": \"b"
        ));
        assert!(begins("{\"text\": \"a\"}"));
        for text in [
            "{\"text\": \"a\"}\nand then\n",
            "{\"name\": \"a\"}\n",
            "{\"text\":",
            "",
            "text",
        ] {
            assert!(!begins(text), "{text}");
        }
    }

    #[test]
    fn a_file_without_a_kind_is_json_lines_parquet_or_text() {
        assert_eq!(contents_of(b"\n{ \"text\": 1}"), DocumentFormat::Jsonl);
        assert_eq!(contents_of(b"PAR1..."), DocumentFormat::Parquet);
        assert_eq!(contents_of(b"{x} is a set"), DocumentFormat::Text);
        assert_eq!(contents_of(b""), DocumentFormat::Text);
    }
}
