use std::{
    fs::{self, OpenOptions},
    future::poll_fn,
    sync::mpsc::Receiver,
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::{name::Name, *};
use crate::{
    cache::{
        entry::now,
        testing::{entry, key, tagged},
    },
    http::{Body, Frame, HeaderName, HeaderValue},
};

const SIZE: u64 = 64 << 20;

fn place() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A store there, which is open.
async fn disk(place: &TempDir) -> Disk {
    let disk = Disk::new(place.path().join("store"), SIZE, Arc::default());
    disk.wake();
    until("it is open", || disk.state.folder().is_some()).await;
    disk
}

/// One that nobody looks through, and nobody writes to.
fn idle(place: &TempDir) -> (Disk, Receiver<Job>) {
    let disk = Disk::new(place.path().join("store"), SIZE, Arc::default());
    let jobs = disk.seat.take().expect("nobody listens yet");
    let folder = Folder::open(&disk.state.path).expect("it can be used").expect("it is free");
    disk.state.set_folder(Some(Arc::new(folder)));
    disk.state.tried();
    (disk, jobs)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// All that was to be done until now is done, and what is there is known.
async fn settle(disk: &Disk) {
    let (passed, pass) = mpsc::sync_channel(1);
    disk.jobs.send(Job::Pass(passed)).expect("somebody listens");
    pass.recv_timeout(Duration::from_secs(30)).expect("it comes to that");
    until("all is known", || disk.state.is_scanned()).await;
}

async fn find(disk: &Disk, key: &Key, x_a: &str) -> Option<Entry> {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-a"), HeaderValue::from_str(x_a).expect("a value"));
    disk.find(key, &headers).await
}

async fn has(disk: &Disk, path: &str) -> bool {
    find(disk, &key(path, None), "a").await.is_some()
}

/// All of a body, if it ends well.
async fn read(entry: &Entry) -> Option<Vec<u8>> {
    let mut body = entry.content.read(None)?;
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        match frame {
            Ok(Frame::Data(bytes)) => all.extend_from_slice(&bytes),
            Ok(Frame::Trailers(_)) => {}
            Err(_) => return None,
        }
    }
    Some(all)
}

fn files(disk: &Disk) -> Vec<Name> {
    let folder = disk.state.folder().expect("it is open");
    folder.files().map(|name| name.expect("it can be read")).collect()
}

/// The file of the only answer.
fn only_file(disk: &Disk) -> (Name, std::path::PathBuf) {
    let files = files(disk);
    assert_eq!(files.len(), 1);
    (files[0], disk.state.folder().expect("it is open").path(&files[0]))
}

mod failing;
mod harmed;
mod left_out;
mod tenants;

#[actix_rt::test]
async fn what_was_put_is_found_by_this_process_and_by_the_next() {
    let place = place();
    let first = disk(&place).await;
    let sizes = [0, 1, format::BLOCK, format::BLOCK + 1, 256 * 1024, 256 * 1024 + 1, 1_000_000];
    let keys = sizes.map(|size| key(&format!("/{size}"), None));
    for (key, size) in keys.iter().zip(sizes) {
        first.put(key, &entry(size, "a"));
    }
    first.put(&keys[0], &entry(7, "b"));
    settle(&first).await;

    for (key, size) in keys.iter().zip(sizes) {
        let found = find(&first, key, "a").await.expect("it is there");
        assert_eq!((found.content.length(), read(&found).await), (Some(size as u64), Some(vec![b'.'; size])));
    }
    let since = find(&first, &keys[0], "b").await.expect("the variant, too").since;
    assert!(since > Duration::ZERO);
    drop(first);
    let second = disk(&place).await;
    for (key, size) in keys.iter().zip(sizes) {
        let found = find(&second, key, "a").await.expect("it is there");
        assert_eq!((found.since, read(&found).await), (Duration::ZERO, Some(vec![b'.'; size])));
    }
    assert_eq!(find(&second, &keys[0], "b").await.and_then(|found| found.content.length()), Some(7));
    assert!(find(&second, &keys[0], "c").await.is_none() && find(&second, &key("/0", Some("1")), "a").await.is_none());
}

#[actix_rt::test]
async fn a_part_is_read_from_where_it_is() {
    let (place, key) = (place(), key("/", None));
    let disk = disk(&place).await;
    disk.put(&key, &entry(1_000_000, "a"));
    settle(&disk).await;
    let found = find(&disk, &key, "a").await.expect("it is there");

    for (first, last) in [(0, 0), (65_535, 65_536), (999_999, 999_999), (131_072, 999_999), (5, 200_000)] {
        let mut body = found.content.read(Some((first, last))).expect("it can be read");
        let mut length = 0;
        while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
            if let Ok(Frame::Data(bytes)) = frame {
                length += bytes.len() as u64;
            }
        }
        assert_eq!(length, last + 1 - first);
    }
}

