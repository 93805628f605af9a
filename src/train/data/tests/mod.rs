use super::*;

mod damage;
mod order;
mod provenance;
mod selection;
mod stages;
mod support;
