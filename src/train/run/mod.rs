//! TODO-run
