//! `GET /plan`: the settings in force, and where they were written.

use serde::Serialize;
use serde_json::Value;

use super::Status;
use crate::settings::show;

/// As `settings show --origin` has it.
#[derive(Debug, Serialize)]
pub struct InForce {
    generation: u64,
    /// What can be done as it was written, and still should be known.
    warnings: Vec<String>,
    /// Every effective value; secrets are `***`.
    settings: Value,
    /// Where they were written; what is not listed is built in.
    origins: Vec<Origin>,
}

#[derive(Debug, Serialize)]
struct Origin {
    key: Vec<String>,
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
