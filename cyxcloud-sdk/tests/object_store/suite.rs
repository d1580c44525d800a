//! The integration suite of the crate `object_store`, each of its functions a test, over any place that gives an empty store. Shared with the tests of the
//! server, which have gateways to be remote from.

use std::collections::BTreeSet;
use std::process::Command;

use cyxcloud_sdk::object_store::CyxStore;
use object_store::integration;

/// Every function of [`object_store::integration`], called for `$place`: an expression of a future of the store and what must live as long as it.
macro_rules! object_store_suite {
    ($place:expr) => {
        $crate::suite::object_store_suite! { @ $place;
            put_get_delete_list put_get_attributes get_opts put_opts stream_get list_uses_directories_correctly list_with_delimiter
            get_nonexistent_object rename_and_copy copy_if_not_exists copy_rename_nonexistent_object multipart multipart_with_opts
            multipart_put_part_out_of_order multipart_race_condition multipart_out_of_order list_paginated list_with_offset_exclusivity
        }
    };
    (@ $place:expr; $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (store, _kept) = $place.await;
                crate::suite::$case(&store).await;
            }
        )*

        #[test]
        fn no_function_of_the_suite_is_left_out() {
            crate::suite::assert_complete(&[$(stringify!($case)),*]);
        }
    };
}
pub(crate) use object_store_suite;

macro_rules! plain {
    ($($case:ident)*) => { $(pub async fn $case(store: &CyxStore) { integration::$case(store).await; })* };
}
plain! {
    put_get_delete_list put_get_attributes get_opts stream_get list_uses_directories_correctly list_with_delimiter rename_and_copy
    copy_if_not_exists copy_rename_nonexistent_object multipart_out_of_order list_with_offset_exclusivity
}

macro_rules! of_two_traits {
    ($($case:ident)*) => { $(pub async fn $case(store: &CyxStore) { integration::$case(store, store).await; })* };
}
of_two_traits! { multipart multipart_with_opts multipart_put_part_out_of_order list_paginated }

pub async fn put_opts(store: &CyxStore) {
    integration::put_opts(store, true).await;
}

pub async fn multipart_race_condition(store: &CyxStore) {
    integration::multipart_race_condition(store, true).await;
}

pub async fn get_nonexistent_object(store: &CyxStore) {
    let missing = integration::get_nonexistent_object(store, None).await.unwrap_err();
    assert!(matches!(missing, object_store::Error::NotFound { .. }), "{missing}");
}

/// The functions that the crate has, by its own source, are those that are called.
pub fn assert_complete(called: &[&str]) {
    let metadata = Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--offline", "--locked"]).output().unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata = String::from_utf8(metadata.stdout).unwrap();
    let manifest = metadata.split('"').find(|text| text.ends_with("/object_store-0.14.2/Cargo.toml")).expect("the crate has a manifest");
    let source = std::fs::read_to_string(manifest.replace("Cargo.toml", "src/integration.rs")).unwrap();
    let name = |line: &str| Some(line.strip_prefix("pub async fn ")?.split(['(', '<']).next()?.to_owned());
    let there: BTreeSet<String> = source.lines().filter_map(name).collect();
    assert!(there.len() > 10, "{there:?}");
    assert_eq!(there, called.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
}
