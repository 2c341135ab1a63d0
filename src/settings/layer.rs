//! One layer: a file, a variable or a flag, and where in it each value stands.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::de::{DeArray, DeTable, DeValue};

use super::{
    problem::{Part, Place, Problem, Problems, Spot},
    secrecy::{self, HIDDEN},
    trace::{Shape, Trace},
};

/// No setting lies deeper; what follows may recurse without fear.
const DEEPEST: usize = 16;

/// What one source sets.
#[derive(Debug)]
pub(super) struct Layer {
    source: Source,
    /// A table; nothing once it was taken out of a file, which is traced.
    tree: Value,
}

#[derive(Debug)]
enum Source {
    BuiltIn,
    File(File),
    Environment(String),
    Flag(String),
}

/// A file with what is needed to find a key in it again.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
    line_starts: Vec<usize>,
    trace: Trace,
    secrets: Vec<Range<usize>>,
    /// The line behind which a bracket was not closed: what was read from there on is guesswork.
    torn_at: Option<usize>,
}

impl Layer {
    /// What holds when nothing else is said.
    pub fn built_in(text: &str, problems: &mut Problems) -> Self {
        Self { source: Source::BuiltIn, ..Self::file("the built-in settings", text, problems).0 }
    }

    /// Reads a file; false if it is not TOML, so that some of it is missing.
    pub fn file(path: &str, text: &str, problems: &mut Problems) -> (Self, bool) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader::default();
        let (tree, trace) = reader.table(table.get_ref(), table.span());
        let mut file = File::new(path, text, trace, reader.secrets);
        file.tell(&errors, problems);
        for (key, span, what) in reader.wrong {
            problems.push(Problem { place: Some(Place::File(file.spot(span))), ..Problem::at(key, what) });
        }
        (Self { source: Source::File(file), tree }, errors.is_empty())
    }

    /// Tells where a file stops being text.
    pub fn no_text(path: &str, bytes: &[u8], at: usize) -> Problem {
        let text = String::from_utf8_lossy(bytes);
        let mut reader = Reader::default();
        let table = DeTable::parse_recoverable(&text).0;
        let (_, trace) = reader.table(table.get_ref(), table.span());
        // What could not be read stands there as one letter.
        let spot = File::new(path, &text, trace, reader.secrets)
            .spot_of_error(at..at + char::REPLACEMENT_CHARACTER.len_utf8());
        let problem = Problem::at::<String>([], "not UTF-8, as TOML must be").help("save the file as UTF-8");
        Problem { place: Some(Place::File(spot)), ..problem }
    }

    /// What a variable sets: TOML if it can be read as that, else a string.
    pub fn environment(name: &str, path: &[String], text: &str) -> Self {
        let value = DeValue::parse(text).ok().and_then(|value| {
            let mut reader = Reader::default();
            let (value, _) = reader.value(value.get_ref(), value.span())?;
            reader.wrong.is_empty().then_some(value)
        });
        let tree = nested(path, value.unwrap_or_else(|| Value::from(text)));
        Self { source: Source::Environment(name.to_owned()), tree }
    }

    /// What a flag sets.
    pub fn flag(name: &str, path: &[String], value: Value) -> Self {
        Self { source: Source::Flag(name.to_owned()), tree: nested(path, value) }
    }

    /// What it sets, to be merged with others. There may be much of it in a file, and it is there once.
    pub fn take_tree(&mut self) -> Value {
        if let Source::File(_) = self.source { std::mem::take(&mut self.tree) } else { self.tree.clone() }
    }

    /// What it sets `path` to, if it does.
    pub fn shape(&self, path: &[String]) -> Option<Shape> {
        match &self.source {
            Source::File(file) => file.trace.at(path).map(Trace::shape),
            _ => child(&self.tree, path).map(Shape::of),
        }
    }

    /// Where this layer sets what `path` names, if it does.
    pub fn place(&self, path: &[String], part: Part) -> Option<Place> {
        match &self.source {
            Source::File(file) => file.find(path, part).map(|span| Place::File(file.spot(span))),
            _ if child(&self.tree, path).is_none() => None,
            Source::BuiltIn => Some(Place::BuiltIn),
            Source::Environment(name) => Some(Place::Environment(name.clone())),
            Source::Flag(name) => Some(Place::Flag(name.clone())),
        }
    }

    /// Whether a bracket was left open before this line of this file, so that it was misread.
    pub fn misread(&self, path: &str, line: usize) -> bool {
        matches!(&self.source, Source::File(file) if file.path == path && file.torn_at.is_some_and(|at| line >= at))
    }

    /// Its file, if it is one.
    pub fn file_name(&self) -> Option<&str> {
        match &self.source {
            Source::File(file) => Some(&file.path),
            _ => None,
        }
    }
}

