//! What a line looks like.

use super::field::{FIELDS, Field};
use crate::{
    http::{HeaderName, client_certificate::Part},
    settings::{Problem, problem::did_you_mean},
};

/// The combined log format of old, which every reader of logs knows.
const COMBINED: &str = "${client} - - [${time_clf}] \"${method} ${path} ${protocol}\" ${status} ${bytes_out} \
                        \"${referer}\" \"${user_agent}\"";

/// How lines are made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An object with every field.
    Json,
    /// Text with fields in it.
    Template(Vec<Piece>),
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Field(Field),
}

impl Piece {
    fn header_name(&self) -> Option<&HeaderName> {
        match self {
            Self::Text(_) => None,
            Self::Field(field) => field.header_name(),
        }
    }
}

impl Format {
    /// `"combined"`, `"json"` or a template; or everything that is wrong with it.
    pub(super) fn parse(format: &str) -> Result<Self, Vec<Problem>> {
        match format {
            "json" => Ok(Self::Json),
            "combined" => template(COMBINED).map(Self::Template),
            _ => template(format).map(Self::Template),
        }
    }

    /// Among what it shows is the request's id.
    pub(super) fn shows_ids(&self) -> bool {
        match self {
            Self::Json => true,
            Self::Template(pieces) => pieces.contains(&Piece::Field(Field::RequestId)),
        }
    }

    /// It shows what a client's certificate tells.
    pub(super) fn shows_certificates(&self) -> bool {
        match self {
            Self::Json => true,
            Self::Template(pieces) => pieces.iter().any(|piece| matches!(piece, Piece::Field(Field::Certificate(_)))),
        }
    }

    /// The fields of the request it shows, each once.
    pub(super) fn header_names(&self) -> Vec<HeaderName> {
        let named: Vec<_> = match self {
            Self::Json => FIELDS.iter().filter_map(|known| known.field.header_name()).collect(),
            Self::Template(pieces) => pieces.iter().filter_map(Piece::header_name).collect(),
        };
        let mut names = Vec::new();
        for name in named {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

fn template(mut text: &str) -> Result<Vec<Piece>, Vec<Problem>> {
    let mut pieces = Vec::new();
    let mut problems = Vec::new();
    if !text.contains("${") {
        problems.push(without_fields(text));
    }
    if text.contains(|letter: char| letter.is_control() && letter != '\t') {
        problems.push(
            at_format("holds a control character").help("one request is one line; of these only a tab may stand in it"),
        );
    }
    while let Some(start) = text.find("${") {
        let (before, rest) = (&text[..start], &text[start + 2..]);
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        let Some(end) = rest.find('}') else {
            problems.push(
                at_format(format!("`{}` is not closed", text[start..].escape_debug()))
                    .help("a `}` after the field's name"),
            );
            return Err(problems);
        };
        match Field::named(&rest[..end]) {
            Some(field) => pieces.push(Piece::Field(field)),
            None => problems.push(unknown(&rest[..end])),
        }
        text = &rest[end + 1..];
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    if problems.is_empty() { Ok(pieces) } else { Err(problems) }
}

fn at_format(what: impl Into<String>) -> Problem {
    Problem::at(["log", "access", "format"], what)
}

fn without_fields(text: &str) -> Problem {
    at_format(format!("`{}` shows nothing of a request", text.escape_debug()))
        .help("\"combined\", \"json\", or a template such as \"${client} ${method} ${path} ${status}\"")
        .hint(did_you_mean(text, ["combined", "json"]))
}

fn unknown(name: &str) -> Problem {
    if let Some(header) = name.strip_prefix("header.") {
        return at_format(format!("`{}` is not the name of a header field", header.escape_debug()))
            .help("a field of the request, such as `${header.accept}`");
    }
    let names = || FIELDS.iter().map(|known| known.name).chain(Part::ALL.map(Part::name));
    at_format(format!("`{}` is not a field of the access log", name.escape_debug()))
        .help(format!("{} or header.NAME", names().collect::<Vec<_>>().join(", ")))
        .hint(did_you_mean(name, names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_with_fields_in_it() {
        let format = Format::parse("a $b $$${status}${header.X-A}}$");

        let text = |text: &str| Piece::Text(text.into());
        let header = Field::Header(HeaderName::from_static("x-a"));
        let pieces = vec![text("a $b $$"), Piece::Field(Field::Status), Piece::Field(header), text("}$")];
        assert_eq!(format, Ok(Format::Template(pieces)));
    }

    #[test]
    fn every_mistake_in_a_template_is_told() {
        for (format, whats) in [
            (
                "${statis} ${x}",
                vec!["`statis` is not a field of the access log", "`x` is not a field of the access log"],
            ),
            ("${status} ${path", vec!["`${path` is not closed"]),
            ("${header.a b}", vec!["`a b` is not the name of a header field"]),
            ("${header.}", vec!["`` is not the name of a header field"]),
            ("${status}\n", vec!["holds a control character"]),
            ("combine", vec!["`combine` shows nothing of a request"]),
            ("", vec!["`` shows nothing of a request"]),
        ] {
            let problems = Format::parse(format).expect_err(format);

            let told: Vec<_> = problems.iter().map(|problem| problem.what.as_str()).collect();
            assert_eq!(told, whats, "{format}");
        }
    }
}
