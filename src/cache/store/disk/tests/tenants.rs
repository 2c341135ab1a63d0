//! Who has the folder: one process, and in it the store whose settings count.

use super::*;

#[actix_rt::test]
async fn what_is_purged_while_another_process_has_the_folder_is_gone_when_it_is_free() {
    let place = place();
    let first = disk(&place).await;
    for path in ["/a", "/b", "/c"] {
        first.put(&key(path, None), &entry(40, "a"));
    }
    settle(&first).await;
    let second = Disk::new(place.path().join("store"), SIZE, Arc::default());
    assert!(!has(&second, "/c").await, "it is not for two at once");

    assert_eq!(second.purge(&url("/a"), None), 1);
    second.forget(key("/b", None).target());
    // The first one does not know, and writes it again.
    first.put(&key("/a", None), &entry(40, "a"));
    settle(&first).await;
    drop(first);

    until("it is free", || second.state.folder().is_some()).await;
    assert!(!has(&second, "/a").await && !has(&second, "/b").await && has(&second, "/c").await);
}

#[actix_rt::test]
async fn other_settings_take_the_folder_over_though_the_store_before_is_held() {
    let (place, tenancy) = (place(), Arc::default());
    let of = |size: u64| Disk::new(place.path().join("store"), size, Arc::clone(&tenancy));
    let (before, after) = (of(SIZE), of(2 * SIZE));
    before.put(&key("/a", None), &entry(40, "a"));
    settle(&before).await;
    assert!(after.state.folder().is_none(), "nobody wants it yet");

    after.wake();

    until("it is open", || after.state.folder().is_some()).await;
    assert!(has(&after, "/a").await && !has(&before, "/a").await);
    before.put(&key("/b", None), &entry(40, "a"));
    settle(&after).await;
    assert!(files(&after).len() == 1);
}

#[actix_rt::test]
async fn settings_that_count_again_have_the_folder_again() {
    let (place, tenancy) = (place(), Arc::default());
    let of = |size: u64| Disk::new(place.path().join("store"), size, Arc::clone(&tenancy));
    let (one, other) = (of(SIZE), of(2 * SIZE));
    for path in ["/a", "/b"] {
        one.put(&key(path, None), &entry(40, "a"));
    }
    settle(&one).await;
    other.wake();
    until("it is left", || one.seat.is_away()).await;

    // Of the one before come late requests: they do not take the folder back, and what they invalidate is gone.
    one.put(&key("/late", None), &entry(40, "a"));
    one.forget(key("/a", None).target());
    settle(&other).await;
    assert!(!has(&one, "/b").await && !has(&other, "/a").await && has(&other, "/b").await);
    assert_eq!(one.usage().dropped, 1);
    one.wake();
    until("it is open", || one.state.folder().is_some()).await;
    one.put(&key("/c", None), &entry(40, "a"));
    settle(&one).await;

    assert!(!has(&one, "/a").await && has(&one, "/b").await && has(&one, "/c").await && !has(&other, "/c").await);
}

#[actix_rt::test]
async fn the_folder_is_had_by_whose_settings_came_last_however_fast_they_change() {
    let (place, tenancy) = (place(), Arc::default());
    let of = |size: u64| Disk::new(place.path().join("store"), size, Arc::clone(&tenancy));
    let (one, other) = (of(SIZE), of(2 * SIZE));
    for _ in 0..50 {
        one.wake();
        other.wake();
    }
    one.wake();

    until("the other one is away", || other.seat.is_away()).await;
    until("it is open", || one.state.folder().is_some()).await;
    one.put(&key("/a", None), &entry(40, "a"));
    settle(&one).await;
    assert!(has(&one, "/a").await && !one.seat.is_away());
}
