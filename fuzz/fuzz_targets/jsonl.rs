//! No bytes of a jsonl file may panic; with bad lines skipped, all of it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use saltworks::corpus::{CorpusOptions, JsonlReader, Tally};
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    for skip_bad_lines in [false, true] {
        let options = CorpusOptions { skip_bad_lines, ..CorpusOptions::default() };
        let mut reader = JsonlReader::new(bytes, Path::new("fuzz.jsonl"), options);
        let mut tally = Tally::default();
        let end = loop {
            match reader.next_document(&mut tally) {
                Ok(Some(document)) => assert!(!document.text.trim().is_empty()),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(end.is_ok() || !skip_bad_lines);
    }
});
