//! `[routes]` become routes: what to match, what to pass, where to go.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Plan, Split, Subjects, Upstreams, hedges,
    mirror::Mirror,
    passages::{Passage, Passages, StepName},
};
use crate::{
    exchange::Exchange,
    filters::Step,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, headers},
    language::Template,
    routing::{Entry, Pattern},
    settings::{
        Destination, Problem, RouteDefaults, RouteSettings, Settings,
        limit::Class,
        route::{ForwardedFields, RespondSettings, TimeoutSettings},
        server::EmptySegments,
        values::Time,
    },
    transport::Timeouts,
    upstream::{Upstream, hedge::Hedge},
};

/// One route.
pub struct Route {
    /// Its pattern as it was written.
    pub name: Arc<str>,
    /// The filters a request passes, outermost first.
    pub filters: Vec<Step>,
    /// What they are.
    pub filter_names: Vec<StepName>,
    /// Where it ends.
    pub target: Target,
    /// The matched prefix is taken off the path.
    pub strip: bool,
    /// Limits of each attempt.
    pub timeouts: Timeouts,
    /// Which fields tell the endpoint about the client.
    pub forwarded: ForwardedFields,
    /// What the endpoint sees as `Host`.
    pub host: HostRule,
    /// What its requests are worth where not all can be carried.
    pub class: Class,
    /// When a second endpoint is asked as well.
    pub hedge: Option<Arc<Hedge>>,
    /// Who gets copies.
    pub mirror: Option<Arc<Mirror>>,
    /// Bytes of a request body; `None` is no limit.
    pub max_body: Option<u64>,
    /// What its requests are counted under.
    pub subjects: Subjects,
}

/// Where a route ends.
pub enum Target {
    /// With an endpoint of an upstream.
    Upstream {
        /// The upstream.
        upstream: Arc<Upstream>,
        /// What goes in front of the path; empty, or starts with a slash and does not end with one.
        base: String,
    },
    /// With an endpoint of one of several upstreams.
    Split(Split),
    /// With a redirect.
    Redirect(Redirect),
    /// With an answer of its own.
    Respond(FixedAnswer),
}

/// A redirect.
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    location: Template,
}

/// An answer that is always the same.
pub struct FixedAnswer {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The content.
    pub body: Bytes,
}

/// What the endpoint sees as `Host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// What the client asked for.
    Preserve,
    /// The endpoint's own authority.
    Upstream,
    /// This.
    Literal(HeaderValue),
}

impl Redirect {
    /// The `Location` for what the pattern matched: `rest` is the path behind it with the query, `group` its groups.
    pub fn location(&self, exchange: &Exchange, rest: &str, group: impl Fn(&str) -> Option<String>) -> String {
        let mut location = self.location.url(exchange, |name| match name {
            REST => rest.into(),
            name => group(name).unwrap_or_default().into(),
        });
        // Behind two slashes stands a host: what a client writes there must not choose one.
        if location.starts_with("//") && !self.location.beginning().starts_with("//") {
            let path = location.trim_start_matches('/').len();
            location.replace_range(1..location.len() - path, "");
        }
        location
    }
}

/// The variable of a redirect for what follows the match.
const REST: &str = "rest";

/// Routes while they are drawn.
pub struct Drawing<'s> {
    pub settings: &'s Settings,
    /// What holds for a route that does not say otherwise.
    pub defaults: RouteDefaults,
    pub before: Option<&'s Plan>,
    pub passages: Passages<'s>,
    pub upstreams: Upstreams,
    pub problems: Vec<Problem>,
}

impl<'s> Drawing<'s> {
    /// Every route that could be drawn, with its pattern.
    pub fn entries(&mut self) -> Vec<Entry<Route>> {
        let settings = self.settings;
        self.check_defaults(&["defaults"], &settings.defaults);
        self.passages.check_shared(&mut self.problems);
        let mut entries = Vec::with_capacity(settings.routes.len());
        entries.extend(settings.routes.iter().filter_map(|(pattern, written)| self.entry(pattern, written)));
        entries
    }

