//! Files that are not as they were written.

use std::path::Path;

use super::*;

/// In its folder, which goes with the last file.
fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(path, bytes)).expect("a file");
}

#[actix_rt::test]
async fn no_harmed_file_is_ever_whole() {
    let (place, key) = (place(), key("/", None));
    let disk = disk(&place).await;
    disk.put(&key, &entry(40, "a"));
    settle(&disk).await;
    let (name, path) = only_file(&disk);
    let sound = fs::read(&path).expect("it is there");
    let mut harmed: Vec<Vec<u8>> =
        (0..sound.len()).map(|at| [&sound[..at], &[!sound[at]], &sound[at + 1..]].concat()).collect();
    harmed.extend((0..sound.len()).map(|end| sound[..end].to_vec()));
    harmed.push([&sound[..], b"."].concat());

    for (number, bytes) in harmed.iter().enumerate() {
        write(&path, bytes);
        disk.state.index.insert(&name, bytes.len() as u64);
        let errors = disk.usage().errors;

        assert!(find(&disk, &key, "a").await.is_none(), "{number}");
        assert!(!path.exists() && disk.usage().errors == errors + 1, "{number}: it is removed, and counted");
    }
}

#[actix_rt::test]
async fn a_large_body_that_is_harmed_breaks_off_before_the_harm() {
    let (place, key) = (place(), key("/", None));
    let disk = disk(&place).await;
    const LENGTH: usize = 300_000;
    disk.put(&key, &entry(LENGTH, "a"));
    settle(&disk).await;
    let (name, path) = only_file(&disk);
    let sound = fs::read(&path).expect("it is there");
    let begin = sound.len() - LENGTH - 5 * 8;
    let places = (begin..sound.len()).step_by(9_973).chain([begin, begin + format::BLOCK, sound.len() - 1]);

    for at in places {
        let mut harmed = sound.clone();
        harmed[at] ^= 1;
        write(&path, &harmed);
        disk.state.index.insert(&name, harmed.len() as u64);
        let found = find(&disk, &key, "a").await.expect("its head is sound");

        let mut body = found.content.read(None).expect("it can be read");
        let mut length = 0;
        let ended = loop {
            match poll_fn(|cx| body.poll_frame(cx)).await {
                Some(Ok(Frame::Data(bytes))) => {
                    assert!(bytes.iter().all(|byte| *byte == b'.'), "{at}: nobody gets a byte that is not its own");
                    length += bytes.len();
                }
                Some(Ok(Frame::Trailers(_))) => {}
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        assert!(!ended && length < LENGTH && !path.exists(), "{at}: {length}");
    }
}

#[actix_rt::test]
async fn the_file_of_another_answer_is_not_that_of_this_one() {
    let place = place();
    let disk = disk(&place).await;
    disk.put(&key("/a", None), &entry(40, "a"));
    settle(&disk).await;
    let (a, path) = only_file(&disk);
    disk.put(&key("/b", None), &entry(40, "a"));
    settle(&disk).await;
    let b = files(&disk).into_iter().find(|name| *name != a).expect("the other one");

    fs::copy(&path, disk.state.folder().expect("it is open").path(&b)).expect("a file");

    assert!(!has(&disk, "/b").await && has(&disk, "/a").await);
    assert!(disk.usage().errors == 1 && files(&disk) == [a]);
}

#[actix_rt::test]
async fn what_is_not_known_to_be_whole_is_not_taken_for_whole_where_it_is_copied() {
    let (place, key) = (place(), key("/", None));
    let disk = disk(&place).await;
    disk.put(&key, &entry(300_000, "a"));
    settle(&disk).await;
    let found = Arc::new(find(&disk, &key, "a").await.expect("it is there"));
    // As after a 304: the head is a new one, the body is where it was.
    disk.put(&key, &found);
    settle(&disk).await;
    assert_eq!(read(&find(&disk, &key, "a").await.expect("it is there")).await, Some(vec![b'.'; 300_000]));
    let (_, path) = only_file(&disk);
    let mut bytes = fs::read(&path).expect("it is there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let found = Arc::new(find(&disk, &key, "a").await.expect("it is there"));
    fs::write(&path, bytes).expect("a file");

    disk.put(&key, &found);
    settle(&disk).await;

    assert!(find(&disk, &key, "a").await.is_none());
}
