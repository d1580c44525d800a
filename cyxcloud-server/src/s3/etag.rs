//! Entity tags.

use cyxcloud_sdk::core::id::VersionId;
use md5::{Digest, Md5};
use s3s::dto::ETag;

/// An entity tag that is not an MD5: the suffix tells clients so, and they do not compare it with the body's.
pub(super) fn of_version(version: VersionId, parts: usize) -> String {
    format!("{version}-{}", parts.max(1))
}

/// `md5(md5(part 1) md5(part 2) ...)-N` of the parts' entity tags; None when one of them is not an MD5.
pub(super) fn of_parts<'a>(etags: impl ExactSizeIterator<Item = &'a str>) -> Option<String> {
    let count = etags.len();
    let mut hasher = Md5::new();
    for etag in etags {
        hasher.update(hex::decode(etag).ok().filter(|bytes| bytes.len() == 16)?);
    }
    Some(format!("{}-{count}", hex::encode(hasher.finalize())))
}

/// As s3s answers it.
pub(super) fn answer(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipart_etags_are_those_of_aws() {
        // Two parts of 5 MiB of zeros and one byte of zero.
        let five_mib = hex::encode(Md5::digest(vec![0u8; 5 << 20]));
        let one = hex::encode(Md5::digest([0u8]));
        assert_eq!(five_mib, "5f363e0e58a95f06cbe9bbc662c5dfb6");
        let mut all = hex::decode(&five_mib).unwrap();
        all.extend(hex::decode(&one).unwrap());
        assert_eq!(of_parts([five_mib.as_str(), one.as_str()].into_iter()).unwrap(), format!("{}-2", hex::encode(Md5::digest(all))));
        assert_eq!(of_parts(["abc-1"].into_iter()), None);
    }

    #[test]
    fn version_etags_do_not_look_like_md5() {
        assert_eq!(of_version(VersionId([1; 16]), 0), format!("{}-1", "01".repeat(16)));
    }
}
