//! The model: its dimensions, its parameters in one flat buffer, forward and backward.

mod network;
mod params;
mod spec;

pub use network::{Capacity, MemoryPlan, Network};
pub use params::{LayerSlots, ParamLayout, Params, TensorSlot};
pub use spec::ModelSpec;
