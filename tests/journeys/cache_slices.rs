//! Large answers are kept in pieces, and no more of them is asked for than somebody wants.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;

use super::support::{
    client::Response,
    origin::{Origin, Script},
    proxy::TestProxy,
};
use aqueduct::cache::purge::What;

const SIZE: usize = 20_000;
/// Of the pieces, which is "4KiB".
const PIECE: usize = 4096;

/// What stands in it, of this edition.
fn content(edition: u8) -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8 ^ edition).collect()
}

/// The range that a request asks for.
fn range(head: &str) -> Option<(usize, usize)> {
    let line = head.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    let (first, last) = line.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// A part of it, or all.
fn served(all: &[u8], head: &str, fields: &str) -> Vec<u8> {
    let (status, part) = match range(head) {
        None => ("200 OK".to_owned(), all),
        Some((first, _)) if first >= all.len() => {
            let size = all.len();
            return format!("HTTP/1.1 416 X\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n").into();
        }
        Some((first, last)) => {
            let last = last.min(all.len() - 1);
            (format!("206 X\r\nContent-Range: bytes {first}-{last}/{}", all.len()), &all[first..=last])
        }
    };
    let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n", part.len()).into_bytes();
    answer.extend_from_slice(part);
    answer
}

/// It serves ranges.
fn serving(fields: &'static str) -> Script {
    let all = content(0);
    Origin::serving(move |head, _| served(&all, head, fields))
}

const MINUTE: &str = "Cache-Control: max-age=60\r\nETag: \"a\"\r\n";

async fn proxy(origin: &Origin) -> TestProxy {
    let text = format!("[routes]\n\"/\" = {{ to = {:?}, cache = {{ slice = \"4KiB\" }} }}\n", origin.url());
    TestProxy::with(&text).start().await
}

async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    proxy.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await
}

fn said(answer: &Response) -> &str {
    answer.header("cache-status").expect("it says what was done")
}

/// The pieces that were asked for, in their order.
fn asked(origin: &Origin) -> Vec<usize> {
    let requests = origin.requests();
    let ranges = requests.iter().map(|request| range(request).expect("a range"));
    ranges
        .inspect(|(first, last)| assert_eq!((first % PIECE, last / PIECE), (0, first / PIECE)))
        .map(|(first, _)| first / PIECE)
        .collect()
}

#[actix_rt::test]
async fn of_a_range_no_more_is_asked_for_than_its_pieces_and_of_these_each_once() {
    let origin = serving(MINUTE).start().await;
    let (proxy, all) = (proxy(&origin).await, content(0));
    for (wanted, pieces, is_hit) in [
        ((5_000, 9_999), &[1, 2][..], false),
        ((5_000, 9_999), &[1, 2], true),
        ((6_000, 6_000), &[1, 2], true),
        ((19_990, 19_999), &[1, 2, 4], false),
        ((0, 19_999), &[1, 2, 4, 0, 3], false),
    ] {
        let (first, last) = wanted;

        let answer = ask(&proxy, "GET /", &format!("Range: bytes={first}-{last}\r\n")).await;

        assert!(answer.status == 206 && answer.body == all[first..=last] && answer.complete, "{wanted:?}");
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes {first}-{last}/20000")));
        assert_eq!((asked(&origin), said(&answer).contains("; hit")), (pieces.to_vec(), is_hit), "{}", answer.head);
    }

    let whole = ask(&proxy, "GET /", "").await;

    assert!(whole.status == 200 && whole.body == all && said(&whole).contains("; hit"), "{}", whole.head);
    assert_eq!((whole.header("content-length"), whole.header("content-range")), (Some("20000"), None));
    let head = ask(&proxy, "HEAD /", "").await;
    assert_eq!((head.header("content-length"), origin.requests_seen()), (Some("20000"), 5));
}

#[actix_rt::test]
async fn of_many_who_want_all_of_it_each_piece_is_asked_for_once() {
    let origin = serving(MINUTE).start().await;
    let (proxy, all) = (proxy(&origin).await, content(0));

    let answers = join_all((0..20).map(|_| ask(&proxy, "GET /", ""))).await;

    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == all && answer.complete));
    assert_eq!(asked(&origin), [0, 1, 2, 3, 4]);
}

