//! TODO-config
