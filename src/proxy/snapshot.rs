//! A plan with all that is made of it once, and a worker's own copy.

use std::{ops::Deref, sync::Arc};

use super::{challenges::Challenges, intake::Limits};
use crate::{
    exchange::Exchange,
    http::{
        Error, Fault, Response,
        error_page::{self, Format, ProxyStatus, Style},
    },
    plan::Plan,
    settings::{Problems, server},
    telemetry::{access_log::AccessLog, refusals},
};

/// A plan at work. Never changed, only replaced.
pub struct Active {
    /// What to do.
    pub plan: Arc<Plan>,
    /// What a request may be.
    pub limits: Limits,
    /// How to say no.
    pub style: Style,
    /// Where a line for each request goes.
    pub log: Option<AccessLog>,
    /// What directories of certificates are told.
    pub challenges: Challenges,
}

/// A worker's own copy: its requests count it on their thread alone, where no other core is asked.
pub struct Snapshot(pub Arc<Active>);

impl Deref for Snapshot {
    type Target = Active;

    fn deref(&self) -> &Active {
        &self.0
    }
}

impl Active {
    /// Puts a plan to work: the only step that opens something, the access log.
    pub fn of(plan: Plan, challenges: Challenges) -> Result<Self, Problems> {
        let log = AccessLog::open(&plan.settings.log.access)?;
        Ok(Self::with(plan, log, challenges))
    }

    /// The next plan; an access log that is asked for in the same words goes on.
    pub fn after(plan: Plan, before: &Self) -> Result<Self, Problems> {
        if plan.settings.log.access == before.plan.settings.log.access {
            return Ok(Self::with(plan, before.log.clone(), before.challenges.clone()));
        }
        Self::of(plan, before.challenges.clone())
    }

    fn with(plan: Plan, log: Option<AccessLog>, challenges: Challenges) -> Self {
        let limits = Limits::of(&plan.settings);
        let style = style(&plan, &limits);
        Self { plan: Arc::new(plan), limits, style, log, challenges }
    }

    /// Somebody reads the names of route, upstream and endpoint. Nobody does without a log, and then not even a
    /// counter shared with other cores is touched for them.
    pub fn wants_names(&self) -> bool {
        self.log.is_some()
    }

    /// Somebody may ask for metrics.
    pub fn is_measured(&self) -> bool {
        self.plan.admin.is_some()
    }

    /// Somebody reads when things happened.
    pub fn wants_times(&self) -> bool {
        self.wants_names() || self.is_measured()
    }

    /// The one place where an error becomes a response: it is noted, logged under its id, and shown as the client
    /// likes to read it.
    pub fn refuse(&self, error: Error, exchange: &mut Exchange) -> Response {
        if let Some(refusal) = error.refusal() {
            self.plan.ledger.event(refusal.by, "refused").happened();
        }
        exchange.facts.error = Some(error.token());
        exchange.facts.detail = Some(error.to_string());
        let id = exchange.id().clone();
        let (method, path) = (&exchange.method, exchange.uri.path().escape_default());
        match error.fault() {
            Fault::Client => refusals::tell(self.log.as_ref(), &id, format_args!("{method} {path}"), &error),
            Fault::Upstream => {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                let endpoint = exchange.facts.endpoint.as_deref().unwrap_or("-");
                log::warn!("{} {method} {path} to {endpoint}: {error}{source}", id.as_str());
            }
            Fault::Proxy => log::error!("{} {method} {path}: {error}", id.as_str()),
        }
        error_page::respond(error, &exchange.headers, id.as_str(), &self.style)
    }
}

fn style(plan: &Plan, limits: &Limits) -> Style {
    let written = &plan.settings.server.errors;
    Style {
        format: match written.format {
            server::ErrorFormat::Auto => Format::Auto,
            server::ErrorFormat::Json => Format::Json,
            server::ErrorFormat::Html => Format::Html,
            server::ErrorFormat::Text => Format::Text,
        },
        proxy_status: match written.proxy_status {
            server::ProxyStatus::Off => ProxyStatus::Off,
            server::ProxyStatus::Errors => ProxyStatus::Errors,
            server::ProxyStatus::Always => ProxyStatus::Always,
        },
        server_name: plan.settings.server_name.clone(),
        allow: limits.allow(),
    }
}
