//! What a person sees: rows decoded, distributions drawn.
