use super::*;

mod damage;
mod joined;
mod order;
mod provenance;
mod selection;
mod stages;
mod support;
