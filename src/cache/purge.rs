//! What operators want gone: named by URL, by how URLs begin, by a tag or a group, or all of it.

use bytes::Bytes;

use super::policy::{Fields, Head};
use crate::http::{HeaderName, HeaderValue, path};

/// Names tags, separated by spaces.
pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// The same, separated by commas.
pub const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Which answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Of one target, with and without its port where that is the usual one.
    Url(Vec<Bytes>),
    /// Of all targets that begin so: with whole segments of their paths.
    Prefix(Vec<Bytes>),
    /// That name this tag.
    Tag(Bytes),
    /// That are in this group, of whichever origin (RFC 9875).
    Group(Bytes),
    /// All.
    Everything,
}

impl What {
    /// Of this URL, as keys have it.
    ///
    /// # Errors
    /// It is no URL of http or https.
    pub fn url(text: &str) -> Result<Self, &'static str> {
        targets(text).map(Self::Url)
    }

    /// Of all that begin like this URL, which has no query.
    ///
    /// # Errors
    /// It is none, or has one.
    pub fn prefix(text: &str) -> Result<Self, &'static str> {
        if text.contains('?') {
            return Err("what begins so has no query");
        }
        targets(text).map(Self::Prefix)
    }

    /// With this tag.
    ///
    /// # Errors
    /// No answer can have it.
    pub fn tag(text: &str) -> Result<Self, &'static str> {
        let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let is_trimmed = text.trim_ascii() == text && !text.contains(',');
        (is_one && is_trimmed).then(|| Self::Tag(text.to_owned().into())).ok_or("a tag is visible, without commas")
    }

    /// These answers are meant, by their target and their head.
    pub fn holds(&self, target: &[u8], head: &Head) -> bool {
        match self {
            Self::Tag(tag) => has_tag(&head.fields, tag),
            Self::Group(group) => head.groups.iter().any(|own| own.as_bytes() == group),
            Self::Url(_) | Self::Prefix(_) | Self::Everything => self.is_at(target),
        }
    }

    /// All answers of this target are meant, whatever they say.
    pub fn is_at(&self, target: &[u8]) -> bool {
        match self {
            Self::Url(urls) => urls.iter().any(|url| url == target),
            Self::Prefix(prefixes) => prefixes.iter().any(|prefix| begins(target, prefix)),
            Self::Everything => true,
            Self::Tag(_) | Self::Group(_) => false,
        }
    }
}

fn begins(target: &[u8], prefix: &[u8]) -> bool {
    let is_whole = |rest: &[u8]| prefix.ends_with(b"/") || matches!(rest.first(), None | Some(b'/' | b'?'));
    target.strip_prefix(prefix).is_some_and(is_whole)
}

/// The tags that an answer names, for people.
pub fn tags(fields: &Fields) -> Vec<String> {
    let named = tags_of(fields).filter(|tag| !tag.is_empty());
    named.map(|tag| String::from_utf8_lossy(tag).into_owned()).collect()
}

fn has_tag(fields: &Fields, tag: &[u8]) -> bool {
    tags_of(fields).any(|own| own == tag)
}

/// The head of an answer is bounded, so are its tags.
fn tags_of(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    let of = |name: HeaderName, separator: u8| {
        let lines = fields.get_all(name).map(HeaderValue::as_bytes);
        lines.flat_map(move |line| line.split(move |byte| *byte == separator)).map(<[u8]>::trim_ascii)
    };
    of(SURROGATE_KEY, b' ').chain(of(CACHE_TAG, b','))
}

/// The beginnings of keys that this URL names.
fn targets(text: &str) -> Result<Vec<Bytes>, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("a URL begins with https:// or http://")?;
    let scheme = scheme.to_ascii_lowercase();
    let port = match &*scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err("a URL begins with https:// or http://"),
    };
    let (authority, local) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.is_empty() || !authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    {
        return Err("it has no host, or one that cannot be asked for");
    }
    let (path, query) = match local.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (local, None),
    };
    if local.contains('#') {
        return Err("what follows `#` is never asked for");
    }
    let path = if path.is_empty() { "/" } else { path };
    let path = path::normalize(path, &path::Policy { keep_encoded_slash: true, ..path::Policy::default() })?;
    let query = query.map(path::settle_query).transpose()?.map(|query| format!("?{query}")).unwrap_or_default();
    let authority = authority.to_ascii_lowercase();
    let bare = authority.strip_suffix(port).unwrap_or(&authority);
    let written = [bare.to_owned(), format!("{bare}{port}")];
    // Another port is the only way to write it.
    let ways = if has_port(bare) { &written[..1] } else { &written[..] };
    Ok(ways.iter().map(|authority| format!("{scheme}://{authority}{path}{query}").into()).collect())
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_of_whole_segments_and_of_one_origin() {
        for (prefix, target, is_meant) in [
            ("https://a.example/pictures/", "https://a.example/pictures/1?b", true),
            ("https://a.example/pictures/", "https://a.example/picturesque", false),
            ("https://a.example/pictures", "https://a.example/pictures", true),
            ("https://a.example/pictures", "https://a.example/pictures?a", true),
            ("https://a.example/pictures", "https://a.example/pictures/1", true),
            ("https://a.example/pictures", "https://a.example/picturesque", false),
            ("https://a.example", "https://a.example/", true),
            ("https://a.example", "https://a.example:443/x", true),
            ("https://A.example:443/", "https://a.example/x", true),
            ("https://a.example", "https://a.example.evil/", false),
            ("https://a.example", "https://a.example:8443/", false),
            ("https://a.example", "http://a.example/", false),
            ("http://[::1]:80/", "http://[::1]/a", true),
        ] {
            assert_eq!(What::prefix(prefix).expect(prefix).is_at(target.as_bytes()), is_meant, "{prefix} {target}");
        }
    }

    #[test]
    fn a_url_is_one_target_as_keys_have_it() {
        for (url, target, is_meant) in [
            ("HTTPS://A.example/%61?b=c", "https://a.example/a?b=c", true),
            ("http://a.example:80", "http://a.example/", true),
            ("http://a.example/a", "http://a.example/a?b", false),
            ("http://a.example:8080/a", "http://a.example:8080/a", true),
            ("http://a.example/a/../b", "http://a.example/b", true),
        ] {
            assert_eq!(What::url(url).expect(url).is_at(target.as_bytes()), is_meant, "{url} {target}");
        }
        for url in ["", "/a", "ftp://a/", "http://", "http://a b/", "http://u@a/", "http://a/#b", "http://a/%"] {
            assert!(What::url(url).is_err(), "{url}");
        }
        assert!(What::prefix("http://a/b?c").is_err());
    }

    #[test]
    fn tags_are_separated_by_spaces_in_one_field_and_by_commas_in_the_other() {
        let lines = [(SURROGATE_KEY, "a  product-7"), (SURROGATE_KEY, "b"), (CACHE_TAG, "c, d e")];
        let fields: Fields = lines.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        for (tag, has) in [
            ("a", true),
            ("product-7", true),
            ("b", true),
            ("product", false),
            ("c", true),
            ("d e", true),
            ("d", false),
        ] {
            assert_eq!(has_tag(&fields, tag.as_bytes()), has, "{tag}");
        }
        assert!(What::tag("").is_err() && What::tag("a,b").is_err() && What::tag(" a").is_err());
    }
}