/// What stands at a path.
fn child<'t>(tree: &'t Value, path: &[String]) -> Option<&'t Value> {
    path.iter().try_fold(tree, |parent, key| match parent {
        Value::Object(table) => table.get(key),
        Value::Array(elements) => elements.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])))
}

/// From TOML to plain values, refusing what no setting is.
#[derive(Default)]
struct Reader {
    path: Vec<String>,
    wrong: Vec<(Vec<String>, Range<usize>, &'static str)>,
    secrets: Vec<Range<usize>>,
}

impl Reader {
    fn table(&mut self, table: &DeTable<'_>, span: Range<usize>) -> (Value, Trace) {
        let (mut entries, mut inner) = (Map::with_capacity(table.len()), Vec::with_capacity(table.len()));
        for (key, value) in table {
            let name = key.get_ref().to_string();
            self.path.push(name.clone());
            if let Some((value, trace)) = self.value(value.get_ref(), value.span()) {
                inner.push((name.as_str().into(), trace.under(key.span())));
                entries.insert(name, value);
            }
            self.path.pop();
        }
        (Value::Object(entries), Trace::of(Shape::Table, span, inner))
    }

    fn array(&mut self, elements: &DeArray<'_>, span: Range<usize>) -> (Value, Trace) {
        let (mut values, mut inner) = (Vec::with_capacity(elements.len()), Vec::with_capacity(elements.len()));
        for (index, element) in elements.iter().enumerate() {
            self.path.push(index.to_string());
            let read = self.value(element.get_ref(), element.span());
            let number = self.path.pop().expect("it was pushed above");
            // Null keeps the numbers of those behind it right.
            let (value, trace) = read.unwrap_or_default();
            values.push(value);
            inner.push((number.into(), trace.under(element.span())));
        }
        (Value::Array(values), Trace::of(Shape::Array, span, inner))
    }

    fn value(&mut self, value: &DeValue<'_>, span: Range<usize>) -> Option<(Value, Trace)> {
        if self.path.len() > DEEPEST {
            return self.refuse(span, "nested too deep: no setting lies here");
        }
        let scalar = match value {
            DeValue::Table(table) => return Some(self.table(table, span)),
            DeValue::Array(elements) => return Some(self.array(elements, span)),
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(value) => Value::from(*value),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => return self.refuse(span, "this number is too large for any setting"),
            },
            DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => return self.refuse(span, "this number is not finite"),
            },
            DeValue::Datetime(_) => return self.refuse(span, "no setting is a date; a string needs quotes"),
        };
        if secrecy::is_secret(&self.path) {
            self.secrets.push(span.clone());
        }
        Some((scalar, Trace::of(Shape::Scalar, span, Vec::new())))
    }

    fn refuse(&mut self, span: Range<usize>, what: &'static str) -> Option<(Value, Trace)> {
        self.wrong.push((self.path.clone(), span, what));
        None
    }
}

