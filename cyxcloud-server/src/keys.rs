//! Keys of client-side encryption on the command line: `cyxcloud key`, and the flags that name a key or a password.
//!
//! Neither is ever an argument, which everybody on the machine can see, nor leaves this process.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use cyxcloud_sdk::encryption::{Key, Keyring};
use zeroize::Zeroizing;

/// More than any password has.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// Options of `cyxcloud key`.
#[derive(Args, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a random key in a new file that only you may read. Keep a copy: what is encrypted under it is lost with it.
    New {
        /// The file.
        file: PathBuf,
    },
    /// Show the public id of a key, which errors name.
    Id {
        /// The file.
        file: PathBuf,
    },
}

/// Runs `cyxcloud key`.
///
/// # Errors
/// When the file is there already, or is no key file.
pub fn run(args: &KeyArgs) -> Result<()> {
    let (file, key) = match &args.command {
        KeyCommand::New { file } => (file, Key::create_file(file)?),
        KeyCommand::Id { file } => (file, Key::from_file(file)?),
    };
    println!("{}: {key}", file.display());
    Ok(())
}

/// What an object is encrypted under; nothing for objects that are not.
#[derive(Args, Debug)]
pub struct KeyringArgs {
    /// Encrypt or decrypt here, with the key in this file: see `cyxcloud key new`. Gateway and nodes see neither key nor plaintext.
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    key_file: Option<PathBuf>,
    /// The same with the password in the first line of this file; or set CYX_PASSWORD.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl KeyringArgs {
    /// The keyring that flags and environment name.
    ///
    /// # Errors
    /// When a file cannot be read, or is none, or the password is empty.
    pub fn keyring(&self) -> Result<Option<Keyring>> {
        Ok(key(self.key_file.as_deref(), self.password_file.as_deref(), "CYX_PASSWORD")?.map(Keyring::new))
    }
}

/// What objects are encrypted under afterwards.
#[derive(Args, Debug)]
pub struct NewKeyringArgs {
    /// The key in this file.
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_file")]
    new_key_file: Option<PathBuf>,
    /// The password in the first line of this file; or set CYX_NEW_PASSWORD.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

impl NewKeyringArgs {
    /// The keyring that flags and environment name.
    ///
    /// # Errors
    /// As [`KeyringArgs::keyring`], and when there is none.
    pub fn keyring(&self) -> Result<Keyring> {
        let key = key(self.new_key_file.as_deref(), self.new_password_file.as_deref(), "CYX_NEW_PASSWORD")?;
        key.map(Keyring::new).context("say what to encrypt under: --new-key-file, --new-password-file or CYX_NEW_PASSWORD")
    }
}

/// Files before the environment.
fn key(key_file: Option<&Path>, password_file: Option<&Path>, variable: &str) -> Result<Option<Key>> {
    if let Some(path) = key_file {
        return Ok(Some(Key::from_file(path)?));
    }
    if let Some(path) = password_file {
        return Ok(Some(Key::from_password(&read_password(path)?)?));
    }
    let Some(password) = std::env::var_os(variable) else { return Ok(None) };
    // A command that failed to give one must not mean that nothing is encrypted.
    ensure!(!password.is_empty(), "{variable} is set and empty; unset it to go without a password");
    let password = password.into_string().map(Zeroizing::new);
    Ok(Some(Key::from_password(&password.ok().with_context(|| format!("{variable} is not UTF-8"))?)?))
}

/// The first line, as editors end it.
fn read_password(path: &Path) -> Result<Zeroizing<String>> {
    use std::io::Read;
    let read = || {
        let mut text = Zeroizing::new(String::with_capacity(MAX_PASSWORD_BYTES as usize + 1));
        std::fs::File::open(path)?.take(MAX_PASSWORD_BYTES).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let text = read().with_context(|| format!("cannot read the password file {}", path.display()))?;
    let line = text.strip_suffix('\n').map_or(&text[..], |line| line.strip_suffix('\r').unwrap_or(line));
    ensure!(!line.is_empty(), "the password file {} is empty", path.display());
    ensure!(!line.contains('\n'), "the password file {} has more than one line", path.display());
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_password_is_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            read_password(file.path()).map(|password| password.to_string())
        };
        for text in ["a b ", "a b \n", "a b \r\n"] {
            assert_eq!(read(text).unwrap(), "a b ");
        }
        for text in ["", "\n", "\r\n", "a\nb\n"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
