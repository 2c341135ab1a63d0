//! What values are called in the reference: a title in lower case stands for what it is the title of.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::values::{Secret, Size, Time};

macro_rules! titled {
    ($($kind:ty: $title:literal;)*) => {
        $(impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "title": $title })
            }
        })*
    };
}

titled! {
    Size: "size such as `\"16MiB\"`";
    Time: "time such as `\"30s\"`, `\"5m\"` or `\"7d\"`";
    Secret: "string, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
}
