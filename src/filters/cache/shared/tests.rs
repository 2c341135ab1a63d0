use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::*;
use crate::{
    cache::testing::{entry, key},
    filters::remote,
    http::{HeaderName, HeaderValue},
    settings::{Secret, Time},
};

/// What speaks as a Redis does, has this answer wherever it is asked, and counts to seven.
async fn speak(mut stream: UnixStream, record: Vec<u8>) {
    let mut asked = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut asked).await {
        let mut said = Vec::new();
        for word in asked[..length].split(|byte| *byte == b'\n') {
            match word.trim_ascii() {
                b"HGET" => {
                    said.extend(format!("${}\r\n", record.len()).into_bytes());
                    said.extend_from_slice(&record);
                    said.extend(b"\r\n");
                }
                b"GET" => said.extend(b"$1\r\n7\r\n"),
                b"CLIENT" => said.extend(b"+OK\r\n"),
                _ => {}
            }
        }
        stream.write_all(&said).await.expect("somebody reads it");
    }
}

/// One that has reached it.
async fn reached(key: &Key) -> (TempDir, Tier) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redis.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let record = record::written(key, &entry(5, "a"), 7, 1).expect("it is whole");
    actix_rt::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        speak(stream, record).await;
    });
    let settings = RedisSettings {
        url: Secret::new(format!("redis+unix:{}", path.display())),
        ca: None,
        timeout: Time::secs(5),
        prefix: String::new(),
        max_object: crate::settings::Size::kib(1),
    };
    let shared = Shared::new("pages", &settings);
    shared.known().count = 7;
    shared.is_found(&remote::connect(&settings).await.expect("it is there"));
    (folder, Tier(Arc::new(shared)))
}

fn asking() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("a"));
    headers
}

#[actix_rt::test]
async fn nothing_is_found_there_as_long_as_others_have_not_been_told_what_is_old() {
    let (key, headers) = (key("/", None), asking());
    let (_folder, tier) = reached(&key).await;
    assert!(tier.find(&key, &headers).await.is_some());

    tier.forget(b"http://a.example/another");
    assert!(tier.find(&key, &headers).await.is_none());

    let mut ordered = tier.0.ordered.lock().await;
    ordered.fill(&tier.0.orders);
    assert!(tier.find(&key, &headers).await.is_none(), "it is being told");
    ordered.settle(&tier.0.orders);
    assert!(tier.find(&key, &headers).await.is_some());
}

#[actix_rt::test]
async fn who_waits_in_vain_counts_whatever_becomes_of_what_nobody_waits_for() {
    let key = key("/", None);
    let (_folder, Tier(shared)) = reached(&key).await;
    let late = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let mut connection = shared.connection().expect("it was reached");
    let mut pipe = redis::pipe();
    pipe.cmd("GET").arg("count");

    for number in 1..=MOST_FAILURES {
        assert!(shared.connection().is_some(), "{number}");
        shared.ask::<(u64,)>(&mut connection, &pipe, Duration::MAX).await.expect("an answer");
        shared.has_failed(&late);
    }

    assert!(shared.connection().is_none());
}
