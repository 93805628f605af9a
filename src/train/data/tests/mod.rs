use super::*;

mod damage;
mod order;
mod provenance;
mod selection;
mod stages;
#[cfg(feature = "object-stores")]
mod stored;
mod support;
