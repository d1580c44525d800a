//! The backend of [`crate::object_store`] for version 0.13 of that crate, which DataFusion 55 and delta-rs 1 have. The code is the same, without `MultipartStore`, `PaginatedListStore` and
//! `Signer`.

use ::object_store_013 as api;

#[allow(clippy::duplicate_mod, reason = "the same code against another version of the traits")]
#[path = "../object_store/backend/mod.rs"]
mod backend;
mod results;

pub use backend::*;