    fn entry(&mut self, text: &'s str, written: &'s RouteSettings) -> Option<Entry<Route>> {
        self.check_defaults(&["routes", text], &written.overrides);
        let parsed = text.parse::<Pattern>();
        if let Err(error) = &parsed {
            let problem = Problem::at_key(["routes", text], error.to_string());
            self.problems.push(problem.help("[METHOD ][host]/path, with `=` for exact or `~` for a regex"));
        }
        if written.priority != 0 && parsed.as_ref().is_ok_and(|pattern| !pattern.is_regex()) {
            self.problem(
                text,
                &["priority"],
                "only a regular expression has a priority",
                "of other patterns the more specific one wins; remove it",
            );
        }
        let are_kept = self.settings.server.http.path.empty_segments == EmptySegments::Keep;
        if !are_kept && text.contains("//") && parsed.as_ref().is_ok_and(|pattern| !pattern.is_regex()) {
            let problem = Problem::at_key(["routes", text], "no request has `//` in its path by the time it is routed");
            self.problems.push(problem.help("server.http.path.empty_segments = \"keep\" lets them be"));
        }
        let groups: Vec<String> = parsed.iter().flat_map(Pattern::group_names).map(str::to_owned).collect();
        let target = self.target(text, written, &groups);
        let passage = self.passages.of_route(text, written, &mut self.problems);
        let pattern = parsed.ok()?;
        let value = self.route(text, written, passage, target?);
        Some(Entry { pattern, priority: written.priority, value })
    }

    fn route(&mut self, text: &str, written: &RouteSettings, passage: Passage, target: Target) -> Route {
        let said = written.overrides.or(&self.defaults);
        let limit = said.max_body.unwrap_or(self.settings.server.http.max_body).0;
        let host = host_rule(said.host.as_deref()).unwrap_or(HostRule::Preserve);
        let mirror = self.mirror(text, written, &host);
        Route {
            name: text.into(),
            filters: passage.steps,
            filter_names: passage.names,
            target,
            strip: written.strip,
            timeouts: timeouts(said.timeout.unwrap_or_default()),
            forwarded: said.forwarded.unwrap_or_default(),
            host,
            class: said.class.unwrap_or_default(),
            hedge: hedges::hedge(text, &said, self.before),
            mirror,
            max_body: (limit > 0).then_some(limit),
            subjects: Subjects::default(),
        }
    }

    fn target(&mut self, text: &str, written: &RouteSettings, groups: &[String]) -> Option<Target> {
        let named = [
            ("to", written.to.is_some()),
            ("redirect", written.redirect.is_some()),
            ("respond", written.respond.is_some()),
        ];
        let chosen: Vec<_> = named.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
        if written.status.is_some() && written.redirect.is_none() {
            self.problem(
                text,
                &["status"],
                "only a redirect has a status of its own",
                "respond = { status = .. } for an answer",
            );
        }
        if written.strip && written.to.is_none() {
            self.problem(text, &["strip"], "there is nothing to strip for", "strip goes with `to`");
        }
        if written.sticky.is_some() && !matches!(written.to, Some(Destination::Split(_))) {
            let problem = Problem::at_key(["routes", text, "sticky"], "there is no side to keep a client at");
            let help = "with `to = { shop = 90, shop_next = 10 }`; what keeps clients with endpoints is `sticky` of an upstream";
            self.problems.push(problem.help(help));
        }
        match chosen[..] {
            ["to"] => self.destination(text, written),
            ["redirect"] => self.redirect(text, written, groups),
            ["respond"] => self.respond(text, written.respond.as_ref()?),
            [] => {
                self.problem(text, &[], "the route leads nowhere", "one of `to`, `redirect` or `respond`");
                None
            }
            _ => {
                self.problem(
                    text,
                    &[chosen[1]],
                    format!("the route leads to two places at once: `{}`", chosen.join("` and `")),
                    "one of them",
                );
                None
            }
        }
    }