#[actix_rt::test]
async fn before_the_folder_is_looked_through_what_is_there_is_found_by_name() {
    let place = place();
    let first = disk(&place).await;
    for path in ["/a", "/b", "/c"] {
        first.put(&key(path, None), &entry(40, "a"));
    }
    settle(&first).await;
    drop(first);
    let (second, _jobs) = idle_soon(&place).await;

    assert!(has(&second, "/a").await && has(&second, "/b").await && !has(&second, "/d").await);
    second.forget(key("/a", None).target());
    assert!(!has(&second, "/a").await && has(&second, "/b").await);
    second.forget_all();
    assert!(!has(&second, "/b").await && !has(&second, "/c").await);
}

/// As soon as the thread of the one before has ended.
async fn idle_soon(place: &TempDir) -> (Disk, Receiver<Job>) {
    let is_free = || matches!(Folder::open(&place.path().join("store")), Ok(Some(_)));
    until("the folder is free", is_free).await;
    idle(place)
}

#[actix_rt::test]
async fn what_is_forgotten_is_gone_for_the_next_process_too() {
    let place = place();
    let first = disk(&place).await;
    for (path, x_key) in [("/a", None), ("/a", Some("1")), ("/ab", None)] {
        first.put(&key(path, x_key), &entry(40, "a"));
    }
    // Also what was not written yet.
    first.forget(key("/a", None).target());
    settle(&first).await;
    first.put(&key("/a", Some("2")), &entry(40, "a"));
    first.put(&key("/c", None), &entry(40, "a"));
    settle(&first).await;
    first.forget(key("/c", None).target());
    settle(&first).await;
    drop(first);

    let second = disk(&place).await;

    assert!(!has(&second, "/a").await && has(&second, "/ab").await && !has(&second, "/c").await);
    assert!(find(&second, &key("/a", Some("2")), "a").await.is_some(), "it came after that");
    settle(&second).await;
    assert_eq!(files(&second).len(), 2);
    second.forget_all();
    settle(&second).await;
    until("all is removed", || files(&second).is_empty()).await;
}

fn url(path: &str) -> What {
    What::url(&format!("http://a.example{path}")).expect("a URL")
}

#[actix_rt::test]
async fn a_purge_reaches_what_is_known_and_what_is_not() {
    let orders: [(What, &[&str]); 5] = [
        (url("/a"), &["/a"]),
        (What::prefix("http://a.example/a").expect("a prefix"), &["/a", "/a/b"]),
        (What::tag("t-/c").expect("a tag"), &["/c"]),
        (What::Group("g-/a/b".into()), &["/a/b"]),
        (What::Everything, &["/a", "/a/b", "/c"]),
    ];
    for (what, gone) in orders {
        for is_known in [true, false] {
            let place = place();
            let first = disk(&place).await;
            for path in ["/a", "/a/b", "/c"] {
                first.put(&key(path, None), &tagged(path));
            }
            settle(&first).await;
            let (store, _jobs) = if is_known {
                (first, None)
            } else {
                drop(first);
                let (second, jobs) = idle_soon(&place).await;
                // Nobody listens: what it would wait for does not come.
                drop(jobs);
                (second, Some(()))
            };

            let count = store.purge(&what, None);

            assert_eq!(count, gone.len() as u64, "{what:?} {is_known}");
            assert_eq!(files(&store).len(), 3 - gone.len(), "{what:?} {is_known}");
            if is_known {
                for path in ["/a", "/a/b", "/c"] {
                    assert_eq!(has(&store, path).await, !gone.contains(&path), "{what:?} {path}");
                }
            }
        }
    }
}

