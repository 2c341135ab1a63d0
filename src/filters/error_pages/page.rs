//! One page in its representations, cut where something is to be filled in.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::settings::PageFiles;
use crate::{
    filters::statuses::Statuses,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        error_page::{self, Format},
    },
    settings::{Problem, Problems},
};

/// A page.
pub struct Page(Vec<Text>);

/// One representation of it.
pub struct Text {
    format: Format,
    pieces: Vec<Piece>,
}

enum Piece {
    Fixed(Box<str>),
    Id,
    Status,
    Title,
}

/// A page is no longer.
const LIMIT: u64 = 256 * 1024;

impl Page {
    /// Reads its files; what is wrong with them is told.
    pub fn read(statuses: Statuses, files: &PageFiles, problems: &mut Problems) -> Self {
        let key = statuses.to_string();
        let mut texts = Vec::new();
        let all = files.all();
        if all.is_empty() {
            problems.push(Problem::at([&key], "no file").help("html, json or text = \"FILE\""));
        }
        for (format, path) in all {
            let Some(format) = format else {
                let what = format!("the name of `{}` does not tell what it is", path.display());
                problems.push(Problem::at([&key], what).help("a name that ends with .html, .json or .txt"));
                continue;
            };
            match read(path) {
                Ok(text) => texts.push(Text { format, pieces: pieces(&text) }),
                Err(error) => {
                    let what = format!("{}: {error}", path.display());
                    problems.push(Problem::at([&key], what).help("a text of 256 KiB at most, in UTF-8"));
                }
            }
        }
        Self(texts)
    }

    /// What this client can read best, and whether it could have been another.
    pub fn for_client(&self, asked: &HeaderMap) -> (&Text, bool) {
        let first = self.0.first().expect("a page without a text is a problem");
        if self.0.len() == 1 {
            return (first, false);
        }
        let has = |format| self.0.iter().any(|text| text.format == format);
        let chosen = error_page::preferred(asked, has);
        (self.0.iter().find(|text| Some(text.format) == chosen).unwrap_or(first), true)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other("it is too large"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::other(format!("line {line}: not UTF-8"))
    })
}

fn pieces(text: &str) -> Vec<Piece> {
    let (mut pieces, mut fixed, mut rest) = (Vec::new(), String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        fixed.push_str(before);
        let known = [("id}", Piece::Id), ("status}", Piece::Status), ("title}", Piece::Title)];
        match known.into_iter().find_map(|(name, piece)| Some((piece, after.strip_prefix(name)?))) {
            Some((piece, left)) => {
                pieces.extend([Piece::Fixed(std::mem::take(&mut fixed).into()), piece]);
                rest = left;
            }
            // A script's own.
            None => {
                fixed.push_str("${");
                rest = after;
            }
        }
    }
    fixed.push_str(rest);
    pieces.push(Piece::Fixed(fixed.into()));
    pieces
}

impl Text {
    /// For this error.
    pub fn filled(&self, status: StatusCode, id: &str) -> String {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(text) => filled.push_str(text),
                Piece::Id => filled.push_str(&self.escaped(id)),
                Piece::Status => filled.push_str(status.as_str()),
                Piece::Title => filled.push_str(&self.escaped(status.canonical_reason().unwrap_or("Error"))),
            }
        }
        filled
    }

    /// What it is.
    pub fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match self.format {
            Format::Html => "text/html; charset=utf-8",
            Format::Json => "application/json",
            Format::Text | Format::Auto => "text/plain; charset=utf-8",
        })
    }

    fn escaped(&self, text: &str) -> String {
        match self.format {
            Format::Html => error_page::escaped(text),
            // Within the quotes that the page has.
            Format::Json => {
                let quoted = serde_json::Value::from(text).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Format::Text | Format::Auto => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_filled_in_as_its_type_needs_it_and_the_rest_stays() {
        let text = |format, text| Text { format, pieces: pieces(text) };
        for (page, expected) in [
            (text(Format::Html, "${status} ${title}: ${id}"), "404 Not Found: a&lt;b&gt;&quot;"),
            (text(Format::Json, "{\"id\":\"${id}\"}"), "{\"id\":\"a<b>\\\"\"}"),
            (text(Format::Text, "${id}"), "a<b>\""),
            (
                text(Format::Html, "<script>`${ids} ${x} $${status}`</script>${"),
                "<script>`${ids} ${x} $404`</script>${",
            ),
            (text(Format::Html, ""), ""),
        ] {
            assert_eq!(page.filled(StatusCode::NOT_FOUND, "a<b>\""), expected);
        }
    }
}
