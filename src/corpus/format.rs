//! What a file holds, as its name says.

use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    JsonLines,
    Text,
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// Contents and compression of a file by its name; `None` if the name is of no known kind.
pub(super) fn format_of(path: &Path) -> Option<(Contents, Compression)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (stem, compression) = match name.rsplit_once('.')? {
        (stem, "gz") => (stem, Compression::Gzip),
        (stem, "zst" | "zstd") => (stem, Compression::Zstd),
        _ => (name.as_str(), Compression::None),
    };
    let contents = match stem.rsplit_once('.')?.1 {
        "jsonl" | "json" | "ndjson" => Contents::JsonLines,
        "txt" => Contents::Text,
        "parquet" if compression == Compression::None => Contents::Parquet,
        _ => return None,
    };
    Some((contents, compression))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_contents_and_compression() {
        let of = |name: &str| format_of(Path::new(name));
        assert_eq!(
            of("a/b.jsonl"),
            Some((Contents::JsonLines, Compression::None))
        );
        assert_eq!(
            of("b.JSON.GZ"),
            Some((Contents::JsonLines, Compression::Gzip))
        );
        assert_eq!(
            of("b.ndjson.zst"),
            Some((Contents::JsonLines, Compression::Zstd))
        );
        assert_eq!(of("b.txt"), Some((Contents::Text, Compression::None)));
        assert_eq!(
            of("b.c.parquet"),
            Some((Contents::Parquet, Compression::None))
        );
        for unknown in ["jsonl", "b.csv", "b.gz", "b.parquet.gz", "b.zst", "b"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
