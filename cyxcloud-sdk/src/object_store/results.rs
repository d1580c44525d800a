//! What differs between the versions of the crate: the structs that results come in.

use std::ops::Range;

use super::api::path::Path;
use super::api::{Attributes, GetResult, GetResultPayload, ListResult, ObjectMeta, PutResult};

pub(super) fn put(e_tag: String) -> PutResult {
    PutResult { e_tag: Some(e_tag), version: None, extensions: Default::default() }
}

pub(super) fn get(payload: GetResultPayload, meta: ObjectMeta, range: Range<u64>, attributes: Attributes) -> GetResult {
    GetResult { payload, meta, range, attributes, extensions: Default::default() }
}

pub(super) fn list(common_prefixes: Vec<Path>, objects: Vec<ObjectMeta>) -> ListResult {
    ListResult { common_prefixes, objects, extensions: Default::default() }
}