impl File {
    fn new(path: &str, text: &str, trace: Trace, secrets: Vec<Range<usize>>) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            line_starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
            trace,
            secrets,
            torn_at: None,
        }
    }

    /// Tells what is no TOML. Behind an open bracket every line is an error: the first of them is enough.
    fn tell(&mut self, errors: &[toml::de::Error], problems: &mut Problems) {
        let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        let unclosed = errors.iter().rposition(|error| error.message().starts_with("unclosed"));
        let open_from = unclosed.map(|last| {
            // A table that was left open is not kept: then the commas that are missed on each line tell of it.
            let echoes = errors[..last].iter().rev().take_while(|error| error.message().starts_with("missing"));
            let first = echoes.last().unwrap_or(&errors[last]);
            self.trace.around(start(&errors[last])).unwrap_or_else(|| start(first))
        });
        for error in errors {
            let misread = open_from.is_some_and(|from| start(error) >= from);
            if misread && self.torn_at.is_some() {
                continue;
            }
            let spot = self.spot_of_error(error.span().unwrap_or(0..0));
            let mut problem = Problem::at::<String>([], format!("not TOML: {}", error.message()));
            if misread {
                self.torn_at = Some(spot.line);
                problem = problem.help("a bracket is left open here or before");
            }
            problem.place = Some(Place::File(spot));
            problems.push(problem);
        }
    }

    fn find(&self, path: &[String], part: Part) -> Option<Range<usize>> {
        let trace = self.trace.at(path)?;
        Some(match part {
            Part::Key => trace.key(),
            Part::Value => trace.value(),
            Part::Within(start, end) => self.within(&trace.value(), start..end).unwrap_or_else(|| trace.value()),
        })
    }

    /// Where these bytes of a string are written; `None` where they are not written as they are meant.
    fn within(&self, value: &Range<usize>, bytes: Range<usize>) -> Option<Range<usize>> {
        let written = self.text.get(value.clone())?;
        let (thrice, escapes) = match written.as_bytes().first()? {
            b'"' => (r#"""""#, true),
            b'\'' => ("'''", false),
            _ => return None,
        };
        if escapes && written.contains('\\') {
            return None;
        }
        let is_tripled = written.len() >= 6 && written.starts_with(thrice);
        let opened = if is_tripled { 3 } else { 1 };
        // A line break right behind three quotes is none of the text.
        let broken = ["\r\n", "\n"].into_iter().find(|line_break| is_tripled && written[3..].starts_with(line_break));
        let start = opened + broken.map_or(0, str::len);
        let is_inside = start + bytes.end + opened <= written.len();
        is_inside.then(|| value.start + start + bytes.start..value.start + start + bytes.end)
    }

    /// Where a syntax error stands. What could not be read may be a secret as well.
    fn spot_of_error(&self, span: Range<usize>) -> Spot {
        let mut spot = self.spot(span);
        let lines = self.text.lines().take(spot.line).collect::<Vec<_>>();
        let assignment = lines.iter().rev().find(|line| line.contains('='));
        if assignment.is_some_and(|line| secrecy::may_set_a_secret(line)) {
            spot.hide();
        }
        spot
    }

    fn spot(&self, span: Range<usize>) -> Spot {
        let start = floor_boundary(&self.text, span.start.min(self.text.len()));
        let line = self.line_starts.partition_point(|line_start| *line_start <= start);
        let line_start = self.line_starts[line - 1];
        let text = self.text[line_start..].lines().next().unwrap_or_default();
        let line_end = line_start + text.len();
        let end = floor_boundary(&self.text, span.end.clamp(start, line_end.max(start)));
        let column = self.text[line_start..start].chars().count() + 1;
        let mark = start.min(line_end) - line_start..end.min(line_end) - line_start;
        let (text, mark) = hide(text, mark, self.hidden(line_start..line_end));
        Spot { path: self.path.clone(), line, column, text, mark }
    }

    /// What of a line must not be shown, in order.
    fn hidden(&self, line: Range<usize>) -> Vec<Range<usize>> {
        let on_this_line = self.secrets.iter().filter(|secret| secret.start < line.end && line.start < secret.end);
        let mut hidden: Vec<_> = on_this_line
            .map(|secret| secret.start.max(line.start) - line.start..secret.end.min(line.end) - line.start)
            .collect();
        hidden.extend(secrecy::user_info(&self.text[line]));
        hidden.sort_by_key(|range| range.start);
        hidden
    }
}

/// Replaces the hidden parts of a line and moves the mark with what it marks.
fn hide(line: &str, mark: Range<usize>, hidden: Vec<Range<usize>>) -> (String, Range<usize>) {
    let (mut text, mut shown, mut moved) = (String::with_capacity(line.len()), 0, mark.clone());
    for range in hidden {
        if range.start < shown {
            continue;
        }
        text.push_str(&line[shown..range.start]);
        let at = text.len();
        text.push_str(HIDDEN);
        shown = range.end;
        let shift = |edge: usize, inside: usize, moved: usize| match edge {
            edge if edge >= range.end => text.len() + (edge - range.end),
            edge if edge > range.start => inside,
            _ => moved,
        };
        moved = shift(mark.start, at, moved.start)..shift(mark.end, text.len(), moved.end);
    }
    text.push_str(&line[shown..]);
    (text, moved)
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
