//! A text, cut into words, strings, numbers and signs.

use std::ops::Range;

use super::fault::Fault;

/// A condition may be this long, in bytes.
pub(super) const MAX_LENGTH: usize = 8 * 1024;

/// One piece of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or a word of the language: letters, digits, `_` and `.`.
    Word(String),
    /// A string, without its quotes.
    Text(String),
    Number(i64),
    Sign(Sign),
    /// Behind the last one.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    Equal,
    Unequal,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    And,
    Or,
    Not,
}

/// As they are written; what begins like another one comes first.
const SIGNS: [(&str, Sign); 14] = [
    ("==", Sign::Equal),
    ("!=", Sign::Unequal),
    ("<=", Sign::LessOrEqual),
    (">=", Sign::GreaterOrEqual),
    ("&&", Sign::And),
    ("||", Sign::Or),
    ("<", Sign::Less),
    (">", Sign::Greater),
    ("!", Sign::Not),
    ("(", Sign::Open),
    (")", Sign::Close),
    ("[", Sign::OpenList),
    ("]", Sign::CloseList),
    (",", Sign::Comma),
];

/// Those of other languages, and what they are here.
const FOREIGN: [(&str, &str); 6] =
    [("=~", "matches"), ("=", "=="), ("~", "matches"), ("&", "and"), ("|", "or"), ("`", "'")];

/// All of it, with an end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    if text.len() > MAX_LENGTH {
        let what = format!("it is longer than {MAX_LENGTH} bytes");
        return Err(Fault::new(0..text.len(), what).help("long lists of addresses belong in a file of `ip_access`"));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let token = token(text, at)?;
        at = token.at.end;
        let is_end = token.kind == Kind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

fn token(text: &str, at: usize) -> Result<Token, Fault> {
    let left = &text[at..];
    let Some(first) = left.chars().next() else { return Ok(Token { kind: Kind::End, at: at..at }) };
    if let Some((written, sign)) = SIGNS.iter().find(|(written, _)| left.starts_with(written)) {
        return Ok(Token { kind: Kind::Sign(*sign), at: at..at + written.len() });
    }
    if matches!(first, '\'' | '"') {
        return string(text, at, first);
    }
    let length = left.find(|letter: char| !is_of_word(letter)).unwrap_or(left.len());
    if first.is_ascii_digit() || (first == '-' && left[1..].starts_with(|next: char| next.is_ascii_digit())) {
        let length = left[1..].find(|letter: char| !is_of_word(letter)).map_or(left.len(), |length| length + 1);
        return number(&left[..length], at..at + length);
    }
    if length > 0 {
        return Ok(Token { kind: Kind::Word(left[..length].to_owned()), at: at..at + length });
    }
    let foreign = FOREIGN.iter().find(|(written, _)| left.starts_with(written));
    let end = at + foreign.map_or(first.len_utf8(), |(written, _)| written.len());
    let fault = Fault::new(at..end, format!("`{}` means nothing here", text[at..end].escape_debug()));
    Err(fault.hint(foreign.map(|(_, ours)| format!("did you mean `{ours}`?"))))
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '.'
}

fn number(written: &str, at: Range<usize>) -> Result<Token, Fault> {
    match written.replace('_', "").parse() {
        Ok(number) => Ok(Token { kind: Kind::Number(number), at }),
        Err(_) => Err(Fault::new(at, format!("`{written}` is not a whole number")).help("digits, such as 1_048_576")),
    }
}

/// A backslash stands for itself but before a quote or another one: expressions need no doubling.
fn string(text: &str, start: usize, quote: char) -> Result<Token, Fault> {
    let mut content = String::new();
    let mut letters = text[start + 1..].char_indices().peekable();
    while let Some((offset, letter)) = letters.next() {
        match letter {
            _ if letter == quote => {
                return Ok(Token { kind: Kind::Text(content), at: start..start + offset + 2 });
            }
            '\\' => {
                let escaped = letters.next_if(|(_, next)| matches!(next, '\\' | '\'' | '"'));
                content.push(escaped.map_or('\\', |(_, escaped)| escaped));
            }
            _ => content.push(letter),
        }
    }
    Err(Fault::new(start..text.len(), "a string that does not end").help(format!("a {quote} is missing")))
}

/// A string as it could have been written.
pub(super) fn quoted(content: &str) -> String {
    format!("'{}'", content.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_escapes_quotes_and_itself_alone() {
        for (written, expected) in [
            (r#"'a"b'"#, r#"a"b"#),
            (r"'a\'b'", "a'b"),
            (r#""\"\\""#, r#""\"#),
            (r"'^\d+\.'", r"^\d+\."),
            (r"'\\\d'", r"\\d"),
            ("''", ""),
        ] {
            let tokens = tokens(written).expect(written);

            assert_eq!(tokens[0], Token { kind: Kind::Text(expected.into()), at: 0..written.len() }, "{written}");
            assert_eq!(super::tokens(&quoted(expected)).expect("a string")[0].kind, tokens[0].kind);
        }
    }
}
