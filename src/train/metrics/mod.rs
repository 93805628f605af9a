//! TODO-metrics
