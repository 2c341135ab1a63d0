//! How many instructions an exchange takes in Aqueduct. It runs under valgrind, which counts the same on a busy machine as on a
//! quiet one, and nobody has to wait for the other: one client, one request after the other.

mod callgrind;
mod recorded;
mod tools;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use clap::Args;
use rustls::pki_types::CertificateDer;

use crate::cases::Case;
use crate::cli::case_named;
use crate::cores::{self, Cores};
use crate::crowd::Crowd;
use crate::generator::Generator;
use crate::interrupt::Interrupt;
use crate::peers::{Peer, Place, Programs};
use crate::scratch::Scratch;
use crate::tls::Certificate;
use crate::wire::Target;
use callgrind::Callgrind;
use recorded::Recorded;

/// Cases of the comparison that are counted, each with one client.
const COUNTED: [&str; 8] = ["128b", "10k", "stored-1k", "bundle", "fresh", "websocket", "tls-128b", "h2c"];

/// What one run takes more than the other is what the exchanges between take, without the start and the end.
const FEW: u64 = 500;
const MANY: u64 = 4500;

#[derive(Args)]
pub struct Count {
    /// Only these kinds.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = case_named)]
    only: Vec<Case>,
    /// Keep what is found, instead of holding it against what was.
    #[arg(long)]
    record: bool,
    /// The program.
    #[arg(long, value_name = "PATH")]
    aqueduct: PathBuf,
    /// What is recorded.
    #[arg(long, value_name = "PATH")]
    recorded: PathBuf,
    /// Where valgrind's own accounts are left, one for each kind.
    #[arg(long, value_name = "PATH")]
    accounts: PathBuf,
}

impl Count {
    pub fn count(self) -> io::Result<()> {
        let recorded = match Recorded::load(&self.recorded) {
            Err(_) if self.record => Recorded::default(),
            recorded => recorded?,
        };
        let found = Recorded { made_with: tools::here()?, instructions: self.of_all()? };
        print!("{}", recorded::table(&recorded, &found));
        match self.record {
            true => recorded.with(found).save(&self.recorded),
            false => recorded.hold(&found),
        }
    }

    fn of_all(&self) -> io::Result<BTreeMap<String, u64>> {
        let cores = Cores::choose()?;
        cores::pin(cores.load)?;
        let mut generator = Generator::start_sleepy(Interrupt::listen()?)?;
        let scratch = Scratch::create()?;
        let certificate = Certificate::at(scratch.path());
        let shown = certificate.write()?;
        let place = Place {
            directory: scratch.path().to_owned(),
            core: cores.proxy,
            load_core: cores.load,
            endpoints: generator.endpoints(),
            certificate,
            programs: Programs { aqueduct: Some(self.aqueduct.canonicalize()?), ..Programs::default() },
        };
        let callgrind = Callgrind::keeping_accounts_in(&self.accounts)?;
        let kinds = if self.only.is_empty() { kinds() } else { self.only.clone() };
        let mut found = BTreeMap::new();
        for kind in kinds {
            let mut instructions = |exchanges| {
                let outcome = of_so_many(exchanges, &kind, &place, &shown, &callgrind, &mut generator);
                outcome.map_err(|error| io::Error::other(format!("{}: {error}", kind.name)))
            };
            let (few, many) = (instructions(FEW)?, instructions(MANY)?);
            found.insert(kind.name.to_owned(), many.saturating_sub(few) / (MANY - FEW));
        }
        Ok(found)
    }
}

/// What a process takes for them, from its start to its end.
fn of_so_many(
    exchanges: u64,
    kind: &Case,
    place: &Place,
    shown: &CertificateDer<'static>,
    callgrind: &Callgrind,
    generator: &mut Generator,
) -> io::Result<u64> {
    let account = callgrind.account_of(kind);
    let running = Peer::Aqueduct.start_by(place, kind, |command| callgrind.counts(&command, &account))?;
    let target = Target::of(kind, running.address, shown)?;
    let mut client = Crowd::of(kind, 1, kind.download, &target);
    for _ in 0..exchanges {
        if let Some(failure) = generator.once_each(&mut client)?.failure() {
            return Err(io::Error::other(failure));
        }
    }
    drop(client);
    running.end()?;
    callgrind::total(&account)
}

fn kinds() -> Vec<Case> {
    COUNTED.iter().filter_map(|name| Case::named(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_counted_is_a_case() {
        let kinds = kinds();

        assert_eq!(kinds.len(), COUNTED.len());
        assert!(kinds.iter().all(Case::measures_cpu));
    }
}
