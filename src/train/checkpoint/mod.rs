//! TODO-checkpoint
