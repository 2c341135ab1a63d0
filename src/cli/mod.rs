//! The command line: run, check, explain, settings, demo. The only place that knows clap.
