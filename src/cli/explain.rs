//! `aqueduct explain METHOD URL`

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use super::{Exit, Source, tell};
use crate::{kinds::Kinds, plan::Plan, proxy::rehearsal, settings::test::TestRequest};

/// A request to explain.
#[derive(Args)]
pub struct Explain {
    /// Its method, such as GET
    method: String,
    /// Its path, or an absolute URL with the host to ask for
    url: String,
    /// A field of it; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<(String, String)>,
    /// Where it comes from
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// A settings file, or a directory of them [default: ./settings, if it is there]
    #[arg(long, value_name = "DIR-or-FILE")]
    settings: Option<PathBuf>,
    /// A route beside those of the settings; may be repeated
    #[arg(long, value_name = "PATTERN=URL", value_parser = super::route)]
    route: Vec<(String, String)>,
}

impl Explain {
    pub fn run(self) -> Exit {
        let source = Source { settings: self.settings, listen: Vec::new(), route: self.route };
        let drawn = source.layers().read().draw(|settings| Plan::draw(settings, &Kinds::built_in(), None));
        let plan = match drawn {
            Ok((plan, _)) => plan,
            Err(problems) => return tell(&problems),
        };
        let request = TestRequest { method: self.method, url: self.url, headers: self.header, from: self.from };
        match rehearsal::rehearse(&plan, &request) {
            Ok(outcome) => {
                print!("{outcome}");
                Exit::Success
            }
            Err(what) => {
                eprintln!("aqueduct: {what}");
                Exit::Wrong
            }
        }
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a field is NAME: VALUE, such as \"Host: shop.example\"")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().into()))
}
