//! SIGUSR2: a new process of the program on disk takes our place, or we go on (docs/adr/0010-hand-off.md).

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{self, ExitStatus},
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix,
    time::{sleep, timeout},
};

use super::activation;
use crate::{
    actors::{ServiceManager, service_manager},
    edge::{Handle, Offer, Purpose, hand_off::Giving},
    proxy::Proxy,
};

/// Tells the new process whose place it takes: the number of this one.
pub const PREDECESSOR: &str = "AQUEDUCT_PREDECESSOR";
/// How long workers may take to cease to accept.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a new process may take to end that was told to.
const FAREWELL: Duration = Duration::from_secs(1);

/// How this process was started, and another is.
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// Whoever is to take our place takes it from here.
pub struct Place {
    pub program: Program,
    pub proxy: Proxy,
    pub manager: ServiceManager,
    pub server: Handle,
    pub admin: Option<Handle>,
}

/// What has become of our place.
pub enum Given {
    /// Another process has it.
    Away,
    /// The server ends.
    ToNobody,
}

/// Why nobody has taken our place.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it cannot be started: {0}")]
    Start(#[source] io::Error),
    #[error("it ended, {0}")]
    Ended(ExitStatus),
    #[error("it was not ready within {0:?} (server.handoff_timeout)")]
    Late(Duration),
    #[error("it cannot be spoken with: {0}")]
    Channel(#[source] io::Error),
    #[error("this process was told to stop meanwhile")]
    Stopped,
}

impl Program {
    /// To be asked at the start: later something else may be at the same path, and that is what is wanted then.
    pub fn own() -> Self {
        let mut arguments = env::args_os();
        let called = arguments.next().map(PathBuf::from).unwrap_or_default();
        let (found, running) = (found(&called), env::current_exe().ok());
        let is_running = |path: &PathBuf| fs::canonicalize(path).ok() == running;
        // A link that will lead elsewhere is to be followed anew. What a process is called may be anything, though.
        let path = found.filter(is_running).or(running).unwrap_or(called);
        Self { path, arguments: arguments.collect() }
    }

    fn start(&self, channel: OwnedFd) -> io::Result<Child> {
        let mut command = Command::new(&self.path);
        for variable in activation::FOR_US_ALONE.iter().chain(&service_manager::FOR_US_ALONE) {
            command.env_remove(variable);
        }
        command.args(&self.arguments).env(PREDECESSOR, process::id().to_string()).stdin(channel).spawn()
    }
}

/// Where a shell would have found it.
fn found(called: &Path) -> Option<PathBuf> {
    if called.components().count() > 1 {
        return std::path::absolute(called).ok();
    }
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths).map(|folder| folder.join(called)).find(|path| path.is_file())
}

impl Place {
    /// Gives it to a new process whenever asked to, until one has taken it or the server ends.
    pub async fn give_on_signal(self, mut asked: unix::Signal) -> Given {
        loop {
            tokio::select! {
                biased;
                () = self.server.drains() => return Given::ToNobody,
                Some(()) = asked.recv() => {}
            }
            let attempt = self.give();
            tokio::pin!(attempt);
            let given = loop {
                tokio::select! {
                    given = &mut attempt => break given,
                    Some(()) = asked.recv() => {
                        log::warn!("a process that is to take over is being started already: SIGUSR2 is ignored");
                    }
                }
            };
            match given {
                Ok(()) => return Given::Away,
                Err(why) => log::error!("no process has taken over, this one goes on: {why}"),
            }
        }
    }

    async fn give(&self) -> Result<(), Failure> {
        if process::id() == 1 {
            let why = "the first process of a container takes all others with it when it ends";
            return Err(Failure::Start(io::Error::new(io::ErrorKind::Unsupported, why)));
        }
        let offers = self.offers().map_err(Failure::Start)?;
        let (mut channel, theirs) = Giving::pair().map_err(Failure::Start)?;
        let child = self.program.start(theirs).map_err(Failure::Start)?;
        let id = child.id().unwrap_or_default();
        log::info!("process {id} is to take over: {}", self.program.path.display());
        let limit = self.proxy.plan().settings.server.handoff_timeout.0;
        let ready = tokio::select! {
            biased;
            () = self.server.drains() => Err(Failure::Stopped),
            ready = is_ready(&mut channel, &offers) => ready.map_err(Failure::Channel),
            limit = passed(limit) => Err(Failure::Late(limit)),
        };
        if let Err(failure) = ready {
            return Err(end(child, failure).await);
        }
        // From here on it is the other's: what it was given it accepts at, whether it hears of this or not.
        let taken = join_all(offers.into_iter().map(Offer::taken));
        if timeout(PATIENCE, taken).await.is_err() {
            log::warn!("not every worker has ceased to accept within {PATIENCE:?}; it will, when it can");
        }
        // Before the other one says how it is: only then it is believed.
        self.manager.replaced_by(id);
        if let Err(error) = channel.yours().await {
            log::warn!("process {id} has not heard that it is alone now: {error}");
        }
        log::info!("process {id} has taken over; what is under way here is finished");
        Ok(())
    }

    fn offers(&self) -> io::Result<Vec<Offer>> {
        let servers = [(Some(&self.server), Purpose::Clients), (self.admin.as_ref(), Purpose::Operators)];
        servers.into_iter().filter_map(|(server, purpose)| Some(server?.offer(purpose))).collect()
    }
}

async fn is_ready(channel: &mut Giving, offers: &[Offer]) -> io::Result<()> {
    let sockets: Vec<_> = offers.iter().flat_map(Offer::sockets).collect();
    channel.give(&sockets).await?;
    channel.ready().await
}

async fn passed(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

/// Ends a process that has not taken over, and says why it has not: its channel ends with it, but how it ended is better
/// to know.
async fn end(mut child: Child, failure: Failure) -> Failure {
    if matches!(failure, Failure::Stopped)
        && let Some(id) = child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
        && let Err(error) = kill_process(id, Signal::TERM)
    {
        log::debug!("the process that was to take over cannot be told to end: {error}");
    }
    let failure = match (timeout_unless_late(&failure, &mut child).await, failure) {
        (Some(status), Failure::Channel(_)) => Failure::Ended(status),
        (_, failure) => failure,
    };
    if let Err(error) = child.kill().await {
        log::warn!("the process that was to take over cannot be ended: {error}");
    }
    failure
}

/// How it ended, if it does by itself.
async fn timeout_unless_late(failure: &Failure, child: &mut Child) -> Option<ExitStatus> {
    match failure {
        Failure::Late(_) => None,
        _ => timeout(FAREWELL, child.wait()).await.ok()?.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_started_from_where_a_shell_would_find_it() {
        assert_eq!(found(Path::new("/opt/x/aqueduct")).as_deref(), Some(Path::new("/opt/x/aqueduct")));
        let relative = found(Path::new("./aqueduct")).expect("there is a folder");
        assert!(relative.is_absolute() && relative.ends_with("aqueduct"), "{}", relative.display());
        assert!(found(Path::new("sh")).is_some_and(|path| path.is_absolute()));
        assert_eq!(found(Path::new("no-such-program-anywhere")), None);
    }
}
