//! The on-disk contract: plan, shards, sidecars, manifest.
