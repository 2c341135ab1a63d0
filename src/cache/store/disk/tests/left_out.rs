//! What is not kept: then none that is older is found in its place.

use futures_util::FutureExt;

use super::*;
use crate::cache::{
    key::{KeyRules, Target},
    store::lower::Pen,
    testing::varied,
};

#[actix_rt::test]
async fn where_the_newest_finds_no_room_what_waits_to_be_written_is_not_either() {
    let place = place();
    let (disk, jobs) = idle(&place);
    disk.state.is_scanned.store(true, std::sync::atomic::Ordering::Release);
    disk.put(&key("/a", None), &entry(40, "a"));
    let _all = disk.state.room(u64::MAX).and(disk.state.room(u64::MAX));
    let _rest = Arc::clone(&disk.state.waiting).try_acquire_many_owned(disk.state.waiting.available_permits() as u32);

    disk.put(&key("/a", None), &entry(50, "a"));

    let Ok(Job::Whole(ticket, _)) = jobs.recv() else { panic!("it waits") };
    assert!(ticket.is_void());
}

#[actix_rt::test]
async fn where_one_that_comes_finds_no_place_the_older_is_gone() {
    let place = place();
    let disk = disk(&place).await;
    disk.put(&key("/a", None), &entry(40, "a"));
    settle(&disk).await;
    let pens: Vec<_> =
        (0..16).filter_map(|number| disk.begin(&key(&format!("/{number}"), None), &entry(0, "a"))).collect();

    assert!(pens.len() == 16 && disk.begin(&key("/a", None), &entry(0, "a")).is_none());

    assert!(!has(&disk, "/a").await);
}

#[actix_rt::test]
async fn a_disk_is_waited_for_once_for_all_of_an_answer_and_then_the_older_is_gone() {
    let place = place();
    let (disk, _jobs) = idle(&place);
    let folder = disk.state.folder().expect("it is open");
    let name = folder.naming.of(&key("/a", None), &entry(0, "a").head.vary);
    let mut pen = disk.begin(&key("/a", None), &entry(0, "a")).expect("there is room");
    disk.state.index.insert(&name, 40);
    let all = disk.state.waiting.available_permits() as u32;
    let _all = Arc::clone(&disk.state.waiting).try_acquire_many_owned(all).expect("they are free");
    let first = pen.push(vec![b'.'; 5].into()).await;

    let (mut pen, before) = (pen, disk.state.index.has(&name));

    assert!(!first && !before);
    assert_eq!(pen.push(vec![b'.'; 5].into()).now_or_never(), Some(false));
}

/// Pushes a little while nothing more may wait, until this long from now.
async fn push_while_full(disk: &Disk, pen: &mut Box<dyn Pen>, time: Duration) -> bool {
    let all = disk.state.waiting.available_permits() as u32;
    let all = Arc::clone(&disk.state.waiting).try_acquire_many_owned(all).expect("they are free");
    let later = async {
        tokio::time::sleep(time).await;
        drop(all);
    };
    tokio::join!(pen.push(vec![b'.'; 5].into()), later).0
}

#[actix_rt::test]
async fn a_disk_that_is_slow_each_time_is_waited_for_no_longer_than_one_that_is_so_once() {
    let place = place();
    let (disk, _jobs) = idle(&place);
    tokio::time::pause();
    let mut pen = disk.begin(&key("/a", None), &entry(0, "a")).expect("there is room");

    assert!(push_while_full(&disk, &mut pen, Duration::from_millis(600)).await);
    assert!(!push_while_full(&disk, &mut pen, Duration::from_millis(600)).await, "a second is over");
}

#[actix_rt::test]
async fn what_is_in_its_file_already_is_copied_once_at_a_time_and_not_for_too_many() {
    let place = place();
    let from = disk(&place).await;
    from.put(&key("/", None), &entry(300_000, "a"));
    settle(&from).await;
    let found = Arc::new(find(&from, &key("/", None), "a").await.expect("it is there"));
    let other = self::place();
    let (disk, jobs) = idle(&other);

    for _ in 0..20 {
        disk.put(&key("/", None), &found);
    }
    let copies: Vec<_> = jobs.try_iter().filter(|job| matches!(job, Job::Whole(..))).collect();
    assert_eq!(copies.len(), 1);
    for number in 0..20 {
        disk.put(&key(&format!("/{number}"), None), &found);
    }
    assert_eq!(jobs.try_iter().filter(|job| matches!(job, Job::Whole(..))).count(), 15);
}

