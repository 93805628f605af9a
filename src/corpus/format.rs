//! What a file holds, according to its name.

use super::location::name_of;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is inside a file of documents, whatever it is compressed with.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum DocumentFormat {
    /// One JSON object per line.
    Jsonl,
    /// One document per file.
    Text,
    /// One document per row.
    Parquet,
}

/// What a file of documents is compressed with.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Compression {
    /// Nothing.
    None,
    /// gzip, `.gz`.
    Gzip,
    /// Zstandard, `.zst`.
    Zstd,
    /// xz, `.xz`.
    Xz,
    /// bzip2, `.bz2`.
    Bzip2,
    /// LZ4 frames, `.lz4`.
    Lz4,
}

impl Compression {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Xz => "xz",
            Compression::Bzip2 => "bzip2",
            Compression::Lz4 => "lz4",
        }
    }

    /// What the names of such files end in.
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
            Compression::Xz => ".xz",
            Compression::Bzip2 => ".bz2",
            Compression::Lz4 => ".lz4",
        }
    }

    fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "gz" => Compression::Gzip,
            "zst" | "zstd" => Compression::Zstd,
            "xz" => Compression::Xz,
            "bz2" => Compression::Bzip2,
            "lz4" => Compression::Lz4,
            _ => return None,
        })
    }
}

/// What a name says about the contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// This kind.
    Known(DocumentFormat),
    /// Nothing: the name has no extension, so the contents are examined.
    Unspecified,
    /// An unsupported kind, by its extension, with the dot.
    Other(String),
}

/// Extensions of text: prose, markup (read as it is) and source code.
const TEXT_EXTENSIONS: &[&str] = &[
    "txt", "text", "md", "markdown", "rst", "adoc", "org", "tex", "py", "pyi", "rs", "c", "h",
    "cc", "cpp", "cxx", "hh", "hpp", "cu", "cuh", "java", "kt", "kts", "scala", "groovy", "js",
    "mjs", "cjs", "jsx", "ts", "tsx", "go", "rb", "php", "pl", "pm", "sh", "bash", "zsh", "fish",
    "ps1", "lua", "r", "jl", "m", "mm", "swift", "cs", "fs", "vb", "hs", "ml", "mli", "ex", "exs",
    "erl", "clj", "lisp", "el", "scm", "rkt", "d", "nim", "zig", "v", "sv", "vhd", "vhdl", "f",
    "f90", "f95", "for", "pas", "ada", "adb", "ads", "asm", "s", "sql", "proto", "cmake", "mk",
    "gradle", "tf", "dart", "sol", "lean", "thy", "agda", "coq",
];

/// A file's name without a compression extension.
pub fn name_without_compression(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty()
                && Compression::of_extension(&extension.to_lowercase()).is_some() =>
        {
            stem
        }
        _ => name,
    }
}

/// Contents and compression of a file by its name.
pub(super) fn format_of(path: &Path) -> (Contents, Compression) {
    let name = name_of(path).to_lowercase();
    let split = |name: &str| {
        let (stem, extension) = name.rsplit_once('.')?;
        (!stem.is_empty()).then(|| (stem.to_owned(), extension.to_owned()))
    };
    let (stem, compression) = match split(&name) {
        Some((stem, extension)) => match Compression::of_extension(&extension) {
            Some(compression) => (stem, compression),
            None => (name, Compression::None),
        },
        None => (name, Compression::None),
    };
    let Some((_, extension)) = split(&stem) else {
        return (Contents::Unspecified, compression);
    };
    let is_numbered = extension.bytes().all(|byte| byte.is_ascii_digit());
    let contents = match extension.as_str() {
        _ if is_numbered => Contents::Unspecified,
        "jsonl" | "json" | "jsonlines" | "ndjson" => Contents::Known(DocumentFormat::Jsonl),
        "parquet" | "pq" if compression == Compression::None => {
            Contents::Known(DocumentFormat::Parquet)
        }
        text if TEXT_EXTENSIONS.contains(&text) => Contents::Known(DocumentFormat::Text),
        other => Contents::Other(format!(".{other}{}", compression.extension())),
    };
    (contents, compression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_contents_and_compression() {
        use Compression::{Bzip2, Gzip, Lz4, None, Xz, Zstd};
        use DocumentFormat::{Jsonl, Parquet, Text};
        let known = [
            ("a/b.jsonl", Jsonl, None),
            ("b.JSON.GZ", Jsonl, Gzip),
            ("b.ndjson.zst", Jsonl, Zstd),
            ("b.jsonlines.xz", Jsonl, Xz),
            ("b.JSONL.bz2", Jsonl, Bzip2),
            ("b.txt.lz4", Text, Lz4),
            ("b.md", Text, None),
            ("main.rs", Text, None),
            ("b.c.parquet", Parquet, None),
        ];
        for (name, format, compression) in known {
            let found = format_of(Path::new(name));
            assert_eq!(found, (Contents::Known(format), compression), "{name}");
        }
        for unspecified in ["part-00001", "b", "part.00001", "jsonl"] {
            assert_eq!(
                format_of(Path::new(unspecified)),
                (Contents::Unspecified, None),
                "{unspecified}"
            );
        }
        assert_eq!(format_of(Path::new("b.gz")), (Contents::Unspecified, Gzip));
        for (other, extension) in [("b.csv", ".csv"), ("b.parquet.gz", ".parquet.gz")] {
            let (contents, _) = format_of(Path::new(other));
            assert_eq!(contents, Contents::Other(extension.to_owned()));
        }
    }
}
