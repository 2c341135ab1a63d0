use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(body: &mut ResponseBody) -> Poll<Option<Result<Frame, BodyError>>> {
    body.poll_frame(&mut Context::from_waker(Waker::noop()))
}

/// All that is there, and how it goes on: `None` if there is more to come.
fn read(body: &mut ResponseBody) -> (Vec<u8>, Option<Result<(), BodyError>>) {
    let mut all = Vec::new();
    loop {
        match poll(body) {
            Poll::Ready(Some(Ok(Frame::Data(bytes)))) => all.extend_from_slice(&bytes),
            Poll::Ready(Some(Ok(Frame::Trailers(_)))) => all.extend_from_slice(b"|trailers"),
            Poll::Ready(Some(Err(error))) => return (all, Some(Err(error))),
            Poll::Ready(None) => return (all, Some(Ok(()))),
            Poll::Pending => return (all, None),
        }
    }
}

fn text(body: &mut ResponseBody) -> String {
    String::from_utf8(read(body).0).expect("text")
}

fn trailers() -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    fields.insert("x-sum".parse().expect("a name"), "1".parse().expect("a value"));
    Some(fields)
}

#[test]
fn it_is_read_as_it_comes_and_by_each_at_its_own_pace() {
    let (content, writer) = Content::begin(None);
    let (mut early, mut other) = (content.read(None).expect("it"), content.read(None).expect("it"));

    writer.push(b"one ");
    assert_eq!(text(&mut early), "one ");
    writer.push(b"two ");
    let mut late = content.read(None).expect("its beginning is there");
    assert_eq!((text(&mut early), text(&mut late)), ("two ".into(), "one two ".into()));
    writer.push(b"three");
    assert!(writer.finish(None));

    assert_eq!((text(&mut early), text(&mut late)), ("three".into(), "three".into()));
    assert_eq!(text(&mut other), "one two three");
    assert!(matches!(read(&mut early), (rest, Some(Ok(()))) if rest.is_empty()));
}

#[test]
fn who_waits_is_woken_by_more_and_by_each_kind_of_end() {
    for end in ["more", "whole", "broken"] {
        let (content, writer) = Content::begin(None);
        let mut body = content.read(None).expect("it");
        let bell = Arc::new(Bell::default());
        assert!(body.poll_frame(&mut Context::from_waker(&Arc::clone(&bell).into())).is_pending());

        match end {
            "more" => writer.push(b"a"),
            "whole" => drop(writer.finish(None)),
            _ => drop(writer),
        }

        assert_eq!(bell.0.load(Ordering::Relaxed), 1, "{end}");
    }
}

#[test]
fn what_breaks_off_or_is_not_as_long_as_announced_is_whole_for_nobody() {
    for (announced, finished) in [(None, false), (Some(5), false), (Some(5), true)] {
        let (content, writer) = Content::begin(announced);
        let mut body = content.read(None).expect("it");
        writer.push(b"abc");
        if finished {
            assert!(!writer.finish(None));
        } else {
            drop(writer);
        }

        let (all, end) = read(&mut body);

        assert_eq!(all, b"abc");
        assert!(matches!(end, Some(Err(BodyError::Incomplete))), "{announced:?} {finished}");
        assert!(content.read(None).is_none(), "nobody else gets to see it");
    }
}

#[test]
fn a_whole_one_is_in_one_piece_and_parts_of_it_are_slices() {
    let (content, writer) = Content::begin(None);
    for piece in ["0123", "4567", "89"] {
        writer.push(piece.as_bytes());
    }
    assert!(writer.finish(None));

    for (part, expected) in [
        (None, "0123456789"),
        (Some((0, 0)), "0"),
        (Some((3, 8)), "345678"),
        (Some((9, 9)), "9"),
        (Some((5, 100)), "56789"),
    ] {
        let mut body = content.read(part).expect("it");
        let is_in_memory = matches!(body, ResponseBody::Bytes(_));
        assert_eq!(text(&mut body), expected, "{part:?}");
        assert!(is_in_memory || part == Some((5, 100)), "{part:?}");
    }
    assert_eq!((content.length(), content.weight()), (Some(10), 10 + PER_PIECE));
}

#[test]
fn a_large_one_is_in_blocks_and_parts_of_it_reach_over_their_borders() {
    let (content, writer) = Content::begin(None);
    let all: Vec<u8> = (0..3 * BLOCK + 5).map(|at| (at / 7) as u8).collect();
    all.chunks(10_007).for_each(|chunk| writer.push(chunk));
    assert!(writer.finish(None));

    assert_eq!(content.weight(), all.len() as u64 + 4 * PER_PIECE);
    let (first, last) = (BLOCK - 3, 2 * BLOCK + 9);
    for (part, expected) in [(None, &all[..]), (Some((first as u64, last as u64)), &all[first..=last])] {
        let mut body = content.read(part).expect("it");
        assert_eq!(body.size(), BodySize::Sized(expected.len() as u64));
        assert!(read(&mut body).0 == expected);
    }
}

#[test]
fn a_part_of_one_that_still_grows_comes_when_it_is_there() {
    let (content, writer) = Content::begin(Some(10));
    let mut body = content.read(Some((4, 7))).expect("it");

    writer.push(b"01234");
    assert_eq!(text(&mut body), "4");
    writer.push(b"56789");

    assert!(matches!(read(&mut body), (rest, Some(Ok(()))) if rest == b"567"));
    assert!(writer.finish(None));
}

#[test]
fn trailers_come_once_behind_all_of_it_and_behind_no_part() {
    let (content, writer) = Content::begin(None);
    let mut early = content.read(None).expect("it");
    writer.push(b"abc");
    assert!(writer.finish(trailers()));

    let mut late = content.read(None).expect("it");
    assert_eq!(late.size(), BodySize::Stream, "only a body of no announced length has them");
    assert_eq!((text(&mut early), text(&mut late)), ("abc|trailers".into(), "abc|trailers".into()));
    assert_eq!(text(&mut content.read(Some((0, 1))).expect("it")), "ab");
}

#[actix_rt::test]
async fn what_is_not_kept_goes_at_the_pace_of_the_slowest_and_ends_with_the_last() {
    let (content, writer) = Content::begin(None);
    let (mut slow, mut fast) = (content.read(None).expect("it"), content.read(None).expect("it"));
    writer.push(b"begun ");
    writer.forget();
    let piece = vec![b'.'; WINDOW as usize];
    let has_room = |writer: &Writer| writer.poll_room(&mut Context::from_waker(Waker::noop()));

    writer.push(&piece);
    assert_eq!(read(&mut fast).0.len(), piece.len() + 6);
    assert!(has_room(&writer).is_pending(), "the slow one has had nothing yet");
    assert_eq!(read(&mut slow).0.len(), piece.len() + 6);

    assert!(poll_fn(|cx| writer.poll_room(cx)).await);
    assert!(content.read(None).is_none(), "its beginning is given up");
    drop((slow, fast));
    assert_eq!(has_room(&writer), Poll::Ready(false));
}

#[test]
fn nothing_at_all_is_whole_too() {
    for announced in [None, Some(0)] {
        let (content, writer) = Content::begin(announced);
        let mut early = content.read(None).expect("it");
        assert!(writer.finish(None));

        assert!(matches!(content.read(None), Some(ResponseBody::Empty)));
        assert!(matches!(read(&mut early), (rest, Some(Ok(()))) if rest.is_empty()));
    }
}
