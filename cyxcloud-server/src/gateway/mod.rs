//! `cyxcloud-gateway`.

pub mod objects;
