//! Types of content that a filter is for.

use crate::{
    http::{HeaderMap, header},
    settings::{Names, Problem, Problems},
};

/// Types of content, and patterns of them: `text/*`, `application/*+json`, `*/*`.
#[derive(Debug, Clone)]
pub struct MediaTypes(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// `None` is any.
    kind: Option<String>,
    /// What stands before the asterisk, or all of it.
    begin: String,
    /// What stands behind the asterisk, if there is one.
    end: Option<String>,
}

impl MediaTypes {
    /// Those that are written at this key, with what is wrong about them.
    pub fn of(names: &Names, key: &str, problems: &mut Problems) -> Self {
        let mut patterns = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match Pattern::parse(name) {
                Some(pattern) => patterns.push(pattern),
                None => {
                    let what = format!("`{}` is not a type of content", name.escape_debug());
                    let help = "such as \"application/json\", \"text/*\" or \"application/*+json\"";
                    problems.push(Problem::at([key, &index.to_string()], what).help(help));
                }
            }
        }
        if names.0.is_empty() {
            problems.push(Problem::at([key], "no type of content").help("such as \"text/*\""));
        }
        Self(patterns)
    }

    /// The content is of one of these. What says nothing of its type, or says it twice, is of none.
    pub fn has(&self, fields: &HeaderMap) -> bool {
        let mut written = fields.get_all(header::CONTENT_TYPE);
        let (Some(only), None) = (written.next(), written.next()) else { return false };
        only.to_str().is_ok_and(|text| self.takes(text))
    }

    /// Whoever reads it takes it for one of these: it says so once, and nothing else besides.
    pub fn has_surely(&self, fields: &HeaderMap) -> bool {
        let is_one = |text: &str| !text.contains(',') && essence(text).is_some_and(|found| self.takes_exactly(found));
        let mut written = fields.get_all(header::CONTENT_TYPE);
        let (Some(only), None) = (written.next(), written.next()) else { return false };
        std::str::from_utf8(only.as_bytes()).is_ok_and(is_one)
    }

    /// Somebody may take it for one of these: of several lines, and of several types in a line, any may be meant; and parts
    /// of something may be of any type.
    pub fn may_have(&self, fields: &HeaderMap) -> bool {
        let lines = fields.get_all(header::CONTENT_TYPE).flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let mut found = lines.filter_map(|part| essence(&String::from_utf8_lossy(part)).map(str::to_owned));
        found.any(|found| found.eq_ignore_ascii_case(PARTS) || self.takes_exactly(&found))
    }

    fn takes_exactly(&self, found: &str) -> bool {
        found.split_once('/').is_some_and(|(kind, subtype)| self.0.iter().any(|pattern| pattern.takes(kind, subtype)))
    }

    fn takes(&self, text: &str) -> bool {
        let Some((kind, subtype)) = text.split(';').next().unwrap_or_default().trim().split_once('/') else {
            return false;
        };
        self.0.iter().any(|pattern| pattern.takes(kind, subtype))
    }
}

/// Answers to a `Range` of several.
const PARTS: &str = "multipart/byteranges";

/// The type without its parameters, if it is one.
fn essence(text: &str) -> Option<&str> {
    let essence = text.split(';').next().unwrap_or_default().trim_ascii();
    let (kind, subtype) = essence.split_once('/')?;
    [kind, subtype].iter().all(|part| crate::http::headers::is_token(part.as_bytes())).then_some(essence)
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (kind, subtype) = text.split_once('/')?;
        let is_token = |text: &str| crate::http::headers::is_token(text.as_bytes()) && !text.contains('*');
        let kind = match kind {
            "*" if subtype == "*" => None,
            kind => Some(is_token(kind).then(|| kind.to_ascii_lowercase())?),
        };
        let is_part = |part: &str| part.is_empty() || is_token(part);
        match subtype.split_once('*') {
            Some((begin, end)) => (is_part(begin) && is_part(end)).then(|| Self {
                kind,
                begin: begin.to_ascii_lowercase(),
                end: Some(end.to_ascii_lowercase()),
            }),
            None => is_token(subtype).then(|| Self { kind, begin: subtype.to_ascii_lowercase(), end: None }),
        }
    }

    fn takes(&self, kind: &str, subtype: &str) -> bool {
        if self.kind.as_ref().is_some_and(|known| !known.eq_ignore_ascii_case(kind)) {
            return false;
        }
        let same = |a: Option<&[u8]>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b.as_bytes()));
        let (bytes, begin) = (subtype.as_bytes(), &self.begin);
        match &self.end {
            None => subtype.eq_ignore_ascii_case(begin),
            Some(end) => {
                bytes.len() >= begin.len() + end.len()
                    && same(bytes.get(..begin.len()), begin)
                    && same(bytes.get(bytes.len() - end.len()..), end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, text: &str) -> bool {
        MediaTypes(vec![Pattern::parse(pattern).expect("a pattern")]).takes(text)
    }

    #[test]
    fn a_type_is_told_whatever_its_case_and_parameters() {
        for (pattern, text) in [
            ("text/html", "text/html"),
            ("text/html", "Text/HTML; charset=utf-8"),
            ("text/*", "text/event-stream"),
            ("application/*+json", "application/problem+json"),
            ("application/vnd.*", "application/vnd.a.b"),
            ("*/*", "image/png"),
        ] {
            assert!(takes(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("text/html", "text/htmlx"),
            ("text/html", "application/text/html"),
            ("text/*", "application/text"),
            ("application/*+json", "application/json"),
            ("application/*+json", "application/+json+xml"),
            ("text/*", "text"),
            ("text/html", ""),
        ] {
            assert!(!takes(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_may_be_taken_for_two_types_is_surely_of_none_and_may_be_of_both() {
        let html = MediaTypes(vec![Pattern::parse("text/*").expect("a pattern")]);
        for (lines, surely, may) in [
            (&["text/html"][..], true, true),
            (&[" Text/HTML ;charset=utf-8"], true, true),
            (&["text/html", "text/html"], false, true),
            (&["text/html", "image/png"], false, true),
            (&["text/html, image/png"], false, true),
            (&["image/png,text/html"], false, true),
            (&["text/html; a=\"b, image/png"], false, true),
            (&["image/png; a=\", text/html\""], false, false),
            (&["image/png; a=\", text/html;\""], false, true),
            (&["multipart/byteranges; boundary=a"], false, true),
            (&["text/"], false, false),
            (&["text/a/b"], false, false),
            (&["text"], false, false),
            (&["texts/html"], false, false),
            (&["image/png; text/html"], false, false),
            (&[""], false, false),
            (&[], false, false),
        ] {
            let mut fields = HeaderMap::new();
            let value = |line: &&str| crate::http::HeaderValue::from_str(line).expect("a value");
            lines.iter().for_each(|line| fields.append(header::CONTENT_TYPE, value(line)));

            assert_eq!((html.has_surely(&fields), html.may_have(&fields)), (surely, may), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_type_is_told() {
        for text in ["", "json", "*", "*/json", "text/", "/html", "te xt/html", "text/*a*", "text/html; charset=utf-8"]
        {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