#[actix_rt::test]
async fn what_clients_prove_who_they_are_with_is_not_written_down() {
    let place = place();
    let disk = disk(&place).await;
    let of = |rules: &KeyRules| {
        let target = Target { secure: false, authority: "a.example", path: "/c", query: None };
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static("cookie"), HeaderValue::from_static("s=secret"));
        Key::of(rules, target, &headers)
    };
    disk.put(&key("/a", None), &varied("cookie", "s=secret"));
    disk.put(&key("/b", None), &varied("authorization", "secret"));
    disk.put(&of(&KeyRules { cookies: vec!["s".to_owned()], ..KeyRules::default() }), &entry(40, "a"));
    disk.put(
        &of(&KeyRules { headers: vec![HeaderName::from_static("cookie")], ..KeyRules::default() }),
        &entry(40, "a"),
    );
    settle(&disk).await;
    assert!(files(&disk).is_empty());

    disk.put(&key("/a", None), &varied("accept-language", "de"));
    settle(&disk).await;
    assert_eq!(files(&disk).len(), 1);
}

#[actix_rt::test]
async fn what_clients_say_that_makes_a_difference_cannot_be_read_in_a_file() {
    let (place, mut headers) = (place(), HeaderMap::new());
    let disk = disk(&place).await;
    headers.append(HeaderName::from_static("x-api-key"), HeaderValue::from_static("hunter2"));
    disk.put(&key("/a", None), &varied("x-api-key", "hunter2"));
    disk.put(&key("/b", Some("hunter2")), &entry(40, "a"));
    settle(&disk).await;

    let folder = disk.state.folder().expect("it is open");
    let bytes = files(&disk).iter().flat_map(|name| fs::read(folder.path(name)).expect("a file")).collect::<Vec<_>>();

    assert!(files(&disk).len() == 2 && !bytes.windows(7).any(|part| part == b"hunter2"));
    let found = disk.find(&key("/a", None), &headers).await.expect("it is there");
    assert!(found.head.vary.is_same(&varied("x-api-key", "hunter2").head.vary));
    assert!(disk.find(&key("/a", None), &HeaderMap::new()).await.is_none());
    headers.insert(HeaderName::from_static("x-api-key"), HeaderValue::from_static("hunter3"));
    assert!(disk.find(&key("/a", None), &headers).await.is_none());
    assert!(find(&disk, &key("/b", Some("hunter2")), "a").await.is_some());
    assert!(find(&disk, &key("/b", Some("hunter3")), "a").await.is_none());
}

#[actix_rt::test]
async fn of_one_that_comes_it_is_told_whether_it_is_kept() {
    let place = place();
    let disk = disk(&place).await;
    for is_forgotten in [false, true] {
        let mut pen = disk.begin(&key("/a", None), &entry(0, "a")).expect("there is room");
        assert!(pen.push(vec![b'.'; 50_000].into()).await);
        if is_forgotten {
            disk.forget(key("/a", None).target());
        }

        assert_eq!(pen.finish().await, !is_forgotten);
    }
    assert_eq!((disk.usage().stored, disk.usage().dropped), (1, 0));
}

#[actix_rt::test]
async fn folders_in_which_nothing_is_left_go_and_those_in_which_something_is_stay() {
    let place = place();
    let disk = disk(&place).await;
    let folders = || disk.state.folder().expect("it is open").folders().count();
    for number in 0..20 {
        disk.put(&key(&format!("/{number}"), None), &entry(40, "a"));
    }
    settle(&disk).await;
    assert!(folders() > 1);
    let kept = key("/0", None);

    for number in 1..20 {
        disk.forget(key(&format!("/{number}"), None).target());
    }
    until("they are gone", || folders() == 1).await;

    assert!(find(&disk, &kept, "a").await.is_some());
    disk.forget(kept.target());
    until("it is gone", || folders() == 0).await;
    disk.put(&kept, &entry(40, "a"));
    settle(&disk).await;
    assert!(find(&disk, &kept, "a").await.is_some());
}
