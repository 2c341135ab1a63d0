//! What requests for one URL may differ in, as far as settings ask it: who keeps one answer for all of them has to know.

use std::fmt;

use super::{condition::Condition, template::Template, value::Value, variable::Variable};
use crate::http::{HeaderName, header};

/// Something that is not the same in all requests for one URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Who asks, or what is his alone, as it is called in settings.
    Client(String),
    /// A field.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query, where not all of it tells answers apart.
    Parameter(String),
    /// The whole query, the same.
    Query,
}

impl fmt::Display for Difference {
    /// As templates write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(name) => f.write_str(name),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Cookie(name) => write!(f, "cookie.{name}"),
            Self::Parameter(name) => write!(f, "query.{name}"),
            Self::Query => f.write_str("query"),
        }
    }
}

impl Template {
    /// What it is made of, each once.
    pub fn differences(&self) -> Vec<Difference> {
        sorted(self.variables().filter_map(of_variable).collect())
    }
}

impl Condition {
    /// What it asks, each once.
    pub fn differences(&self) -> Vec<Difference> {
        let mut all = Vec::new();
        self.visit(&mut |value| all.extend(of_value(value)));
        sorted(all)
    }
}

fn sorted(mut all: Vec<Difference>) -> Vec<Difference> {
    all.sort();
    all.dedup();
    all
}

fn of_variable(variable: &Variable) -> Option<Difference> {
    match variable {
        Variable::Value(value) => of_value(value),
        Variable::RequestId => Some(Difference::Client("request_id".into())),
        Variable::Query => Some(Difference::Query),
        Variable::Path | Variable::Label(_) | Variable::Local(_) => None,
    }
}

fn of_value(value: &Value) -> Option<Difference> {
    let header = |name: &HeaderName| Difference::Header(name.as_str().to_owned());
    match value {
        Value::Method | Value::Scheme | Value::Host | Value::Path | Value::ContentLength => None,
        Value::ContentType => Some(header(&header::CONTENT_TYPE)),
        Value::ClientAddress => Some(Difference::Client(value.to_string())),
        Value::Certificate(part) => Some(Difference::Client(part.name().to_owned())),
        Value::Claim(name) => Some(Difference::Client(format!("claim.{name}"))),
        Value::Query(name) => Some(Difference::Parameter(name.to_string())),
        Value::Header(name) => Some(header(name)),
        Value::Cookie(name) => Some(Difference::Cookie(name.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: Vec<Difference>) -> Vec<String> {
        all.iter().map(Difference::to_string).collect()
    }

    #[test]
    fn what_is_the_same_for_a_url_is_no_difference() {
        let template = Template::parse("${method} ${scheme} ${host} ${host.0} ${path}").expect("a template");
        let condition = Condition::parse("method == 'GET' and path starts_with '/a'").expect("a condition");

        assert!(template.differences().is_empty() && condition.differences().is_empty());
    }

    #[test]
    fn all_else_is_told_once_and_as_templates_write_it() {
        let text = "${client.ip} ${header.x-a} ${cookie.b} ${query.c} ${query} ${claim.d} ${client_cert.subject} ${request_id} \
                    ${client.ip}";
        let template = Template::parse(text).expect("a template");
        let condition = "header('x-a') == '1' or not (client.ip in cidr('10.0.0.0/8') and has(cookie('b')))";
        let condition = Condition::parse(condition).expect("a condition");

        let told = names(template.differences());

        let expected =
            ["claim.d", "client.ip", "client_cert.subject", "request_id", "header.x-a", "cookie.b", "query.c", "query"];
        assert_eq!(told, expected);
        assert_eq!(names(condition.differences()), ["client.ip", "header.x-a", "cookie.b"]);
    }
}
