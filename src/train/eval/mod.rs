//! TODO-eval
