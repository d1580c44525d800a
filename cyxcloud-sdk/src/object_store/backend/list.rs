//! Lists: whole, one directory, one page.

use async_trait::async_trait;
use futures::future;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::convert::{failed, invalid, meta, path};
use super::{CyxStore, api, results};
use crate::{ListQuery, Listing, ObjectHead, ScanStart};
use api::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use api::path::{DELIMITER, Path};
use api::{ListResult, ObjectMeta, Result};

/// Objects and directories of one page.
const PAGE: usize = 1000;

/// Paths are matched by whole segments.
fn directory(prefix: Option<&Path>) -> String {
    match prefix {
        Some(prefix) if !prefix.as_ref().is_empty() => format!("{prefix}{DELIMITER}"),
        _ => String::new(),
    }
}

fn object(head: &ObjectHead) -> Option<ObjectMeta> {
    Some(meta(path(head.key.as_str())?, head))
}

fn result(page: &Listing) -> ListResult {
    let prefixes = page.prefixes.iter().filter_map(|prefix| path(prefix.strip_suffix(DELIMITER).unwrap_or(prefix)));
    results::list(prefixes.collect(), page.objects.iter().filter_map(object).collect())
}

impl CyxStore {
    pub(super) fn list_from(&self, prefix: Option<&Path>, start: ScanStart) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, location) = (self.clone(), directory(prefix), prefix.cloned().unwrap_or_default());
        let heads = async move {
            let heads = store.bucket().await?.list_from(&prefix, start);
            Ok::<_, api::Error>(heads.map_err(move |error| failed(&location, error)))
        };
        stream::once(heads).try_flatten().try_filter_map(|head| future::ready(Ok(object(&head)))).boxed()
    }

    pub(super) async fn list_directory(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let location = prefix.cloned().unwrap_or_default();
        let mut all = results::list(Vec::new(), Vec::new());
        let mut start = ScanStart::First;
        loop {
            let query = ListQuery { prefix: directory(prefix), delimiter: Some(DELIMITER.into()), start, limit: PAGE };
            let page = self.bucket().await?.list_page(query).await.map_err(|error| failed(&location, error))?;
            let found = result(&page);
            all.objects.extend(found.objects);
            all.common_prefixes.extend(found.common_prefixes);
            if !page.truncated {
                return Ok(all);
            }
            start = ScanStart::After(page.last);
        }
    }
}

#[async_trait]
impl PaginatedListStore for CyxStore {
    async fn list_paginated(&self, prefix: Option<&str>, opts: PaginatedListOptions) -> Result<PaginatedListResult> {
        let start = opts.page_token.or(opts.offset).map_or(ScanStart::First, ScanStart::After);
        let limit = opts.max_keys.unwrap_or(PAGE);
        if limit == 0 {
            return Err(invalid("a page of no keys leads nowhere; max_keys must be at least 1"));
        }
        let delimiter = opts.delimiter.map(|delimiter| delimiter.into_owned());
        let query = ListQuery { prefix: prefix.unwrap_or_default().to_owned(), delimiter, start, limit: limit.min(PAGE) };
        let page = self.bucket().await?.list_page(query).await.map_err(|error| failed(&Path::default(), error))?;
        Ok(PaginatedListResult { result: result(&page), page_token: page.truncated.then_some(page.last) })
    }
}
