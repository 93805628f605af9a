use super::*;

mod damage;
mod joined;
mod order;
mod provenance;
mod selection;
mod stages;
#[cfg(feature = "object-stores")]
mod stored;
mod support;
