//! What the service manager that started us is told, where it asks for that: systemd, by sd_notify(3).

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Display,
    io,
    os::unix::{
        ffi::OsStrExt,
        net::{SocketAddr, UnixDatagram},
    },
    process,
    sync::Arc,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::interval;

/// Whoever wants to know how we are; or nobody, who is told nothing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceManager(Option<Arc<Listener>>);

#[derive(Debug)]
struct Listener {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long we may be silent before we are taken for dead.
    silence: Option<Duration>,
}

/// What another process is not to find in its environment: it was meant for this one.
pub const FOR_US_ALONE: [&str; 1] = ["WATCHDOG_PID"];

/// How long a service manager may be busy with what others tell it.
const PATIENCE: Duration = Duration::from_secs(1);

impl ServiceManager {
    /// The one that the environment names.
    ///
    /// # Errors
    /// It cannot be spoken with.
    pub fn find() -> io::Result<Self> {
        let silence = silence(env::var("WATCHDOG_USEC").ok(), env::var("WATCHDOG_PID").ok());
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Self::at(name, silence),
            _ => Ok(Self(None)),
        }
    }

    fn at(name: OsString, silence: Option<Duration>) -> io::Result<Self> {
        let (socket, address) = (UnixDatagram::unbound()?, address(&name)?);
        // What is not taken at once may be the one word that matters; but nobody waits for long.
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(Some(Arc::new(Listener { socket, address, silence }))))
    }

    /// Clients are served: for the first time, or with other settings.
    pub fn ready(&self, how: impl Display) {
        self.tell(format_args!("READY=1\nSTATUS={}", line(how)));
    }

    /// Settings are read; [`ServiceManager::ready`] is to follow, whatever becomes of it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
        self.tell(format_args!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// Nobody else is served.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// Another process is the service from now on.
    pub fn replaced_by(&self, process: u32) {
        self.tell(format_args!("MAINPID={process}"));
    }

    /// Tells again and again that this thread is alive, if somebody wants to know.
    pub(super) async fn keep_alive(self) {
        let Some(silence) = self.0.as_ref().and_then(|listener| listener.silence) else { return };
        let mut ticks = interval(silence / 2);
        loop {
            ticks.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, what: impl Display) {
        let Some(listener) = &self.0 else { return };
        if let Err(error) = listener.socket.send_to_addr(what.to_string().as_bytes(), &listener.address) {
            log::warn!("the service manager cannot be told how this process is: {error}");
        }
    }
}

/// A path, or a name behind an `@` that is in no folder.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => {
            let what = format!("NOTIFY_SOCKET is `{}`, which is no path", name.to_string_lossy());
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }
}

/// Half of it is how often we are heard of. `process` says whom it is asked of; whoever takes our place is not told.
fn silence(microseconds: Option<String>, process: Option<String>) -> Option<Duration> {
    let is_ours = process.is_none_or(|process| process.parse() == Ok(process::id()));
    let silence = Duration::from_micros(microseconds?.parse().ok()?);
    (is_ours && !silence.is_zero()).then_some(silence)
}

/// Another line would be another assignment.
fn line(what: impl Display) -> String {
    what.to_string().replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_name_is_a_path_or_begins_with_an_at() {
        assert!(address(OsStr::new("/run/notify")).is_ok_and(|address| address.as_pathname().is_some()));
        assert!(address(&OsString::from_vec(b"/run/\xff".to_vec())).is_ok());
        assert!(address(OsStr::new("run/notify")).is_err());
        assert!(address(OsStr::new("vsock:2:1234")).is_err());
        assert_eq!(address(OsStr::new("@a")).is_ok(), cfg!(target_os = "linux"));
    }

    #[test]
    fn we_are_heard_of_if_that_is_asked_of_us() {
        let own = process::id().to_string();
        for (microseconds, process, expected) in [
            (Some("3000000"), None, Some(Duration::from_secs(3))),
            (Some("3000000"), Some(own.as_str()), Some(Duration::from_secs(3))),
            (Some("3000000"), Some("1"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, None, None),
        ] {
            let found = silence(microseconds.map(String::from), process.map(String::from));
            assert_eq!(found, expected, "{microseconds:?} {process:?}");
        }
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(line("a\nREADY=0"), "a READY=0");
    }
}
