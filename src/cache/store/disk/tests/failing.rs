//! A disk that does not tell, or does not do, what is asked of it.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::*;

/// Asked for what is at this path, the disk fails (with "too many levels of symbolic links") until this is dropped.
struct Failing {
    path: PathBuf,
    aside: PathBuf,
}

impl Failing {
    fn at(path: &Path, place: &TempDir) -> Self {
        let failing = Self { path: path.to_owned(), aside: place.path().join("aside") };
        fs::rename(path, &failing.aside).and_then(|()| symlink(path, path)).expect("a link to itself");
        failing
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        put_back(&self.aside, &self.path);
    }
}

/// A store there with `/a` in it, and its file.
async fn with_one(place: &TempDir) -> (Disk, PathBuf) {
    let disk = disk(place).await;
    disk.put(&key("/a", None), &entry(40, "a"));
    settle(&disk).await;
    let (_, path) = only_file(&disk);
    (disk, path)
}

/// In place of what is there instead, at once: whoever looks there meanwhile finds one of both.
fn put_back(aside: &Path, path: &Path) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let (here, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
    if rustix::fs::renameat_with(here, aside, here, path, flags).is_ok() {
        fs::remove_file(aside).or_else(|_| fs::remove_dir(aside)).expect("it was instead");
    } else {
        fs::rename(aside, path).expect("nothing was instead");
    }
}

#[actix_rt::test]
async fn a_purge_that_cannot_list_what_there_is_leaves_nothing_of_it() {
    for what in [url("/a"), What::tag("t-/a").expect("a tag"), What::Everything] {
        let place = place();
        let disk = disk(&place).await;
        disk.put(&key("/a", None), &tagged("/a"));
        settle(&disk).await;
        let (_, path) = only_file(&disk);
        let failing = Failing::at(path.parent().expect("a folder"), &place);

        disk.purge(&what, None);
        drop(failing);

        assert!(!has(&disk, "/a").await, "{what:?}");
        until("it is removed", || files(&disk).is_empty()).await;
    }
}

#[actix_rt::test]
async fn a_purge_takes_what_cannot_be_read_for_meant() {
    let place = place();
    let disk = disk(&place).await;
    disk.put(&key("/a", None), &tagged("/a"));
    settle(&disk).await;
    let (_, path) = only_file(&disk);
    let failing = Failing::at(&path, &place);

    assert_eq!(disk.purge(&What::tag("t-/a").expect("a tag"), None), 1);
    drop(failing);

    assert!(!has(&disk, "/a").await);
}

#[actix_rt::test]
async fn what_was_forgotten_is_removed_once_the_disk_tells_where_it_is() {
    let place = place();
    let (first, path) = with_one(&place).await;
    let failing = Failing::at(path.parent().expect("a folder"), &place);

    first.forget(key("/a", None).target());
    until("it was tried", || first.usage().errors > 0).await;
    drop(failing);

    until("it is removed", || !path.exists()).await;
}

#[actix_rt::test]
async fn what_who_leaves_the_folder_could_not_remove_is_not_there_for_who_has_it_next() {
    let (place, tenancy) = (place(), Arc::default());
    let of = |size: u64| Disk::new(place.path().join("store"), size, Arc::clone(&tenancy));
    let (one, other) = (of(SIZE), of(2 * SIZE));
    one.put(&key("/a", None), &entry(40, "a"));
    settle(&one).await;
    let (_, path) = only_file(&one);
    let failing = Failing::at(path.parent().expect("a folder"), &place);
    one.forget(key("/a", None).target());
    until("it was tried", || one.usage().errors > 0).await;

    other.wake();
    until("it is left", || one.seat.is_away()).await;
    drop(failing);

    until("it is open", || other.state.folder().is_some()).await;
    assert!(!has(&other, "/a").await);
    until("it is removed", || !path.exists()).await;
}

