//! Pages about filters, made of what their sources say: a test holds that docs/reference has what is made here.

use serde_json::Value;

use super::{FilterKind, Kinds};

/// One key of a filter's settings.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    key: String,
    kind: String,
    default: String,
    what: String,
}

/// The page about one kind of filter, in Markdown.
pub fn page(kind: &FilterKind) -> String {
    let FilterKind { name, summary, .. } = kind;
    let mut page = format!("# `{name}`\n\n{}.\n", capital(summary));
    let about = kind.about().trim();
    if !about.is_empty() {
        page.push_str(&format!("\n{about}\n"));
    }
    if let Some(schema) = kind.schema() {
        page.push_str("\n## Settings\n\n");
        let mut rows = Vec::new();
        match schema.get("items") {
            Some(items) => gather(&schema, items, "[]", &mut rows, 0),
            None => gather(&schema, &schema, "", &mut rows, 0),
        }
        if rows.is_empty() {
            page.push_str(&format!("{}\n", kind_of(&schema, &schema)));
        } else {
            page.push_str("| key | value | without it | what it says |\n|---|---|---|---|\n");
            for Row { key, kind, default, what } in rows {
                page.push_str(&format!("| `{key}` | {kind} | {default} | {what} |\n"));
            }
        }
    }
    page.push_str("\n---\nMade of the source by `UPDATE_REFERENCE=1 cargo test --test reference`.\n");
    page
}

/// The page that leads to all others.
pub fn index(kinds: &Kinds) -> String {
    let mut page = String::from(
        "# Filters\n\n\
         A request passes the filters of its route in this order, and its answer in reverse, wherever they are written. A route has \
         those that it writes itself (`jwt = { .. }`), those of the `[policies.NAME]` that it uses (`use = [\"NAME\"]`), and those of \
         `[defaults]`: of one kind, what stands nearer to the route is taken whole, and what policies with a condition (`when`) have comes on top. \
         Requests that no route takes pass the filters of `[defaults]`. A `concurrency` that counts by who asks stands behind `authorize`. `NAME = false` is without it, `NAME = true` is with \
         nothing said but that.\n\n| filter | what it does |\n|---|---|\n",
    );
    for kind in kinds.filters() {
        page.push_str(&format!("| [`{0}`]({0}.md) | {1} |\n", kind.name, kind.summary));
    }
    page.push_str("\n---\nMade of the source by `UPDATE_REFERENCE=1 cargo test --test reference`.\n");
    page
}

/// Tables within tables are keys with dots, as they can be written.
const DEEPEST: usize = 4;

fn gather(whole: &Value, schema: &Value, before: &str, rows: &mut Vec<Row>, depth: usize) {
    let Some(Value::Object(properties)) = resolved(whole, schema).get("properties") else { return };
    let required = resolved(whole, schema).get("required").cloned().unwrap_or_default();
    for (name, property) in properties {
        let key = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        let inner = resolved(whole, property);
        let what = property.get("description").or(inner.get("description")).and_then(Value::as_str).unwrap_or_default();
        let is_required = required.as_array().is_some_and(|names| names.iter().any(|other| other == name));
        let default = match property.get("default") {
            _ if is_required => "it must be there".into(),
            None | Some(Value::Null) => String::new(),
            Some(Value::Object(_)) => String::new(),
            Some(default) => format!("`{}`", cell(&default.to_string())),
        };
        rows.push(Row { key: key.clone(), kind: kind_of(whole, property), default, what: cell(what) });
        if depth < DEEPEST {
            gather(whole, inner, &key, rows, depth + 1);
            if let Some(items) = inner.get("items") {
                gather(whole, items, &format!("{key}[]"), rows, depth + 1);
            }
        }
    }
}

/// Behind references, and what may be there or not.
fn resolved<'s>(whole: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(Value::String(reference)) = schema.get("$ref") {
        let found = reference.strip_prefix('#').and_then(|pointer| whole.pointer(pointer));
        return found.map_or(schema, |found| resolved(whole, found));
    }
    let either = schema.get("anyOf").or(schema.get("allOf")).and_then(Value::as_array);
    let is_something = |other: &&Value| other.get("type") != Some(&"null".into()) && !is_off(other);
    let mut others = either.into_iter().flatten().filter(is_something);
    match (others.next(), others.next()) {
        (Some(only), None) => resolved(whole, only),
        _ => schema,
    }
}

/// It may be turned off.
fn is_off(schema: &Value) -> bool {
    schema.get("const") == Some(&Value::Bool(false))
}

fn kind_of(whole: &Value, schema: &Value) -> String {
    let either = schema.get("anyOf").and_then(Value::as_array);
    let or_off = if either.into_iter().flatten().any(is_off) { " or `false`" } else { "" };
    format!("{}{or_off}", kind_when_on(whole, schema))
}

fn kind_when_on(whole: &Value, schema: &Value) -> String {
    let schema = resolved(whole, schema);
    let titled = schema.get("title").and_then(Value::as_str).filter(|title| title.starts_with(char::is_lowercase));
    if let Some(title) = titled {
        return cell(title);
    }
    if let Some(Value::Array(choices)) = schema.get("enum") {
        return choices.iter().map(|choice| format!("`{}`", cell(&choice.to_string()))).collect::<Vec<_>>().join(", ");
    }
    let either = schema.get("oneOf").or(schema.get("anyOf")).and_then(Value::as_array);
    if let Some(either) = either {
        let kinds: Vec<_> = either.iter().map(|one| kind_of(whole, one)).collect();
        return kinds.join(" or ");
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{}`", cell(&constant.to_string()));
    }
    let named = |kind: &str| match kind {
        "array" => {
            let items = schema.get("items").map(|items| kind_of(whole, items)).unwrap_or_else(|| "any".into());
            format!("array of {items}")
        }
        "object" => "table".into(),
        "integer" | "number" => "number".into(),
        other => other.to_owned(),
    };
    match schema.get("type") {
        Some(Value::String(kind)) => named(kind),
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.map(named).collect::<Vec<_>>().join(" or ")
        }
        _ => "any".into(),
    }
}

/// What stands in one cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
