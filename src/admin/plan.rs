//! `GET /plan`: the settings in force, and where they were written.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Status;
use crate::settings::show;

/// The settings in force, as `settings show --origin` has them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub struct InForce {
    /// Counts the plans since the start.
    generation: u64,
    /// What can be done as it was written, and still should be known.
    warnings: Vec<String>,
    /// Every effective value; secrets are `***`.
    settings: Value,
    /// Where they were written; what is not listed is built in.
    origins: Vec<Origin>,
}

/// Where a value was written.
#[derive(Debug, Serialize, JsonSchema)]
struct Origin {
    /// One element for each part of the key.
    key: Vec<String>,
    /// A file with its line, a variable, or a flag.
    origin: String,
}

/// The plan in force.
pub fn in_force(status: &Status) -> InForce {
    let (plan, standing) = (status.proxy().plan(), status.standing());
    let written = show::written(&plan.settings, &standing.origins);
    InForce {
        generation: standing.generation,
        warnings: plan.warnings.clone(),
        settings: show::tree(&plan.settings),
        origins: written.into_iter().map(|(key, origin)| Origin { key, origin: origin.to_string() }).collect(),
    }
}