#[actix_rt::test]
async fn a_file_that_cannot_be_removed_does_not_come_back() {
    let place = place();
    let (disk, path) = with_one(&place).await;
    let aside = place.path().join("aside");
    fs::rename(&path, &aside).and_then(|()| fs::create_dir(&path)).expect("a folder, which no file is");

    assert_eq!(disk.purge(&url("/a"), None), 0);
    put_back(&aside, &path);

    assert!(!has(&disk, "/a").await);
    until("it is removed", || !path.exists()).await;
}

#[actix_rt::test]
async fn a_folder_is_known_once_the_disk_tells_all_of_it() {
    let place = place();
    let (first, path) = with_one(&place).await;
    drop(first);
    let failing = Failing::at(path.parent().expect("a folder"), &place);

    let second = disk(&place).await;
    until("it was tried", || second.usage().errors > 0).await;
    second.put(&key("/b", None), &entry(40, "a"));
    drop(failing);

    settle(&second).await;
    assert!(has(&second, "/a").await);
}

#[actix_rt::test]
async fn what_is_too_short_to_be_an_answer_is_removed_where_the_folder_is_looked_through() {
    let place = place();
    let (first, path) = with_one(&place).await;
    drop(first);
    fs::write(&path, "").expect("a file");

    let second = disk(&place).await;
    settle(&second).await;

    assert!(!path.exists());
}

#[actix_rt::test]
async fn the_place_for_what_is_not_whole_yet_is_made_anew() {
    let place = place();
    let disk = disk(&place).await;
    settle(&disk).await;
    fs::remove_dir(disk.state.path.join("new")).expect("it is empty");

    disk.put(&key("/a", None), &entry(40, "a"));
    settle(&disk).await;

    assert!(has(&disk, "/a").await && disk.usage().errors == 0);
}

#[actix_rt::test]
async fn a_disk_that_hangs_is_a_miss() {
    let (place, key) = (place(), key("/", None));
    let disk = disk(&place).await;
    disk.put(&key, &entry(40, "a"));
    settle(&disk).await;
    let (_, path) = only_file(&disk);
    fs::remove_file(&path).expect("it is there");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR, 0)
        .expect("a pipe");

    for _ in 0..3 {
        assert!(find(&disk, &key, "a").await.is_none());
    }

    assert_eq!(disk.usage().errors, 3);
    // Whoever reads it hangs until somebody writes.
    drop(OpenOptions::new().write(true).open(&path).expect("a pipe"));
}

#[actix_rt::test]
async fn what_cannot_be_read_or_written_is_counted_and_a_miss() {
    let place = place();
    let disk = disk(&place).await;
    disk.put(&key("/a", None), &entry(40, "a"));
    settle(&disk).await;
    let (_, path) = only_file(&disk);
    let new = disk.state.path.join("new");
    fs::remove_file(&path).and_then(|()| fs::create_dir(&path)).expect("a folder in its place");
    fs::remove_dir(&new).and_then(|()| fs::write(&new, "")).expect("a file in its place");

    assert!(!has(&disk, "/a").await);
    disk.put(&key("/b", None), &entry(40, "a"));
    settle(&disk).await;

    assert!(!has(&disk, "/b").await && disk.usage().errors >= 2);
    let dropped = disk.usage().dropped;
    disk.put(&key("/c", None), &entry(40, "a"));
    assert_eq!(disk.usage().dropped, dropped + 1, "for a moment it is left alone");
}

#[actix_rt::test]
async fn a_folder_that_is_removed_is_made_anew() {
    let place = place();
    let disk = disk(&place).await;
    disk.put(&key("/a", None), &entry(40, "a"));
    settle(&disk).await;

    fs::remove_dir_all(&disk.state.path).expect("it is there");

    assert!(!has(&disk, "/a").await);
    disk.put(&key("/b", None), &entry(40, "a"));
    until("it is there again", || disk.state.path.join("new").exists() && disk.state.folder().is_some()).await;
    disk.put(&key("/c", None), &entry(40, "a"));
    settle(&disk).await;
    assert!(has(&disk, "/c").await);
}
