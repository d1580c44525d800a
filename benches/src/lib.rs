//! What the benches share.

pub mod cpu_time;
pub mod load;
pub mod meta;
pub mod store;
