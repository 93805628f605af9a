//! The tokenizer, token files, and sequences as views over them.
