//! What a directory has given us, on disk: for us alone, and never half written.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use instant_acme::AccountCredentials;

use crate::{plan::acme, settings::tls::AcmeSettings};

/// The folder of one directory, as one of our certificates sees it.
pub struct Store {
    folder: PathBuf,
    certificate: PathBuf,
}

/// Nobody else asks this directory, in this process or another, until it is dropped.
pub struct Lock(#[expect(dead_code, reason = "it locks until it is dropped")] File);

const ACCOUNT: &str = "account.json";
const LOCK: &str = "lock";

impl Store {
    /// For the certificate of this name.
    pub fn of(name: &str, settings: &AcmeSettings) -> Self {
        Self { folder: acme::folder(settings), certificate: acme::file(name, settings) }
    }

    /// `None` while somebody else has it.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(self.folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Lock(lock))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Who we are to the directory; `None` if it does not know us yet.
    pub fn account(&self) -> io::Result<Option<AccountCredentials>> {
        let bytes = match fs::read(self.folder.join(ACCOUNT)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    /// Keeps who we are.
    pub fn keep_account(&self, account: &AccountCredentials) -> io::Result<()> {
        write(&self.folder.join(ACCOUNT), &serde_json::to_vec(account)?)
    }

    /// The directory does not know us any more.
    pub fn forget_account(&self) -> io::Result<()> {
        fs::remove_file(self.folder.join(ACCOUNT))
    }

    /// Keeps a certificate, those that lead to its root, and its key.
    pub fn keep_certificate(&self, key: &str, chain: &str) -> io::Result<()> {
        write(&self.certificate, [key, chain].join("\n").as_bytes())
    }

    /// Where all of it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Whoever reads meanwhile, or after a crash, reads the old file or the new one.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = file.with_extension("next");
    // One that a crash has left behind is nobody's: there is a lock.
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut writing = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&next)?;
    writing.write_all(bytes)?;
    writing.sync_all()?;
    fs::rename(&next, file)?;
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = AcmeSettings { store: folder.path().join("acme"), ..AcmeSettings::default() };
        let store = Store::of("main", &settings);
        (folder, store)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_for_us_alone_and_replaced_at_once() {
        let (_folder, store) = store();
        let _lock = store.lock().expect("a folder").expect("it is free");
        fs::write(store.certificate.with_extension("next"), "left behind").expect("a file");

        for chain in ["one", "two"] {
            store.keep_certificate("key", chain).expect("it is written");

            assert_eq!(fs::read_to_string(&store.certificate).expect("a file"), format!("key\n{chain}"));
        }
        assert_eq!((mode(store.folder()), mode(&store.certificate)), (0o700, 0o600));
        assert!(!store.certificate.with_extension("next").exists());
    }

    #[test]
    fn one_at_a_time_asks_a_directory() {
        let (_folder, store) = store();

        let lock = store.lock().expect("a folder");
        let second = store.lock().expect("a folder");
        assert!(lock.is_some() && second.is_none());
        drop(lock);

        assert!(store.lock().expect("a folder").is_some());
    }
}
