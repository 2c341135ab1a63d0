//! `POST /reload`: what SIGHUP does, with an answer.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::timeout;

use super::{Status, found, problem, wrong};
use crate::{
    actors::Refused,
    settings::{Problem, problem::Place},
};

/// To read settings takes no longer, unless something is badly wrong.
const LONGEST: Duration = Duration::from_secs(30);

/// The settings that were read are in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reloaded")]
pub struct InForce {
    /// Counts the plans since the start.
    generation: u64,
}

/// What is wrong with the settings: nothing has changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NotReloaded")]
pub struct Wrong {
    /// Of the answer: 422.
    status: u16,
    title: &'static str,
    /// As the log has it.
    detail: String,
    problems: Vec<Told>,
}

/// One thing that is wrong with the settings.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettingsProblem")]
struct Told {
    /// One element for each part of the key.
    key: Vec<String>,
    what: String,
    /// The likely way out.
    help: Option<String>,
    /// Where it is, if it is in a file.
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
}

/// Has the settings read, and waits for what becomes of it.
pub async fn now(status: &Status) -> HttpResponse {
    match timeout(LONGEST, status.ask().and_hear()).await {
        Ok(Ok(Ok(generation))) => found(&InForce { generation }),
        Ok(Ok(Err(refused))) => wrong(StatusCode::UNPROCESSABLE_ENTITY, &Wrong::of(refused)),
        Ok(Err(_)) | Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "nobody reads settings here now: see the log"),
    }
}

impl Wrong {
    fn of(refused: Refused) -> Self {
        let problems = refused.problems.into_iter().map(Told::of).collect();
        Self { status: 422, title: "nothing has changed", detail: refused.why, problems }
    }
}

impl Told {
    fn of(problem: Problem) -> Self {
        let Problem { key, what, help, place, .. } = problem;
        let (file, line, column) = match place {
            Some(Place::File(spot)) => (Some(spot.path), Some(spot.line), Some(spot.column)),
            _ => (None, None, None),
        };
        Self { key, what, help, file, line, column }
    }
}