#[actix_rt::test]
async fn what_a_client_asks_of_ranges_is_answered_by_what_the_whole_is() {
    let origin = serving(MINUTE).start().await;
    let (proxy, all) = (proxy(&origin).await, content(0));
    for (fields, status, body, said) in [
        // Nobody knows yet how long it is.
        ("Range: bytes=30000-\r\n", 416, &[][..], Some("bytes */20000")),
        ("Range: bytes=-100\r\n", 206, &all[19_900..], Some("bytes 19900-19999/20000")),
        ("Range: bytes=10-19\r\nIf-Range: \"a\"\r\n", 206, &all[10..20], Some("bytes 10-19/20000")),
        ("Range: bytes=10-19\r\nIf-Range: \"b\"\r\n", 200, &all[..], None),
        ("Range: bytes=1-2,5-6\r\n", 200, &all[..], None),
        ("If-None-Match: \"a\"\r\n", 304, &[], None),
    ] {
        let answer = ask(&proxy, "GET /", fields).await;

        assert_eq!((answer.status, answer.header("content-range")), (status, said), "{fields}");
        assert!(answer.body == body, "{fields}");
    }
}

#[actix_rt::test]
async fn who_knows_no_ranges_and_what_fits_in_a_piece_is_kept_as_a_whole() {
    let small = |head: &str| served(b"0123456789", head, MINUTE);
    let deaf = |head: &str| served(&content(0), &head.replace("range", "x-range"), MINUTE);
    for (answer, size) in [(small as fn(&str) -> Vec<u8>, 10), (deaf, SIZE)] {
        let origin = Origin::serving(move |head, _| answer(head)).start().await;
        let proxy = proxy(&origin).await;

        let first = ask(&proxy, "GET /", "").await;
        let second = ask(&proxy, "GET /", "Range: bytes=1-3\r\n").await;

        assert_eq!((first.status, first.body.len(), first.header("content-range")), (200, size, None));
        assert!(second.status == 206 && second.body == first.body[1..=3] && said(&second).contains("; hit"));
        assert_eq!(origin.requests_seen(), 1);
    }
}

#[actix_rt::test]
async fn what_is_old_is_asked_about_once_and_its_pieces_stay() {
    let (all, count) = (content(0), AtomicUsize::new(0));
    let origin = Origin::serving(move |head, _| {
        let is_first = count.fetch_add(1, Ordering::Relaxed) < 5;
        assert_eq!(head.contains("if-none-match: \"a\""), !is_first, "{head}");
        let fields = "Cache-Control: max-age=0\r\nETag: \"a\"\r\n";
        if is_first { served(&all, head, fields) } else { format!("HTTP/1.1 304 X\r\n{MINUTE}\r\n").into_bytes() }
    });
    let origin = origin.start().await;
    let (proxy, all) = (proxy(&origin).await, content(0));
    assert!(ask(&proxy, "GET /", "").await.body == all);

    let (again, hit) = (ask(&proxy, "GET /", "").await, ask(&proxy, "GET /", "Range: bytes=0-9999\r\n").await);

    assert!(again.body == all && said(&again).contains("fwd=stale; fwd-status=304"), "{}", again.head);
    assert!(hit.body == all[..10_000] && said(&hit).contains("; hit"));
    assert_eq!(origin.requests_seen(), 6);
}

