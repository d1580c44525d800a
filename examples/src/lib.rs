//! Runnable examples: `cargo run --example hello`.
