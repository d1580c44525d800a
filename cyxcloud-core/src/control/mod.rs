//! Pure decisions over views: what state a node is in, how endangered a chunk is, what repair should do next.
//!
//! Everything here is a total function of its arguments. The engine gathers the views, asks, and carries out the answer.

pub mod balance;
#[cfg(test)]
mod documented;
pub mod durability;
pub mod health;
pub mod job;
pub mod lifecycle;
pub mod repair;