#[actix_rt::test]
async fn softly_purged_it_is_stale_and_there() {
    let place = place();
    let disk = disk(&place).await;
    disk.put(&key("/a", None), &tagged("/a"));
    disk.put(&key("/b", None), &tagged("/b"));
    settle(&disk).await;

    assert_eq!(disk.purge(&What::tag("t-/a").expect("a tag"), Some(now())), 1);

    let stale = find(&disk, &key("/a", None), "a").await.expect("it is there");
    let fresh = find(&disk, &key("/b", None), "a").await.expect("it is there");
    assert!(stale.head.ttl(now()) <= 0 && fresh.head.ttl(now()) > 0);
}

#[actix_rt::test]
async fn it_takes_no_more_than_it_may() {
    let place = place();
    let small = Disk::new(place.path().join("store"), 16 << 20, Arc::default());
    for number in 0..600 {
        small.put(&key(&format!("/{number}"), None), &entry(50_000, "a"));
        if number % 50 == 0 {
            settle(&small).await;
        }
    }
    settle(&small).await;

    let folder = small.state.folder().expect("it is open");
    let taken: u64 = files(&small).iter().map(|name| fs::metadata(folder.path(name)).expect("it is there").len()).sum();
    assert!(taken <= 15 << 20 && taken > 14 << 20, "{taken}");
    assert_eq!(files(&small).len() as u64, small.usage().targets.unwrap_or_default());
    small.put(&key("/large", None), &entry(2 << 20, "a"));
    settle(&small).await;
    assert!(!has(&small, "/large").await, "one answer does not drive out all others");
}

#[actix_rt::test]
async fn what_finds_no_place_in_what_waits_is_not_kept_and_nobody_waits() {
    let place = place();
    let (disk, _jobs) = idle(&place);
    for number in 0..100 {
        disk.put(&key(&format!("/{number}"), None), &entry(1 << 20, "a"));
    }

    let dropped = disk.usage().dropped;
    assert!((36..=40).contains(&dropped), "{dropped}");
}

#[actix_rt::test]
async fn where_a_newer_answer_is_not_kept_the_older_is_not_found() {
    let place = place();
    let disk = disk(&place).await;
    for path in ["/a", "/b", "/c"] {
        disk.put(&key(path, None), &entry(40, "a"));
    }
    settle(&disk).await;

    disk.put(&key("/a", None), &entry(5 << 20, "a"));
    assert!(!has(&disk, "/a").await, "it is too large");
    let new = disk.state.path.join("new");
    fs::remove_dir(&new).and_then(|()| fs::write(&new, "")).expect("a file in its place");
    disk.put(&key("/b", None), &entry(50, "a"));
    settle(&disk).await;
    assert!(!has(&disk, "/b").await, "it could not be written");
    disk.put(&key("/c", None), &entry(50, "a"));
    assert!(!has(&disk, "/c").await, "it is not tried");
}

#[actix_rt::test]
async fn what_comes_is_kept_once_it_is_whole_and_not_before() {
    let (place, one, other) = (place(), key("/a", None), key("/b", None));
    let disk = disk(&place).await;
    let begin = |key: &Key| disk.begin(key, &entry(0, "a")).expect("there is room");
    let (mut whole, mut broken) = (begin(&one), begin(&other));
    for _ in 0..10 {
        assert!(whole.push(vec![b'.'; 50_000].into()).await && broken.push(vec![b'.'; 50_000].into()).await);
    }
    settle(&disk).await;
    assert!(!has(&disk, "/a").await && !has(&disk, "/b").await);

    assert!(whole.finish().await);
    drop(broken);
    settle(&disk).await;

    let found = find(&disk, &one, "a").await.expect("it is whole");
    assert_eq!(read(&found).await, Some(vec![b'.'; 500_000]));
    assert!(!has(&disk, "/b").await && fs::read_dir(disk.state.path.join("new")).expect("a folder").count() == 0);
}

#[actix_rt::test]
async fn what_comes_and_is_forgotten_or_purged_meanwhile_is_not_kept() {
    let purge = |disk: &Disk| assert_eq!(disk.purge(&url("/"), None), 0);
    let ways: [&dyn Fn(&Disk); 3] = [&|disk| disk.forget(key("/", None).target()), &purge, &|disk| disk.forget_all()];
    for way in ways {
        let place = place();
        let disk = disk(&place).await;
        let mut pen = disk.begin(&key("/", None), &entry(0, "a")).expect("there is room");
        assert!(pen.push(vec![b'.'; 50_000].into()).await);

        way(&disk);
        assert!(!pen.push(vec![b'.'; 50_000].into()).await);
        assert!(!pen.finish().await);
        settle(&disk).await;

        assert!(!has(&disk, "/").await && files(&disk).is_empty());
    }
}

