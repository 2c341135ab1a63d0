//! The command line: run, check, explain, settings, demo. The only place that knows clap.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::settings::{Layers, Problems};

mod activation;
mod application_log;
mod beginning;
mod check;
mod demo;
mod explain;
mod predecessor;
mod run;
mod settings;
mod successor;

/// Where settings are looked for when nothing is said.
const DIRECTORY: &str = "settings";

const EXIT_CODES: &str = "Exit codes:
  0  done; for `run`: stopped, and every request in flight was finished
  1  something failed while it ran, such as an address that is taken
  2  the command line or the settings are wrong, or a test of the settings failed
  3  `run` was told to stop twice, and dropped what was in flight
  4  `run` was told to stop, and not everything in flight finished within `server.drain.grace`";

/// An HTTP reverse proxy.
#[derive(Parser)]
#[command(name = "aqueduct", version, about, after_help = EXIT_CODES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until told to stop: SIGTERM or Ctrl-C drains, a second one ends it at once, SIGHUP reads the settings
    /// again, SIGUSR1 reopens the access log, SIGUSR2 has the program on disk take over
    Run(Source),
    /// Say everything that is wrong with the settings, and run their [[tests]]
    Check(Source),
    /// Say which route takes a request, where it goes, and why the other routes do not take it
    Explain(explain::Explain),
    /// Look at the settings
    #[command(subcommand)]
    Settings(settings::Command),
    /// Serve two small built-in origins as /api and /web, to have something to look at
    Demo(demo::Demo),
}

/// Where the settings come from.
#[derive(Args)]
struct Source {
    /// A settings file, or a directory of them, of which AQUEDUCT_ENV chooses [default: ./settings, if it is there]
    #[arg(long, value_name = "DIR-or-FILE")]
    settings: Option<PathBuf>,
    /// An address to listen on instead of those of the settings: IP:PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// A route beside those of the settings, such as /api=http://localhost:8000; may be repeated
    #[arg(long, value_name = "PATTERN=URL", value_parser = route)]
    route: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Success = 0,
    Failure = 1,
    Wrong = 2,
    Forced = 3,
    GraceExpired = 4,
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run(source) => run::run(source),
        Command::Check(source) => check::check(source),
        Command::Explain(explain) => explain.run(),
        Command::Settings(command) => command.run(),
        Command::Demo(demo) => demo.run(),
    };
    application_log::flush();
    ExitCode::from(exit as u8)
}

impl Source {
    fn layers(self) -> Layers {
        let mut layers = match self.settings {
            Some(path) => Layers::new().path(path),
            None => Layers::new().directory_if_there(DIRECTORY),
        };
        layers = layers.process_environment();
        if !self.listen.is_empty() {
            layers = layers.flag(["listen"], self.listen, "--listen");
        }
        self.route
            .into_iter()
            .fold(layers, |layers, (pattern, to)| layers.flag(["routes".into(), pattern], to, "--route"))
    }
}

/// Split at the last `=` that stands before a URL: patterns may hold one as well, and paths behind a scheme, too.
fn route(text: &str) -> Result<(String, String), String> {
    let splits = text.rmatch_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
    let before_a_url = splits.clone().find(|(_, to)| begins_with_a_scheme(to));
    match before_a_url.or_else(|| splits.clone().next()) {
        Some((pattern, url)) if !pattern.is_empty() && !url.is_empty() => Ok((pattern.into(), url.into())),
        _ => Err("a route is PATTERN=URL, such as /api=http://localhost:8000".into()),
    }
}

fn begins_with_a_scheme(text: &str) -> bool {
    let is_scheme =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    text.starts_with("http+unix:") || text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// Tells what is wrong with the settings.
fn tell(problems: &Problems) -> Exit {
    eprintln!("{}", problems.render(std::io::stderr().is_terminal()));
    Exit::Wrong
}

/// Tells why it cannot go on.
fn fail(what: impl std::fmt::Display) -> Exit {
    application_log::say(format_args!("aqueduct: {what}"));
    Exit::Failure
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_route_on_the_command_line_may_be_exact() {
        assert_eq!(route("/api=http://a:1"), Ok(("/api".into(), "http://a:1".into())));
        assert_eq!(route("=/a=http://a"), Ok(("=/a".into(), "http://a".into())));
        assert!(route("/api").is_err());
        assert!(route("=http://a").is_err());
    }

    #[test]
    fn a_route_on_the_command_line_ends_where_its_url_begins() {
        for (text, pattern, to) in [
            ("/api=http+unix:/run/a=b.sock", "/api", "http+unix:/run/a=b.sock"),
            ("=/a=http://b/c=d", "=/a", "http://b/c=d"),
            ("~^/x=[0-9]+=http://a", "~^/x=[0-9]+", "http://a"),
            ("/api=shop", "/api", "shop"),
            ("=/api=shop", "=/api", "shop"),
        ] {
            assert_eq!(route(text), Ok((pattern.into(), to.into())), "{text}");
        }
    }
}
