//! Key files: text, so that a key can be printed and typed in again.
//!
//! ```text
//! cyxcloud key v1
//! id 0f1e...        16 bytes, hexadecimal: tells keys apart, and a key with a typing error from the right one
//! key 9a8b...       32 bytes, hexadecimal
//! ```

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::path::Path;

use cyxcloud_core::{Error, ErrorKind, Result};
use zeroize::{Zeroize, Zeroizing};

use super::key::Kek;

const FIRST_LINE: &str = "cyxcloud key v1";
/// More than any key file has.
const MAX_BYTES: u64 = 4096;

pub(super) fn create(path: &Path, kek: &Kek) -> Result<()> {
    let failed = |e: std::io::Error| match e.kind() {
        IoErrorKind::AlreadyExists => {
            Error::new(ErrorKind::AlreadyExists, format!("{} is there already; a key is never written over another file", path.display()))
        }
        _ => Error::internal(format!("cannot write the key file {}: {e}", path.display())).with_source(e),
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    let written = file.write_all(encode(kek).as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_parent(path));
    if written.is_err() {
        // Half a key is none; what cannot be removed is refused when it is read.
        let _ = std::fs::remove_file(path);
    }
    written.map_err(failed)
}

/// A new file lasts once its directory does.
fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(parent)?.sync_all() } else { Ok(()) }
}

pub(super) fn read(path: &Path) -> Result<Kek> {
    let failed = |e: std::io::Error| {
        let kind = if e.kind() == IoErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Internal };
        Error::new(kind, format!("cannot read the key file {}: {e}", path.display())).with_source(e)
    };
    let file = File::open(path).map_err(failed)?;
    require_private(path, &file.metadata().map_err(failed)?)?;
    // Never grown, so that no copy is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize));
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
    let text = std::str::from_utf8(&text).ok();
    text.and_then(decode).ok_or_else(|| {
        Error::invalid(format!("{} is no key file, or its key is damaged; `cyxcloud key new FILE` makes one", path.display()))
    })
}

#[cfg(unix)]
fn require_private(path: &Path, metadata: &std::fs::Metadata) -> Result<()> {
    let mode = std::os::unix::fs::MetadataExt::mode(metadata) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Error::invalid(format!("{path} has mode {mode:03o}: others may use the key; say chmod 600 {path}, or make a new key if they had")))
}

#[cfg(not(unix))]
fn require_private(_: &Path, _: &std::fs::Metadata) -> Result<()> {
    Ok(())
}

fn encode(kek: &Kek) -> Zeroizing<String> {
    let mut digits = Zeroizing::new([0; 64]);
    // The lengths fit, so there is nothing that could fail.
    let _ = hex::encode_to_slice(kek.bytes(), &mut *digits);
    let mut text = Zeroizing::new(String::with_capacity(256));
    for part in [FIRST_LINE, "\nid ", &kek.id.to_string(), "\nkey ", std::str::from_utf8(&*digits).unwrap_or_default(), "\n"] {
        text.push_str(part);
    }
    text
}

fn decode(text: &str) -> Option<Kek> {
    let mut lines = text.lines();
    if lines.next()?.trim_end() != FIRST_LINE {
        return None;
    }
    let (id, digits) = (lines.next()?.strip_prefix("id ")?.trim(), lines.next()?.strip_prefix("key ")?.trim());
    let mut bytes = Zeroizing::new([0; 32]);
    if hex::decode_to_slice(digits, &mut *bytes).is_err() {
        bytes.zeroize();
        return None;
    }
    let kek = Kek::new(bytes);
    (kek.id.to_string() == id && lines.all(|line| line.trim().is_empty())).then_some(kek)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let kek = Kek::new(Zeroizing::new(std::array::from_fn(|i| i as u8)));
        let text = encode(&kek);
        let golden =
            "cyxcloud key v1\nid 283ca7b83679ea729320101d26da9ab1\nkey 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
        assert_eq!(*text, golden);
        assert_eq!(decode(golden).unwrap().bytes(), kek.bytes());
        assert!(decode(&golden.replace('\n', "\r\n")).is_some());
        let body = golden.len() - 1;
        for at in 0..body {
            let mut bad = golden.as_bytes().to_vec();
            bad[at] ^= 1;
            assert!(std::str::from_utf8(&bad).ok().and_then(decode).is_none(), "byte {at}");
            assert!(decode(&golden[..at]).is_none(), "cut to {at}");
        }
        assert!(decode(&format!("{golden}more")).is_none());
    }
}