/// What one of several does with targets of its own: answers have more bytes each time, modulo [`TURN`].
async fn rush(disk: &Disk, number: u64) {
    const TURN: usize = 4096;
    const TARGETS: usize = 6;
    let keys: Vec<_> = (0..TARGETS).map(|target| key(&format!("/{number}/{target}"), None)).collect();
    let (mut newest, mut forgotten) = ([0; TARGETS], [0; TARGETS]);
    let mut dice = number;
    for _ in 0..1_500 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (target, what) = ((dice >> 33) as usize % TARGETS, (dice >> 40) % 16);
        let key = &keys[target];
        match what {
            0..6 => {
                newest[target] += 1;
                disk.put(key, &entry(newest[target] + TURN * ((dice >> 48) as usize % 20), "a"));
            }
            6 => disk.forget(key.target()),
            7 => assert!(disk.purge(&What::Url(vec![key.target().to_vec().into()]), None) < 2),
            _ => {
                if let Some(found) = find(disk, key, "a").await {
                    let version = found.content.length().expect("it is whole") as usize % TURN;
                    let known = forgotten[target] + 1..=newest[target];
                    assert!(known.contains(&version), "{version} of {known:?}");
                }
            }
        }
        if matches!(what, 6 | 7) {
            forgotten[target] = newest[target];
        }
    }
}

#[actix_rt::test]
async fn what_was_forgotten_or_purged_never_comes_back_however_much_goes_on_at_once() {
    let place = place();
    for round in 0..2 {
        // The second one begins with what the first has left, and looks through it meanwhile.
        let disk = Arc::new(Disk::new(place.path().join("store"), 1 << 20, Arc::default()));
        disk.wake();
        let rushing = (0..4).map(|number| {
            let disk = Arc::clone(&disk);
            thread::spawn(move || actix_rt::System::new().block_on(rush(&disk, 10 * round + number)))
        });
        let rushing: Vec<_> = rushing.collect();
        rushing.into_iter().for_each(|one| one.join().expect("nothing came back"));
        settle(&disk).await;

        assert_eq!(disk.usage().errors, 0);
        let there: u64 = files(&disk).iter().filter(|name| disk.state.index.has(name)).count() as u64;
        assert_eq!((there, disk.usage().targets), (files(&disk).len() as u64, Some(there)), "what is there is known");
    }
}

#[actix_rt::test]
async fn what_is_in_a_group_does_not_outlive_the_process() {
    let place = place();
    let first = disk(&place).await;
    first.put(&key("/a", None), &tagged("/a"));
    settle(&first).await;
    assert!(has(&first, "/a").await);
    drop(first);

    let second = disk(&place).await;

    assert!(!has(&second, "/a").await && files(&second).is_empty());
}

#[test]
fn the_end_of_a_process_waits_no_longer_for_a_disk_than_it_may() {
    let place = place();
    // Nobody does what it is given to do.
    let (disk, _jobs) = idle(&place);
    let (over, is_over) = mpsc::channel();
    thread::spawn(move || {
        disk.flush(Duration::from_millis(50));
        over.send(()).expect("the test waits");
    });

    is_over.recv_timeout(Duration::from_secs(30)).expect("it goes on");
}

#[actix_rt::test]
async fn what_was_left_out_while_the_folder_was_awaited_is_not_found_in_an_older_file() {
    let place = place();
    let first = disk(&place).await;
    first.put(&key("/a", None), &entry(40, "a"));
    settle(&first).await;
    let second = Disk::new(place.path().join("store"), SIZE, Arc::default());
    second.wake();
    until("it has tried", || second.state.has_tried()).await;
    let ticket = second.state.ledger().ticket(&key("/a", None), &entry(50, "a")).expect("nothing is purged");
    let room = second.state.room(40).expect("there is some");
    second.give(&ticket, Job::Whole(Arc::clone(&ticket), room));
    until("it is dropped", || second.usage().dropped > 0).await;

    drop(first);

    until("it is free", || second.state.folder().is_some()).await;
    assert!(!has(&second, "/a").await);
}
