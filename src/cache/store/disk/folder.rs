//! The folder of a store: whose it is, and the secret by which its files are named.

use std::{
    fs::{self, DirBuilder, DirEntry, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::name::{Name, Naming, SECRET, folder, is_folder};

/// A folder that is a store.
pub struct Folder {
    root: PathBuf,
    /// How its files are named.
    pub naming: Naming,
    /// Held as long as it is open: it is for one process at a time.
    _lock: Option<File>,
}

/// Says that a folder is a store, and holds its lock and its secret.
const MARKER: &str = "aqueduct-cache";
const FIRST_LINE: &str = "aqueduct cache 1\n";

const MOST_TRIES: usize = 3;

/// Where files are that are not whole yet.
const NEW: &str = "new";

impl Folder {
    /// Opens it, and makes it one if there is none; `None` while another process has it.
    ///
    /// # Errors
    /// It cannot be used, or its marker is not ours.
    pub fn open(root: &Path) -> io::Result<Option<Self>> {
        make(root)?;
        let mut options = OpenOptions::new();
        let mut marker =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(root.join(MARKER))?;
        match marker.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = String::new();
        marker.read_to_string(&mut text)?;
        if text.is_empty() {
            text = fresh()?;
            marker.write_all(text.as_bytes())?;
            marker.sync_all()?;
        }
        let naming = naming(&text)?;
        make(&root.join(NEW))?;
        let opened = Self { root: root.to_owned(), naming, _lock: Some(marker) };
        opened.sweep_new();
        Ok(Some(opened))
    }

    /// The same without having it: only for having something go. `None` if it is none.
    pub fn look(root: &Path) -> Option<Self> {
        let naming = naming(&fs::read_to_string(root.join(MARKER)).ok()?).ok()?;
        Some(Self { root: root.to_owned(), naming, _lock: None })
    }

    /// It is where it was.
    pub fn is_there(&self) -> bool {
        // A disk that does not say so may have it.
        self.root.join(MARKER).try_exists().unwrap_or(true)
    }

    /// Where the file of this name is.
    pub fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.path())
    }

    /// Where one is written that is not whole yet.
    pub fn new_path(&self, number: u64) -> PathBuf {
        self.root.join(NEW).join(format!("{number:016x}"))
    }

    /// Has the place for those be there again, in a folder that is there.
    pub fn make_new(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(self.root.join(NEW))
    }

    /// A whole one is found under its name from now on.
    pub fn settle(&self, new: &Path, name: &Name) -> io::Result<()> {
        let path = self.path(name);
        // Who removes what is beside it may remove the folder once more meanwhile.
        for _ in 0..MOST_TRIES {
            match fs::rename(new, &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => path.parent().map_or(Ok(()), make)?,
                done => return done,
            }
        }
        fs::rename(new, &path)
    }

    /// Removes the folders that this file was in, where nothing is in them any more.
    pub fn tidy(&self, name: &Name) {
        for folder in self.path(name).ancestors().skip(1).take(2) {
            // Mostly there are others in it.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }

    /// The files of a target, whether or not somebody knows of them.
    ///
    /// # Errors
    /// The disk does not tell: there may be some.
    pub fn of_target(&self, target: u128) -> io::Result<Vec<Name>> {
        let mut names = names(&self.root.join(folder(target)))?;
        names.retain(|name| name.target == target);
        Ok(names)
    }

    /// The folders that files can be in, and where the disk does not tell.
    pub fn folders(&self) -> impl Iterator<Item = io::Result<PathBuf>> + use<> {
        each(below(&self.root)).flat_map(|first| each(first.and_then(|first| below(&first))))
    }

    /// The files that there are, and where the disk does not tell.
    pub fn files(&self) -> impl Iterator<Item = io::Result<Name>> + use<> {
        self.folders().flat_map(|below| each(below.and_then(|below| names(&below))))
    }

    /// What a process has left there that ended before it was whole.
    fn sweep_new(&self) {
        for entry in fs::read_dir(self.root.join(NEW)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.len() == 16 && name.to_str().is_some_and(|name| u64::from_str_radix(name, 16).is_ok()) {
                let _others_may_not_be_ours = fs::remove_file(entry.path());
            }
        }
    }
}

/// The names of the files of a store in one of its folders; what is called otherwise is not looked at.
///
/// # Errors
/// The disk does not tell. That there is no such folder is no error.
pub fn names(folder: &Path) -> io::Result<Vec<Name>> {
    list(folder, |entry| Name::parse(entry.file_name().to_str()?))
}

fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    list(folder, |entry| entry.file_name().to_str().is_some_and(is_folder).then(|| entry.path()))
}

fn list<T>(folder: &Path, ours: impl Fn(&DirEntry) -> Option<T>) -> io::Result<Vec<T>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| entry.map(|entry| ours(&entry)).transpose()).collect(),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn each<T>(all: io::Result<Vec<T>>) -> impl Iterator<Item = io::Result<T>> {
    let (all, error) = match all {
        Ok(all) => (all, None),
        Err(error) => (Vec::new(), Some(Err(error))),
    };
    all.into_iter().map(Ok).chain(error)
}