#[actix_rt::test]
async fn what_is_new_takes_the_place_of_all_pieces_of_what_was_old() {
    let count = AtomicUsize::new(0);
    let origin = Origin::serving(move |head, _| match count.fetch_add(1, Ordering::Relaxed) < 5 {
        true => served(&content(0), head, "Cache-Control: max-age=0\r\nETag: \"a\"\r\n"),
        false => served(&content(1), head, "Cache-Control: max-age=60\r\nETag: \"b\"\r\n"),
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin).await;
    assert!(ask(&proxy, "GET /", "").await.body == content(0));

    let answers = [ask(&proxy, "GET /", "").await, ask(&proxy, "GET /", "").await];

    assert!(answers.iter().all(|answer| answer.body == content(1) && answer.header("etag") == Some("\"b\"")));
    assert_eq!((origin.requests_seen(), stored(&proxy)), (10, 6), "five pieces, and what they are of");
}

/// So many items are in the store.
fn stored(proxy: &TestProxy) -> u64 {
    proxy.proxy.plan().shelves()[0].memory.usage().targets
}

#[actix_rt::test]
async fn with_what_is_purged_or_changed_its_pieces_go() {
    for purge in [true, false] {
        let origin = serving(MINUTE).start().await;
        let proxy = proxy(&origin).await;
        ask(&proxy, "GET /", "").await;
        assert_eq!(stored(&proxy), 6);

        if purge {
            let purged = proxy.proxy.plan().shelves()[0].purge(&What::url("http://a/").expect("a URL"), false);
            assert_eq!(purged, 1, "it is one answer");
        } else {
            ask(&proxy, "DELETE /", "").await;
        }

        assert_eq!(stored(&proxy), 0);
    }
}

#[actix_rt::test]
async fn what_is_not_for_everybody_is_asked_for_as_its_client_wants_it() {
    for fields in [
        "Cache-Control: private\r\nETag: \"a\"\r\n",
        "Cache-Control: max-age=60\r\n",
        "Cache-Control: max-age=60\r\nETag: W/\"a\"\r\n",
    ] {
        let origin = serving(fields).start().await;
        let (proxy, all) = (proxy(&origin).await, content(0));

        for _ in 0..2 {
            let answer = ask(&proxy, "GET /", "Range: bytes=5000-5009\r\n").await;
            assert!(answer.status == 206 && answer.body == all[5_000..5_010], "{fields}: {}", answer.head);
        }

        let ranges: Vec<_> = origin.requests().iter().map(|request| range(request)).collect();
        assert_eq!(
            ranges,
            [Some((4096, 8191)), Some((5_000, 5_009)), Some((5_000, 5_009))],
            "once is enough: {fields}"
        );
        assert_eq!(stored(&proxy), 0);
    }
}

#[actix_rt::test]
async fn who_lies_about_the_first_piece_is_asked_for_all_of_it() {
    for lie in [
        "bytes 1-4096/20000",
        "bytes 0-4094/20000",
        "bytes 0-4095/*",
        "bytes 0-4095/4095",
        "pages 0-4095/20000",
        "bytes 0-5000/20000",
    ] {
        let origin = Origin::serving(move |head, _| {
            let text = String::from_utf8_lossy(&served(&[b'x'; SIZE], head, MINUTE)).into_owned();
            text.replace("bytes 0-4095/20000", lie).into_bytes()
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin).await;

        for _ in 0..2 {
            let answer = ask(&proxy, "GET /", "").await;
            assert!(answer.status == 200 && answer.body == [b'x'; SIZE] && answer.complete, "{lie}: {}", answer.head);
        }

        let ranges: Vec<_> = origin.requests().iter().map(|request| range(request)).collect();
        assert_eq!(ranges, [Some((0, 4095)), None], "{lie}");
    }
}

type Third = fn() -> Vec<u8>;

/// Serves the first edition up to the third piece, and that piece as `third` has it; everything is of the second edition from then on.
fn faulty(third: Third) -> Script {
    let is_new = Arc::new(AtomicUsize::new(0));
    Origin::script(move |mut conn, _| {
        let is_new = Arc::clone(&is_new);
        async move {
            while let Some(head) = conn.next_head().await {
                if is_new.load(Ordering::Relaxed) > 0 {
                    conn.write(served(&content(1), &head, "Cache-Control: max-age=60\r\nETag: \"b\"\r\n")).await;
                } else if range(&head).is_some_and(|(first, _)| first == 2 * PIECE) {
                    is_new.store(1, Ordering::Relaxed);
                    conn.write(third()).await;
                    return;
                } else {
                    conn.write(served(&content(0), &head, MINUTE)).await;
                }
            }
        }
    })
}

/// A third piece that says so of itself, with so many bytes of which edition.
fn third(status: &str, range: &str, tag: &str, edition: u8, length: usize) -> Vec<u8> {
    let part = &content(edition)[2 * PIECE..][..length];
    let mut answer = format!(
        "HTTP/1.1 {status}\r\n{range}Content-Length: 4096\r\nCache-Control: max-age=60\r\nETag: {tag}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(part);
    answer
}

const THIRD: &str = "Content-Range: bytes 8192-12287/20000\r\n";

#[actix_rt::test]
async fn what_changes_or_breaks_between_two_pieces_is_whole_for_nobody_and_gone() {
    let faults: [(&str, Third); 8] = [
        ("another tag", || third("206 X", THIRD, "\"b\"", 1, PIECE)),
        ("a weak tag", || third("206 X", THIRD, "W/\"a\"", 0, PIECE)),
        ("another length", || third("206 X", "Content-Range: bytes 8192-12287/20001\r\n", "\"a\"", 0, PIECE)),
        ("another place", || third("206 X", "Content-Range: bytes 8193-12288/20000\r\n", "\"a\"", 0, PIECE)),
        ("all of it", || third("200 X", "", "\"b\"", 1, PIECE)),
        ("none", || b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("a part of it", || third("206 X", THIRD, "\"a\"", 0, 1000)),
        ("nothing", Vec::new),
    ];
    for (fault, third) in faults {
        let origin = faulty(third).start().await;
        let proxy = proxy(&origin).await;

        let broken = ask(&proxy, "GET /", "").await;
        assert!(broken.status == 200 && !broken.complete, "{fault}");
        let right = content(0);
        assert!(broken.body.len() < 3 * PIECE && broken.body == right[..broken.body.len()], "{fault}");

        // Where it only broke off, what was kept of it is still good, until the endpoint shows that it is not.
        let mut again = ask(&proxy, "GET /", "").await;
        if !again.complete {
            again = ask(&proxy, "GET /", "").await;
        }
        assert!(again.body == content(1) && again.complete, "{fault}: {}", again.head);
        assert!(ask(&proxy, "GET /", "Range: bytes=8000-9000\r\n").await.body == content(1)[8_000..=9_000], "{fault}");
    }
}

#[actix_rt::test]
async fn a_piece_that_cannot_be_had_is_told_as_what_it_is_where_nothing_was_said_yet() {
    let origin = Origin::serving(|head, _| match range(head) {
        Some((0, _)) => served(&content(0), head, MINUTE),
        _ => b"HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nbusy".to_vec(),
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin).await;
    assert!(ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await.body == content(0)[..10]);

    let answer = ask(&proxy, "GET /", "Range: bytes=5000-5009\r\n").await;

    assert_eq!((answer.status, answer.text(), said(&answer)), (503, "busy".into(), "aqueduct; fwd=partial"));
    assert_eq!(ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await.status, 206, "what is kept stays");
}

#[actix_rt::test]
async fn who_wants_nothing_asked_gets_what_is_kept_or_504() {
    let origin = serving(MINUTE).start().await;
    let proxy = proxy(&origin).await;
    ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await;
    let only = |range: &str| format!("Range: bytes={range}\r\nCache-Control: only-if-cached\r\n");

    let answers = [ask(&proxy, "GET /", &only("5-6")).await, ask(&proxy, "GET /", &only("5-5000")).await];

    assert_eq!(answers.map(|answer| answer.status), [206, 504]);
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn no_more_is_asked_for_than_a_client_reads_and_one_piece() {
    const LARGE: usize = 64 << 20;
    let origin = Origin::serving(|head, _| {
        let (first, last) = range(head).expect("a range");
        let head = format!("HTTP/1.1 206 X\r\nContent-Range: bytes {first}-{last}/{LARGE}\r\n{MINUTE}");
        let mut answer = format!("{head}Content-Length: {}\r\n\r\n", last + 1 - first).into_bytes();
        answer.resize(answer.len() + last + 1 - first, b'x');
        answer
    });
    let origin = origin.start().await;
    let text = format!("[routes]\n\"/\" = {{ to = {:?}, cache = {{ slice = \"256KiB\" }} }}\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_head().await;
    client.read_exact(1 << 20).await;

    client.reset();
    ask(&proxy, "GET /", "Range: bytes=67000000-67000001\r\n").await;

    // What sockets hold is more than that, and less than this.
    assert!(origin.requests_seen() < LARGE / (256 << 10) / 2, "{}", origin.requests_seen());
}

#[actix_rt::test]
async fn what_one_client_is_told_of_a_piece_is_nothing_to_the_others() {
    type Odd = fn(&str) -> Vec<u8>;
    let odd: [(u16, usize, Odd); 5] = [
        (404, 0, |_| b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n".into()),
        (431, 0, |_| b"HTTP/1.1 431 X\r\nContent-Length: 0\r\n\r\n".into()),
        // The endpoint speaks of what it was asked for, which is not what the client asked for.
        (502, 0, |_| b"HTTP/1.1 416 X\r\nContent-Length: 0\r\n\r\n".into()),
        (200, SIZE, |head| served(&content(0), &head.replace("range", "x-range"), MINUTE)),
        (206, 10, |head| served(&content(0), head, "Cache-Control: max-age=60\r\nETag: \"a\"\r\nSet-Cookie: s=1\r\n")),
    ];
    for (status, length, odd) in odd {
        let origin = Origin::serving(move |head, _| match head.contains("x-odd") {
            true => odd(head),
            false => served(&content(0), head, MINUTE),
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin).await;
        ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await;

        let answer = ask(&proxy, "GET /", "X-Odd: 1\r\nRange: bytes=5000-5009\r\n").await;

        assert_eq!(answer.status, status, "{}", answer.head);
        assert!(status == 502 || answer.body.len() == length && answer.complete, "{}", answer.head);
        assert!(status != 206 || answer.body == content(0)[5_000..5_010]);
        assert_eq!(stored(&proxy), 2, "what is kept stays, and of this nothing is: {status}");
        let kept = ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await;
        assert!(said(&kept).contains("; hit"), "{status}: {}", kept.head);
        let whole = ask(&proxy, "GET /", "").await;
        assert!(whole.body == content(0) && whole.complete, "{status}: {}", whole.head);
    }
}

#[actix_rt::test]
async fn where_the_store_has_no_room_all_pieces_come_nevertheless() {
    const LARGE: usize = 1 << 20;
    let all: Vec<_> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    let right = all.clone();
    let origin = Origin::script(move |mut conn, _| {
        let all = all.clone();
        async move {
            while let Some(head) = conn.next_head().await {
                if head.starts_with("GET /held") {
                    // It fills the room for what is on its way, and never ends.
                    conn.write(format!("HTTP/1.1 200 X\r\n{MINUTE}Content-Length: 510000\r\n\r\n")).await;
                    conn.write(vec![b'x'; 500_000]).await;
                    return std::future::pending().await;
                }
                conn.write(served(&all, &head, MINUTE)).await;
            }
        }
    });
    let origin = origin.start().await;
    let to = format!("to = {:?}, cache = {{ store = \"a\", max_object = \"512KiB\"", origin.url());
    let routes = format!("[routes]\n\"/held\" = {{ {to} }} }}\n\"/\" = {{ {to}, slice = \"128KiB\" }} }}\n");
    let proxy = TestProxy::with(&format!("[stores.a]\nmemory = {{ size = \"1MiB\" }}\n{routes}")).start().await;
    let mut held = proxy.connect().await;
    held.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    held.read_head().await;
    held.read_exact(500_000).await;

    for wanted in [0, 200_000] {
        let answer = ask(&proxy, "GET /", &format!("Range: bytes={wanted}-\r\n")).await;

        assert!(answer.complete && answer.body == right[wanted..], "{wanted}: {} of it", answer.body.len());
    }
}

#[actix_rt::test]
async fn what_is_shorter_or_longer_than_the_part_it_says_it_is_is_not_kept() {
    for wrong in ["Connection: close\r\n\r\n01234", "Transfer-Encoding: chunked\r\n\r\nc\r\n0123456789ab\r\n0\r\n\r\n"]
    {
        let count = AtomicUsize::new(0);
        let origin = Origin::script(move |mut conn, _| {
            let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                while let Some(head) = conn.next_head().await {
                    if is_first {
                        conn.write(format!("HTTP/1.1 206 X\r\nContent-Range: bytes 0-9/10\r\n{MINUTE}{wrong}")).await;
                        return;
                    }
                    conn.write(served(b"0123456789", &head, MINUTE)).await;
                }
            }
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin).await;

        let (broken, right) = (ask(&proxy, "GET /", "").await, ask(&proxy, "GET /", "").await);

        assert!(!broken.complete, "{wrong}: {}", broken.head);
        assert!(right.body == b"0123456789" && right.complete && !said(&right).contains("; hit"), "{}", right.head);
    }
}

#[actix_rt::test]
async fn what_is_invalidated_while_it_is_asked_for_as_its_client_wants_it_is_not_kept() {
    let origin = Origin::script(|mut conn, _| async move {
        while let Some(head) = conn.next_head().await {
            if head.starts_with("GET") && range(&head).is_none() {
                conn.wait_for("deleted").await;
            }
            conn.write(served(&content(0), &head, "Cache-Control: max-age=60\r\nETag: W/\"a\"\r\n")).await;
        }
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin).await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for_requests(2).await;

    ask(&proxy, "DELETE /", "").await;
    origin.tell("deleted");

    assert!(client.read_response().await.body == content(0));
    let next = ask(&proxy, "GET /", "").await;
    assert!(!said(&next).contains("; hit"), "{}", next.head);
}

#[actix_rt::test]
async fn what_has_changed_before_the_first_byte_is_asked_for_anew() {
    const OLD: &str = "Cache-Control: max-age=0\r\nETag: \"a\"\r\n";
    const NEW: &str = "Cache-Control: max-age=60\r\nETag: \"b\"\r\n";
    // At once, and after what is stored was said to be still good.
    for asks_before in [false, true] {
        let origin = Origin::serving(move |head, _| match range(head) {
            _ if head.contains("if-none-match") => format!("HTTP/1.1 304 X\r\n{MINUTE}\r\n").into_bytes(),
            Some((0, 4095)) => served(&content(0), head, OLD),
            _ => served(&content(1), head, NEW),
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin).await;
        if asks_before {
            ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await;
        }

        let wanted = if asks_before { "19900-19999" } else { "-100" };
        let answer = ask(&proxy, "GET /", &format!("Range: bytes={wanted}\r\n")).await;

        assert!(answer.status == 206 && answer.body == content(1)[19_900..], "{asks_before}: {}", answer.head);
    }
}

#[actix_rt::test]
async fn what_is_old_stands_in_also_where_the_endpoint_first_lies_about_a_piece_and_then_fails() {
    let count = AtomicUsize::new(0);
    let origin = Origin::serving(move |head, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => served(&content(0), head, "Cache-Control: max-age=0, stale-if-error=60\r\nETag: \"a\"\r\n"),
        1 => b"HTTP/1.1 206 X\r\nContent-Range: bytes 7-8/20000\r\nContent-Length: 2\r\n\r\n78".into(),
        _ => b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin).await;
    ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await;

    let answer = ask(&proxy, "GET /", "Range: bytes=0-9\r\n").await;

    assert!(answer.status == 206 && answer.body == content(0)[..10], "{}", answer.head);
    assert!(said(&answer).contains("stale-if-error"), "{}", answer.head);
}

#[actix_rt::test]
async fn of_what_is_kept_in_many_pieces_no_more_than_64_are_looked_for_first() {
    let all: Vec<_> = (0..66 * PIECE).map(|at| (at % 251) as u8).collect();
    let right = all.clone();
    let origin = Origin::serving(move |head, _| served(&all, head, MINUTE)).start().await;
    let proxy = proxy(&origin).await;
    assert!(ask(&proxy, "GET /", "").await.body == right);

    let hit = ask(&proxy, "GET /", "").await;
    let only = "Cache-Control: only-if-cached\r\n";
    let (all, some) =
        (ask(&proxy, "GET /", only).await, ask(&proxy, "GET /", &format!("{only}Range: bytes=9000-\r\n")).await);

    assert!(hit.body == right && said(&hit).contains("; hit"), "{}", hit.head);
    assert_eq!(
        (all.status, some.status),
        (504, 206),
        "where nothing may be asked, all that is wanted must be known to be there"
    );
    assert!(some.body == right[9_000..] && origin.requests_seen() == 66);
}