    fn redirect(&mut self, text: &str, written: &RouteSettings, groups: &[String]) -> Option<Target> {
        let status = written.status.unwrap_or(308);
        if ![301, 302, 303, 307, 308].contains(&status) {
            self.problem(text, &["status"], format!("{status} is not a redirect"), "301, 302, 303, 307 or 308");
        }
        let location = written.redirect.as_deref()?;
        let local: Vec<&str> = [REST].into_iter().chain(groups.iter().map(String::as_str)).collect();
        let template = match Template::parse_with(location, &local) {
            Ok(template) => template,
            Err(fault) => {
                self.problems.push(fault.problem(["routes", text, "redirect"]));
                return None;
            }
        };
        if HeaderValue::from_str(location).is_err() || location.is_empty() {
            self.problem(
                text,
                &["redirect"],
                "not a URL or path to send a client to",
                "\"/new\" or \"https://example.com/new\"",
            );
            return None;
        }
        Some(Target::Redirect(Redirect { status: StatusCode::from_u16(status).ok()?, location: template }))
    }

    fn respond(&mut self, text: &str, written: &RespondSettings) -> Option<Target> {
        let Some(status) =
            StatusCode::from_u16(written.status).ok().filter(|status| (200..=599).contains(&status.as_u16()))
        else {
            self.problem(
                text,
                &["respond", "status"],
                format!("{} is not the status of an answer", written.status),
                "200 to 599",
            );
            return None;
        };
        let mut fields = HeaderMap::new();
        if !written.body.is_empty() {
            match HeaderValue::from_str(&written.content_type) {
                Ok(value) => fields.insert(header::CONTENT_TYPE, value),
                Err(_) => {
                    self.problem(text, &["respond", "content_type"], "not a header field value", "\"text/plain\"")
                }
            }
        }
        for (key, value) in &written.headers {
            match (HeaderName::try_from(key.as_str()), HeaderValue::from_str(value)) {
                (Ok(name), _) if headers::is_hop_by_hop(&name) || name == header::CONTENT_LENGTH => self.problem(
                    text,
                    &["respond", "headers", key],
                    format!("`{name}` frames the message or belongs to one connection"),
                    "remove it: the proxy writes what is needed",
                ),
                (Ok(name), Ok(value)) => fields.insert(name, value),
                (Err(_), _) => self.problem(
                    text,
                    &["respond", "headers", key],
                    format!("`{key}` is not a header field name"),
                    "a token such as \"x-reason\"",
                ),
                (_, Err(_)) => {
                    self.problem(text, &["respond", "headers", key], "not a header field value", "visible characters")
                }
            }
        }
        Some(Target::Respond(FixedAnswer {
            status,
            headers: fields,
            body: Bytes::from(written.body.clone().into_bytes()),
        }))
    }

    fn check_defaults(&mut self, at: &[&str], written: &RouteDefaults) {
        self.check_hedge(at, written);
        if let Some(host) = &written.host
            && host_rule(Some(host)).is_none()
        {
            self.problems.push(
                Problem::at(
                    at.iter().chain(&["host"]).copied(),
                    format!("`{}` cannot stand in a Host field", host.escape_debug()),
                )
                .help("\"preserve\", \"upstream\", or a host with an optional port"),
            );
        }
    }

    fn problem(&mut self, route: &str, keys: &[&str], what: impl Into<String>, help: impl Into<String>) {
        let key = ["routes", route].into_iter().chain(keys.iter().copied());
        self.problems.push(Problem::at(key, what).help(help));
    }
}

fn host_rule(written: Option<&str>) -> Option<HostRule> {
    match written {
        None | Some("preserve") => Some(HostRule::Preserve),
        Some("upstream") => Some(HostRule::Upstream),
        Some(literal) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
            let value =
                (!literal.is_empty() && literal.bytes().all(plain)).then(|| HeaderValue::from_str(literal).ok())??;
            Some(HostRule::Literal(value))
        }
    }
}

fn timeouts(said: TimeoutSettings) -> Timeouts {
    let limit = |time: Option<Time>| time.and_then(|time| time.0);
    Timeouts {
        connect: limit(said.connect),
        first_byte: limit(said.first_byte),
        idle: limit(said.idle),
        total: limit(said.total),
    }
}
