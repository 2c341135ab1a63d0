//! What is written under `error_pages`: a table whose keys are statuses, and one switch.

use std::{borrow::Cow, fmt, path::PathBuf};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{filters::statuses::Statuses, http::error_page::Format};

/// Pages by status.
#[derive(Debug, Default)]
pub struct ErrorPagesSettings {
    /// Each with its files.
    pub pages: IndexMap<Statuses, PageFiles>,
    /// Errors of endpoints are replaced, too.
    pub intercept: bool,
}

/// The files of a page, by what they are.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Representations {
    /// For people.
    pub html: Option<PathBuf>,
    /// For programs.
    pub json: Option<PathBuf>,
    /// For terminals.
    pub text: Option<PathBuf>,
}

/// One file, whose name tells what it is, or one for each representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageFiles {
    /// `"404.html"`
    One(PathBuf),
    /// `{ html = "404.html", json = "404.json" }`
    Each(Representations),
}

impl PageFiles {
    /// Each file with what it is, if its place or its name tells.
    pub fn all(&self) -> Vec<(Option<Format>, &PathBuf)> {
        match self {
            Self::One(path) => vec![(told_by_name(path), path)],
            Self::Each(Representations { html, json, text }) => {
                let all = [(Format::Json, json), (Format::Html, html), (Format::Text, text)];
                all.into_iter().filter_map(|(format, path)| Some((Some(format), path.as_ref()?))).collect()
            }
        }
    }
}

fn told_by_name(path: &std::path::Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "html" | "htm" => Some(Format::Html),
        "json" => Some(Format::Json),
        "txt" => Some(Format::Text),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for PageFiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FilesVisitor;
        impl<'de> Visitor<'de> for FilesVisitor {
            type Value = PageFiles;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file such as \"404.html\", or a table of files: html, json, text")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<PageFiles, E> {
                Ok(PageFiles::One(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, files: A) -> Result<PageFiles, A::Error> {
                Representations::deserialize(MapAccessDeserializer::new(files)).map(PageFiles::Each)
            }
        }
        deserializer.deserialize_any(FilesVisitor)
    }
}

impl<'de> Deserialize<'de> for ErrorPagesSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingsVisitor;
        impl<'de> Visitor<'de> for SettingsVisitor {
            type Value = ErrorPagesSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of pages by status")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ErrorPagesSettings, A::Error> {
                let mut settings = ErrorPagesSettings::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Intercept => settings.intercept = map.next_value()?,
                        Key::Statuses(statuses) => drop(settings.pages.insert(statuses, map.next_value()?)),
                    }
                }
                Ok(settings)
            }
        }
        deserializer.deserialize_map(SettingsVisitor)
    }
}

enum Key {
    Intercept,
    Statuses(Statuses),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), Statuses::parse(&text).filter(|statuses| statuses.are_errors())) {
            ("intercept", _) => Ok(Self::Intercept),
            (_, Some(statuses)) => Ok(Self::Statuses(statuses)),
            _ => Err(de::Error::unknown_field(&text, &["a status from 400 to 599", "4xx", "5xx", "intercept"])),
        }
    }
}

impl JsonSchema for ErrorPagesSettings {
    fn schema_name() -> Cow<'static, str> {
        "ErrorPagesSettings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let file = json_schema!({
            "title": "file, or table of files (`html`, `json`, `text`)",
            "description": "What is shown instead. Without one the proxy's own.",
        });
        json_schema!({
            "type": "object",
            "properties": {
                "404": file,
                "4xx": file,
                "5xx": file,
                "intercept": {
                    "type": "boolean",
                    "default": false,
                    "description": "Errors of endpoints are replaced, too.",
                },
            },
        })
    }
}