/// What is kept was for those who could ask for it, and for nobody else on this machine.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn fresh() -> io::Result<String> {
    let mut secret = [0; SECRET];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| io::Error::other("no randomness"))?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{FIRST_LINE}{digits}\n"))
}

fn naming(text: &str) -> io::Result<Naming> {
    let digits = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_suffix('\n'));
    let digits = digits.filter(|digits| digits.len() == 2 * SECRET && digits.is_ascii());
    let secret = digits.and_then(|digits| {
        let byte = |index: usize| u8::from_str_radix(&digits[2 * index..][..2], 16).ok();
        (0..SECRET).map(byte).collect::<Option<Vec<_>>>()
    });
    let secret = secret.and_then(|secret| secret.try_into().ok());
    let other = || io::Error::new(io::ErrorKind::InvalidData, format!("{MARKER} in it is not of this program"));
    secret.map(|secret| Naming::new(&secret)).ok_or_else(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::{entry, key};

    #[test]
    fn it_is_for_one_at_a_time_and_keeps_its_secret() {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("a/b");
        let name = |folder: &Folder| folder.naming.of(&key("/", None), &entry(1, "a").head.vary);
        let first = Folder::open(&root).expect("it can be made").expect("nobody else has it");

        assert!(Folder::open(&root).expect("it is one").is_none());
        let known = name(&first);
        assert_eq!(Folder::look(&root).map(|folder| name(&folder)), Some(known));
        drop(first);
        let again = Folder::open(&root).expect("it is one").expect("nobody has it");
        assert_eq!(name(&again), known);
    }

    #[test]
    fn what_is_not_of_this_program_is_left_alone() {
        let place = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            fs::create_dir_all(place.path().join(name).parent().expect("a folder")).expect("a folder");
            fs::write(place.path().join(name), "mine").expect("a file");
        };
        for name in ["new/notes", "new/0123456789abcdef", "ab/cd/notes", "notes", "photos/cd/x"] {
            write(name);
        }
        let folder = Folder::open(place.path()).expect("it can be used").expect("nobody has it");

        assert!(!folder.new_path(0x0123_4567_89ab_cdef).exists());
        for name in ["new/notes", "ab/cd/notes", "notes", "photos/cd/x"] {
            assert!(place.path().join(name).exists(), "{name}");
        }
        let folders: io::Result<Vec<_>> = folder.folders().collect();
        assert_eq!(folders.expect("it can be read"), [place.path().join("ab/cd")]);
        assert_eq!(folder.files().count(), 0);
        drop(folder);
        write(MARKER);
        assert!(Folder::open(place.path()).is_err());
    }
}
