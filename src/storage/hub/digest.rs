//! Checks that bytes are those that the hub lists.

use super::contents::Contents;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// A running hash.
pub(super) enum Digest {
    /// With the expected one.
    Known(String, Box<Context>),
    Unknown,
}

impl Digest {
    pub(super) fn of(expected: &Contents) -> Self {
        match expected {
            Contents::Large(hash) => Digest::Known(hash.clone(), Box::new(Context::new(&SHA256))),
            Contents::Git(hash, n_bytes) => {
                // SHA-1 is git's name for a file, not a signature: trust comes from TLS alone.
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {n_bytes}\0").as_bytes());
                Digest::Known(hash.clone(), Box::new(context))
            }
            Contents::Unlisted(_) => Digest::Unknown,
        }
    }

    pub(super) fn update(&mut self, block: &[u8]) {
        if let Digest::Known(_, context) = self {
            context.update(block);
        }
    }

    /// The expected hash and the computed one, in hex; equal if none is known.
    pub(super) fn finish(self) -> (String, String) {
        match self {
            Digest::Known(expected, context) => {
                let bytes = context.finish();
                let got = bytes.as_ref().iter().map(|byte| format!("{byte:02x}"));
                (expected.to_ascii_lowercase(), got.collect())
            }
            Digest::Unknown => Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expected: &Contents, bytes: &[u8]) -> (String, String) {
        let mut digest = Digest::of(expected);
        let (a, b) = bytes.split_at(bytes.len() / 2);
        digest.update(a);
        digest.update(b);
        digest.finish()
    }

    #[test]
    fn hashes_are_those_of_sha256sum_and_of_git_hash_object() {
        // printf 'hello\n' | sha256sum; printf 'hello\n' | git hash-object --stdin (git 2.47)
        let large = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let (expected, got) = of(&Contents::Large(large.to_owned()), b"hello\n");
        assert_eq!(expected, got);
        let (expected, got) = of(&Contents::Git(git.to_owned(), 6), b"hello\n");
        assert_eq!(expected, got);
        let (expected, got) = of(&Contents::Git(git.to_owned(), 6), b"hellO\n");
        assert_ne!(expected, got);
    }
}
