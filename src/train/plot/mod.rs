//! TODO-plot
