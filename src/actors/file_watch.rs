//! Files of settings and of certificates, watched for changes of what is in them.
//!
//! It is folders that are watched: editors rename files into place, Kubernetes swaps a link beside them. An event only
//! says that it is worth looking; what is in the files decides.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    future::pending,
    hash::{DefaultHasher, Hasher},
    io, mem,
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// Without an event, before files are looked at: whoever writes several times is done by then.
const QUIET: Duration = Duration::from_millis(200);
/// However many events there are, files are looked at after this.
const LATEST: Duration = Duration::from_secs(2);
/// From link to link to a file; the kernel follows no more.
const MOST_LINKS: usize = 40;
/// How long until watching is tried again that could not begin.
const PAUSE: Duration = Duration::from_secs(30);

/// What is watched, and what was in it when it was read.
#[derive(Debug)]
pub struct FileWatch {
    files: Vec<PathBuf>,
    read: Contents,
    looked_at: Contents,
    watching: Option<RecommendedWatcher>,
    heard: Arc<Notify>,
    /// There was a folder for one of them, or there is to be one.
    is_watchable: bool,
    /// Something has happened since files were looked at, or may have.
    is_due: bool,
}

/// The same, without a folder that is watched yet.
impl Clone for FileWatch {
    fn clone(&self) -> Self {
        Self {
            files: self.files.clone(),
            read: self.read.clone(),
            looked_at: self.looked_at.clone(),
            watching: None,
            heard: Arc::default(),
            is_watchable: self.is_watchable,
            is_due: true,
        }
    }
}

impl FileWatch {
    /// To be made before the files are read: what changes in between is seen.
    pub fn before_reading(files: Vec<PathBuf>) -> Self {
        let read = Contents::of(&files);
        let is_watchable = Folders::around(&files).are_there();
        let heard = Arc::default();
        Self { files, looked_at: read.clone(), read, watching: None, heard, is_watchable, is_due: true }
    }

    /// Also where there is no folder for them yet.
    #[must_use]
    pub fn wherever_it_will_be(mut self) -> Self {
        self.is_watchable = true;
        self
    }

    /// The files are about to be read. Those in which there is something else by now are given.
    pub fn are_read(&mut self) -> Vec<PathBuf> {
        let before = mem::replace(&mut self.read, Contents::of(&self.files));
        self.looked_at = self.read.clone();
        self.is_watchable |= Folders::around(&self.files).are_there();
        let both = before.0.iter().zip(&self.read.0);
        let others = self.files.iter().zip(both).filter(|(_, (then, now))| then != now);
        others.map(|(file, _)| file.clone()).collect()
    }

    /// The other's files, too.
    pub fn watch_also(&mut self, other: &Self) {
        for (at, file) in other.files.iter().enumerate() {
            if !self.files.contains(file) {
                self.files.push(file.clone());
                self.read.0.push(other.read.0[at]);
                self.looked_at.0.push(other.looked_at.0[at]);
            }
        }
        self.is_watchable |= other.is_watchable;
        self.rest();
    }

    /// Whether there is a file at all.
    pub fn has_files(&self) -> bool {
        self.files.iter().any(|file| file.exists())
    }

    /// No events any more, until changes are waited for again.
    pub fn rest(&mut self) {
        self.watching = None;
        self.is_due = true;
    }

    /// Ready when there is something else in the files than was read, all of them being there; never, if there was no
    /// folder for them. May be given up and waited for again.
    pub async fn changed(&mut self) {
        if !self.is_watchable {
            pending::<()>().await;
        }
        loop {
            if !self.is_due && self.watching.is_some() {
                self.heard.notified().await;
                self.is_due = true;
            }
            self.quiet().await;
            // Anew, as there may be other folders under the same names by now; and before looking, so that what changes
            // after that is heard of.
            match self.watch() {
                Ok(watching) => self.watching = Some(watching),
                Err(error) => {
                    log::warn!("files are not watched, SIGHUP has them read: {error}");
                    sleep(PAUSE).await;
                    continue;
                }
            }
            self.is_due = false;
            if self.is_news() {
                return;
            }
        }
    }

    async fn quiet(&self) {
        let latest = Instant::now() + LATEST;
        while Instant::now() < latest && timeout(QUIET, self.heard.notified()).await.is_ok() {}
    }

    /// A file that was read and is gone, empty or unreadable is one that is about to be written: what was read holds.
    fn is_news(&mut self) -> bool {
        let now = Contents::of(&self.files);
        if now == self.looked_at {
            return false;
        }
        self.looked_at = now;
        if self.looked_at == self.read {
            return false;
        }
        let lost = self.looked_at.lost_since(&self.read);
        for file in self.files.iter().enumerate().filter_map(|(at, file)| lost.contains(&at).then_some(file)) {
            let file = file.display();
            log::warn!(
                "{file} is gone, empty or unreadable: what was read holds, unless SIGHUP asks for what is there"
            );
        }
        lost.is_empty()
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        loop {
            let folders = Arc::new(Folders::around(&self.files));
            let watcher = self.listen_in(&folders)?;
            // One that came before it was listened for nobody would tell of.
            if *folders == Folders::around(&self.files) {
                return Ok(watcher);
            }
        }
    }

    fn listen_in(&self, folders: &Arc<Folders>) -> notify::Result<RecommendedWatcher> {
        let (heard, known) = (Arc::clone(&self.heard), Arc::clone(folders));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may stand for events that were lost.
            if event.as_ref().map_or(true, |event| known.concerns(event)) {
                heard.notify_one();
            }
        })?;
        // Those above first: they tell when one of ours is back that is gone just now. Not every one may be read by us.
        for folder in &folders.above {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                log::debug!("whether a folder is replaced as a whole is not watched: {error}");
            }
        }
        for folder in &folders.near {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(watcher)
    }
}

