//! Settings as a file that could have been written, each value with its origin.

use serde_json::Value;

use super::{
    Origins, Settings,
    problem::{Place, quoted, quoted_unless_bare},
    secrecy::{HIDDEN, is_secret, without_user_info},
};

/// Every effective value as TOML; with `origins`, a comment behind each says where it was written. Secrets are `***`.
pub fn show(settings: &Settings, origins: Option<&Origins>) -> String {
    let tree = serde_json::to_value(settings).expect("settings are plain data with string keys");
    let mut printer = Printer { origins, lines: Vec::new(), path: Vec::new() };
    printer.section(&tree);
    printer.text()
}

/// The same as a tree. Secrets are `***`.
pub fn tree(settings: &Settings) -> Value {
    let mut tree = serde_json::to_value(settings).expect("settings are plain data with string keys");
    hide(&mut tree, &mut Vec::new());
    tree
}

/// Where each value of it was written that is not built in.
pub fn written(settings: &Settings, origins: &Origins) -> Vec<(Vec<String>, Place)> {
    let tree = serde_json::to_value(settings).expect("settings are plain data with string keys");
    let mut found = Vec::new();
    find(&tree, &mut Vec::new(), &mut |path| {
        let origin = origins.origin(path);
        if !matches!(origin, Place::BuiltIn) {
            let shown = path.iter().map(|key| without_user_info(key).into_owned()).collect();
            found.push((shown, origin));
        }
    });
    found
}

fn hide(value: &mut Value, path: &mut Vec<String>) {
    match value {
        Value::Object(table) => {
            let entries = std::mem::take(table);
            for (key, mut value) in entries {
                path.push(key.clone());
                hide(&mut value, path);
                path.pop();
                table.insert(without_user_info(&key).into_owned(), value);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| hide(element, path)),
        // Whether something is so is no secret.
        Value::Null | Value::Bool(_) => {}
        _ if is_secret(path) => *value = HIDDEN.into(),
        Value::String(text) => *text = without_user_info(text).into_owned(),
        Value::Number(_) => {}
    }
}

fn find(value: &Value, path: &mut Vec<String>, told: &mut impl FnMut(&[String])) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                path.push(key.clone());
                find(value, path, told);
                path.pop();
            }
        }
        _ => told(path),
    }
}

/// A key; of those of a split, which may be URLs, without what must not be shown.
fn shown(key: &str) -> String {
    quoted_unless_bare(&without_user_info(key))
}

struct Printer<'o> {
    origins: Option<&'o Origins>,
    lines: Vec<(String, Option<String>)>,
    path: Vec<String>,
}

impl Printer<'_> {
    /// Plain values first: behind a table's head they would be that table's.
    fn section(&mut self, table: &Value) {
        let Value::Object(table) = table else { return };
        let (sections, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| self.is_section(value));
        for (key, value) in values {
            self.path.push(key.clone());
            let line = format!("{} = {}", shown(key), self.value(value));
            let origin = self.origins.map(|origins| origins.origin(&self.path).to_string());
            self.lines.push((line, origin));
            self.path.pop();
        }
        for (key, section) in sections {
            self.path.push(key.clone());
            if let Value::Array(tables) = section {
                self.numbered(tables);
            } else {
                self.named(section);
            }
            self.path.pop();
        }
    }

    fn named(&mut self, table: &Value) {
        let entries = table.as_object();
        // A table of nothing but tables needs no head of its own, unless it would not show at all.
        if entries.is_none_or(|entries| entries.is_empty() || entries.values().any(|value| !self.is_section(value))) {
            self.head("[", "]");
        }
        self.section(table);
    }

    /// Tables stand under heads of their own; so do the tests.
    fn is_section(&self, value: &Value) -> bool {
        match value {
            Value::Object(_) => true,
            Value::Array(elements) => {
                self.path.is_empty() && !elements.is_empty() && elements.iter().all(Value::is_object)
            }
            _ => false,
        }
    }

    fn numbered(&mut self, tables: &[Value]) {
        for (index, table) in tables.iter().enumerate() {
            self.head("[[", "]]");
            self.path.push(index.to_string());
            self.inline_section(table);
            self.path.pop();
        }
    }

    /// A table whose tables stay on their line, as they read best in tests.
    fn inline_section(&mut self, table: &Value) {
        let Value::Object(table) = table else { return };
        for (key, value) in table {
            self.path.push(key.clone());
            let line = format!("{} = {}", shown(key), self.value(value));
            let origin = self.origins.map(|origins| origins.place(&self.path).to_string());
            self.lines.push((line, origin));
            self.path.pop();
        }
    }

    fn head(&mut self, open: &str, close: &str) {
        let keys: Vec<_> = self.path.iter().map(|key| shown(key)).collect();
        self.lines.push((String::new(), None));
        self.lines.push((format!("{open}{}{close}", keys.join(".")), None));
    }

    fn value(&mut self, value: &Value) -> String {
        match value {
            Value::Object(table) => {
                let entries: Vec<_> = table
                    .iter()
                    .map(|(key, value)| {
                        self.path.push(key.clone());
                        let entry = format!("{} = {}", shown(key), self.value(value));
                        self.path.pop();
                        entry
                    })
                    .collect();
                if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
            }
            Value::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| self.value(element)).collect();
                format!("[{}]", elements.join(", "))
            }
            // Whether something is so is no secret.
            Value::Bool(truth) => truth.to_string(),
            _ if is_secret(&self.path) => quoted(HIDDEN),
            Value::String(text) => quoted(&without_user_info(text)),
            // TOML tells 1 from 1.0 as JSON does.
            other => other.to_string(),
        }
    }

    fn text(self) -> String {
        let width = self.lines.iter().filter(|(_, origin)| origin.is_some()).map(|(line, _)| line.chars().count());
        let width = width.max().unwrap_or(0).min(60);
        let mut text = String::new();
        for (line, origin) in self.lines {
            match origin {
                Some(origin) => {
                    let padding = " ".repeat(width.saturating_sub(line.chars().count()));
                    text.push_str(&format!("{line}{padding}  # {origin}\n"));
                }
                None => text.push_str(&format!("{line}\n")),
            }
        }
        text
    }
}
