//! The query of a target, as forms write it.

use std::borrow::Cow;

use super::Uri;

/// The values that a query gives to a name: without an equals sign an empty one.
pub fn values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Cow<'q, [u8]>> {
    let pairs = query.strip_prefix('?').into_iter().flat_map(|query| query.as_bytes().split(|byte| *byte == b'&'));
    pairs.filter_map(move |pair| {
        let (key, value) = split(pair);
        (form_text(key) == name.as_bytes()).then(|| form_text(value))
    })
}

/// The same target without what its query gives to this name; `None` if that is nothing.
pub fn without(uri: &Uri, name: &str) -> Option<Uri> {
    let (path, query) = uri.path_and_query()?.as_str().split_once('?')?;
    let is_other = |pair: &&str| form_text(split(pair.as_bytes()).0) != name.as_bytes();
    let kept: Vec<_> = query.split('&').filter(is_other).collect();
    if kept.len() == query.split('&').count() {
        return None;
    }
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    let mut parts = uri.clone().into_parts();
    // What is left of a valid target is one.
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    let at = pair.iter().position(|byte| *byte == b'=');
    at.map_or((pair, b""), |at| (&pair[..at], &pair[at + 1..]))
}

/// What a form writes: plus signs are spaces, and what can be decoded is.
pub fn form_text(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| b"%+".contains(byte)) {
        return Cow::Borrowed(text);
    }
    let mut decoded_text = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let meant = decoded(text, at);
        at += if meant.is_some() { 3 } else { 1 };
        decoded_text.push(meant.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
    }
    Cow::Owned(decoded_text)
}

/// The byte that a percent sign at this place encodes.
pub fn decoded(text: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = *text.get(at..at + 3)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        for (written, expected) in [
            ("?x=1", vec!["1"]),
            ("?y=1&x=a+b%20c&x", vec!["a b c", ""]),
            ("?%78=%2B1&X=2&xx=3", vec!["+1"]),
            ("?x=a=b&x=%zz", vec!["a=b", "%zz"]),
            ("?", vec![]),
            ("", vec![]),
        ] {
            let read = values(written, "x").map(|value| String::from_utf8_lossy(&value).into_owned());
            assert_eq!(read.collect::<Vec<_>>(), expected, "{written}");
        }
        assert_eq!(values("?=1&&", "").count(), 3);
    }

    #[test]
    fn a_name_is_taken_out_of_a_query_in_all_its_spellings() {
        for (before, after) in [
            ("/a?x=1&y=2", Some("/a?y=2")),
            ("/a?y=%2F&x", Some("/a?y=%2F")),
            ("/a?x=1&%78=2&X=3", Some("/a?X=3")),
            ("/a?x=1", Some("/a")),
            ("/a?y=1", None),
            ("/a?", None),
            ("/a", None),
        ] {
            let uri: Uri = before.parse().expect("a target");
            assert_eq!(without(&uri, "x").map(|uri| uri.to_string()).as_deref(), after, "{before}");
        }
    }
}