/// Where to listen for changes.
#[derive(PartialEq)]
struct Folders {
    /// Those with a file, or with what a link to one leads to.
    near: BTreeSet<PathBuf>,
    /// Of the files and those that links lead to.
    names: BTreeSet<OsString>,
    /// Those with one of these: they may be replaced as a whole. Of one that is not there, the nearest that is.
    above: BTreeSet<PathBuf>,
}

impl Folders {
    fn around(files: &[PathBuf]) -> Self {
        let (mut near, mut names) = (BTreeSet::new(), BTreeSet::new());
        for file in files {
            let mut next = absolute(file).ok();
            for _ in 0..MOST_LINKS {
                let Some(file) = next.take() else { break };
                let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { break };
                near.insert(folder.to_owned());
                near.extend(fs::canonicalize(folder));
                names.insert(name.to_owned());
                next = fs::read_link(&file).ok().map(|target| folder.join(target));
            }
        }
        let is_there = |folder: &&Path| folder.is_dir();
        let above = |folder: &'_ PathBuf| folder.ancestors().skip(1).find(is_there).map(Path::to_owned);
        let above = near.iter().filter_map(above).collect();
        Self { near, names, above }
    }

    fn are_there(&self) -> bool {
        self.near.iter().any(|folder| folder.is_dir())
    }

    /// Reading is no change, writing is one to the file that is written, and everything else may make another file of
    /// ours. Of the folders above, only what becomes of ours is of interest.
    fn concerns(&self, event: &Event) -> bool {
        let is_in = |path: &PathBuf| path.parent().is_some_and(|folder| self.near.contains(folder));
        let is_ours = |path: &PathBuf| is_in(path) && path.file_name().is_some_and(|name| self.names.contains(name));
        let paths = &event.paths;
        event.need_rescan()
            || match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => paths.iter().any(is_ours),
                EventKind::Access(_) => false,
                _ => paths.iter().any(|path| is_in(path) || self.near.iter().any(|folder| folder.starts_with(path))),
            }
    }
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// What is in each file, as a hash; `None` if nothing is, or nothing that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Contents(Vec<Option<u64>>);

impl Contents {
    fn of(files: &[PathBuf]) -> Self {
        let hash = |file: &PathBuf| {
            // What is no file, such as a pipe, might never end.
            let bytes = file.is_file().then(|| fs::read(file).ok())?.filter(|bytes| !bytes.is_empty())?;
            let mut hasher = DefaultHasher::new();
            hasher.write(&bytes);
            Some(hasher.finish())
        };
        Self(files.iter().map(hash).collect())
    }

    /// Which of them had something in them before.
    fn lost_since(&self, before: &Self) -> Vec<usize> {
        let pairs = before.0.iter().zip(&self.0).enumerate();
        pairs.filter(|(_, (before, now))| before.is_some() && now.is_none()).map(|(at, _)| at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(text: &str) -> (tempfile::TempDir, PathBuf, FileWatch) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.toml");
        fs::write(&file, text).expect("a file");
        let watch = FileWatch::before_reading(vec![file.clone(), folder.path().join("b.toml")]);
        (folder, file, watch)
    }

    #[test]
    fn only_what_is_in_the_files_is_news_and_only_once() {
        let (folder, file, mut watch) = watch("one");

        fs::write(&file, "one").expect("a file");
        assert!(!watch.is_news(), "the same again");
        fs::write(&file, "two").expect("a file");
        assert!(watch.is_news());
        assert!(!watch.is_news(), "that was told");
        watch.are_read();
        fs::write(folder.path().join("b.toml"), "more").expect("a file");
        assert!(watch.is_news(), "a file more");
    }

    #[test]
    fn a_file_that_is_gone_or_empty_for_a_moment_is_no_news() {
        let (_folder, file, mut watch) = watch("one");

        fs::write(&file, "").expect("a file");
        assert!(!watch.is_news());
        fs::remove_file(&file).expect("it is there");
        assert!(!watch.is_news());
        fs::write(&file, "one").expect("a file");
        assert!(!watch.is_news(), "what was read is back");
        fs::write(&file, "two").expect("a file");
        assert!(watch.is_news());
    }

    #[test]
    fn only_what_may_change_our_files_is_of_interest() {
        let folders = Folders::around(&["/etc/aqueduct/a.toml".into()]);
        let concerns = |kind, path: &str| folders.concerns(&Event::new(kind).add_path(path.into()));
        let create = EventKind::Create(notify::event::CreateKind::Any);
        let write = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        let read = EventKind::Access(AccessKind::Open(AccessMode::Read));

        for (kind, path, expected) in [
            (create, "/etc/aqueduct/..data", true),
            (create, "/etc/aqueduct", true),
            (create, "/etc", true),
            (create, "/etc/passwd", false),
            (write, "/etc/aqueduct/a.toml", true),
            (write, "/etc/aqueduct/access.log", false),
            (read, "/etc/aqueduct/a.toml", false),
        ] {
            assert_eq!(concerns(kind, path), expected, "{kind:?} {path}");
        }
    }

    #[test]
    fn links_are_followed_from_folder_to_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b", "c"] {
            fs::create_dir(at(name)).expect("a folder");
        }
        std::os::unix::fs::symlink("../b/one", at("a/one")).expect("a link");
        std::os::unix::fs::symlink(at("c/two"), at("b/one")).expect("a link");

        let folders = Folders::around(&[at("a/one")]);

        let names: Vec<_> = folders.near.iter().filter_map(|folder| folder.file_name()).collect();
        assert!(["a", "b", "c"].iter().all(|name| names.contains(&std::ffi::OsStr::new(name))), "{names:?}");
    }
}
