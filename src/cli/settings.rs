//! `aqueduct settings show`

use clap::Subcommand;

use super::{Exit, Source, tell};
use crate::settings::{Loaded, show};

/// What to do with the settings.
#[derive(Subcommand)]
pub enum Command {
    /// Print every effective value; secrets are ***
    Show {
        #[command(flatten)]
        source: Source,
        /// Say behind each value where it was written
        #[arg(long)]
        origin: bool,
    },
}

impl Command {
    pub fn run(self) -> Exit {
        let Self::Show { source, origin } = self;
        match source.layers().load() {
            Ok(Loaded { settings, origins }) => {
                print!("{}", show::show(&settings, origin.then_some(&origins)));
                Exit::Success
            }
            Err(problems) => tell(&problems),
        }
    }
}
