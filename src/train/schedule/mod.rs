//! TODO-schedule
