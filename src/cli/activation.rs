//! Sockets that a service manager has opened for us before we were started: sd_listen_fds(3).

use std::{env, io, process};

use listenfd::ListenFd;

use crate::{
    edge::{Passed, Purpose},
    plan::ListenAddress,
};

/// What another process is not to find in its environment: the sockets are handed to it otherwise.
pub const FOR_US_ALONE: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];
/// Nobody passes so many.
const MOST: usize = 1024;

/// Those that were passed to this process. To be asked once, and before anything else is opened or another thread is
/// started: they are known by their number, and the environment does not name them any more then.
///
/// # Errors
/// One of them is not what a server listens on.
pub fn sockets() -> io::Result<Vec<Passed>> {
    let number = |name| env::var(name).ok().and_then(|number| number.parse::<usize>().ok());
    // Without a process they could be anybody's.
    if number("LISTEN_PID") != usize::try_from(process::id()).ok() || number("LISTEN_FDS").is_none_or(|fds| fds > MOST)
    {
        return Ok(Vec::new());
    }
    let mut passed = ListenFd::from_env();
    (0..passed.len()).map(|number| socket(&mut passed, number)).collect()
}

fn socket(passed: &mut ListenFd, number: usize) -> io::Result<Passed> {
    let of_another_kind = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    // Its file, if it has one, is up to whoever has opened it.
    let passed_by = |asked, socket| Passed { purpose: Purpose::Clients, asked, socket, has_file: false };
    if let Ok(Some(listener)) = passed.take_tcp_listener(number) {
        return Ok(passed_by(ListenAddress::Tcp(listener.local_addr()?), listener.into()));
    }
    let Ok(Some(listener)) = passed.take_unix_listener(number) else {
        return Err(of_another_kind(format!("descriptor {} is no stream socket of TCP or unix", 3 + number)));
    };
    let address = listener.local_addr()?;
    match address.as_pathname() {
        Some(path) => Ok(passed_by(ListenAddress::Unix(path.to_owned()), listener.into())),
        None => Err(of_another_kind(format!("descriptor {} is a unix socket without a path", 3 + number))),
    }
}
