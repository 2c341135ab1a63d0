//! `aqueduct run`

use std::{
    collections::HashMap,
    io,
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Exit, Source,
    application_log::log_by,
    beginning::Beginning,
    fail,
    successor::{Given, Place},
    tell,
};
use crate::{
    actors::{self, Actors, Ask, FileWatch, Read, Reloader},
    admin::{self, Status},
    edge::{EdgeServer, Handle, Inherited, Outcome, Running, cannot_listen, tls::Certificates},
    kinds::Kinds,
    plan::{ListenAddress, Listener},
    proxy::Proxy,
    settings::Settings,
};

pub fn run(source: Source) -> Exit {
    use_small_pages();
    let beginning = match Beginning::find() {
        Ok(beginning) => beginning,
        Err(error) => return fail(error),
    };
    let layers = source.layers();
    let settings = FileWatch::before_reading(layers.files());
    let mut named = FileWatch::before_reading(Vec::new());
    let read = || {
        layers.clone().read().draw(|settings| {
            named = actors::named_files(&settings, &Kinds::built_in());
            Proxy::from_settings(settings)
        })
    };
    match on_a_thread_that_ends(read) {
        Ok((proxy, origins)) => {
            if let Err(error) = log_by(&proxy.plan().settings.log.level) {
                return fail(error);
            }
            open_many_files();
            let read = Read { layers, origins, settings, named };
            actix_rt::System::new().block_on(serve(&proxy, read, beginning))
        }
        Err(problems) => tell(&problems),
    }
}

/// Each connection is a file, and most systems let a process open a thousand unless it asks for as many as it may.
fn open_many_files() {
    let Rlimit { current: Some(files), maximum } = getrlimit(Resource::Nofile) else { return };
    if maximum == Some(files) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        log::warn!("this process may open {files} files, connections among them, and no more: {error}");
    }
}

/// Buffers have more room than is used of them as a rule, and of a huge page, which the allocator asks for, all is taken
/// with its first byte. It costs no time that can be measured.
fn use_small_pages() {
    // Refused, it serves as well, with more memory.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// With a thread the allocator gives back what it needed only for the time being, and what others free of it later: a hundred
/// thousand routes are read with as much memory again as they take.
fn on_a_thread_that_ends<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

async fn serve(proxy: &Proxy, read: Read, mut beginning: Beginning) -> Exit {
    // Before anybody can know of this process: without a handler a signal would end it.
    let heard = [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()].map(signal);
    let [Ok(hangups), Ok(reopenings), Ok(successions)] = heard else {
        return fail("signals cannot be handled");
    };
    let reopening = actix_rt::spawn(reopen_on_signal(reopenings, proxy.clone()));
    let plan = proxy.plan();
    // Before there are requests, which wait for what is found first.
    let actors = Actors::start();
    actors.discover(proxy);
    actors.do_chores(proxy);
    // All that can fail is to fail before anybody is served.
    let bound = plan.admin.as_ref().map(|address| bind_for_operators(address, &beginning.inherited)).transpose();
    let (admin, mut running) = match bound.and_then(|admin| Ok((admin, listen(proxy, &beginning.inherited)?))) {
        Ok(listening) => listening,
        Err(error) => return fail(error),
    };
    plan.warn();
    plan.warn_of_expiry();
    if plan.routes.entries().is_empty() {
        log::warn!("there is no route: every request gets a 404; try --route /=http://localhost:8000");
    }
    // After a reload nobody is to keep it.
    drop(plan);
    let server = running.handle();
    let reloader = Reloader::new(read, proxy, server.clone(), &beginning.manager);
    let standing = reloader.standing();
    let admin = admin.map(|admin| answer_operators(admin, &Status::of(proxy, server.clone(), &reloader)));
    let begun = async {
        server.accepts().await;
        beginning.is_over().await
    };
    tokio::select! {
        biased;
        ended = &mut running => return exit_of(ended),
        begun = begun => match begun {
            Ok(()) => beginning.manager.ready(standing.now()),
            Err(error) => return fail(format_args!("the process before this one cannot be replaced: {error}")),
        }
    }
    let Beginning { program, manager, .. } = beginning;
    actors.keep_alive(&manager);
    actors.check_health(proxy);
    let reloading = actix_rt::spawn(reload_on_signal(hangups, actors.reload(reloader)));
    let admin_handle = admin.as_ref().map(|(handle, _)| handle.clone());
    let place = Place { program, proxy: proxy.clone(), manager: manager.clone(), server, admin: admin_handle };
    let giving = actix_rt::spawn(async move {
        match place.give_on_signal(successions).await {
            // Settings and certificates are read by whoever has our place.
            Given::Away => None,
            Given::ToNobody => {
                manager.stopping();
                Some(actors)
            }
        }
    });
    let exit = until_stopped(proxy, running).await;
    if !matches!(exit, Exit::Forced) {
        finish_stores(proxy).await;
    }
    reloading.abort();
    reopening.abort();
    let actors = giving.await;
    // Operators may ask to the end how the end is going.
    drop((admin, actors));
    exit
}

fn bind_for_operators(address: &ListenAddress, inherited: &Inherited) -> io::Result<admin::Bound> {
    admin::bind(address, inherited).map_err(|error| cannot_listen(address, &error))
}

fn listen(proxy: &Proxy, inherited: &Inherited) -> io::Result<Running> {
    let plan = proxy.plan();
    let (running, addresses) = start(proxy, &plan.settings, &plan.listeners, inherited)?;
    for address in addresses {
        log::info!("listening on {address}");
    }
    Ok(running)
}

/// As long as what is returned lives.
fn answer_operators(bound: admin::Bound, status: &Status) -> (Handle, Aborting) {
    let (running, address) = bound.serve(status);
    log::info!("telling operators at {address}");
    let handle = running.handle();
    let serving = actix_rt::spawn(async move {
        if let Err(error) = running.await {
            log::error!("operators are not answered any more: {error}");
        }
    });
    (handle, Aborting(serving))
}

/// A task that ends when this is dropped.
struct Aborting(actix_rt::task::JoinHandle<()>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn reload_on_signal(mut hangups: Signal, ask: Ask) {
    while hangups.recv().await.is_some() {
        ask.now();
    }
}

/// Binds every address that nobody has opened for us and begins to accept.
///
/// # Errors
/// Which address could not be listened on, and why.
pub fn start(
    proxy: &Proxy,
    settings: &Settings,
    listeners: &[Listener],
    inherited: &Inherited,
) -> io::Result<(Running, Vec<ListenAddress>)> {
    let mut server = EdgeServer::new(())
        .settings(&actors::server_settings(settings))
        .server_name(&settings.server_name)
        .access_log_of(proxy)
        .inherits(inherited);
    let mut certificates = HashMap::new();
    for Listener { address, tls, h2, max_connections, timeouts, mode, proxy_protocol } in listeners {
        server = server.http2(*h2).max_connections(*max_connections).timeouts(timeouts.as_ref());
        server = server.socket_mode(*mode).proxy_protocol(proxy_protocol.as_ref());
        let bound = match (address, tls) {
            (ListenAddress::Tcp(address), Some(tls)) => {
                server.bind_tls(*address, &Certificates::once(&mut certificates, tls)?)
            }
            _ => server.bind(address),
        };
        server = bound.map_err(|error| cannot_listen(address, &error))?;
    }
    let addresses = server.addresses();
    Ok((server.run_proxy(proxy), addresses))
}

/// What waits to be put below memory is put there, if that does not take long.
async fn finish_stores(proxy: &Proxy) {
    const LONGEST: Duration = Duration::from_secs(2);
    let (shelves, end) = (proxy.plan().shelves(), Instant::now() + LONGEST);
    let finish = move || {
        let all = shelves.iter().flat_map(|shelf| shelf.lower());
        all.for_each(|lower| lower.flush(end.saturating_duration_since(Instant::now())));
    };
    if let Err(error) = actix_rt::task::spawn_blocking(finish).await {
        log::warn!("what was to be kept is not: {error}");
    }
}

/// Serves until a signal says otherwise; the exit code tells how it ended.
pub async fn until_stopped(proxy: &Proxy, running: Running) -> Exit {
    let outcome = running.await;
    if let Some(log) = proxy.access_log() {
        log.flush();
    }
    exit_of(outcome)
}

fn exit_of(outcome: io::Result<Outcome>) -> Exit {
    match outcome {
        Ok(Outcome::Drained) => Exit::Success,
        Ok(Outcome::Forced) => Exit::Forced,
        Ok(Outcome::GraceExpired) => Exit::GraceExpired,
        Err(error) => fail(error),
    }
}

/// A log that was moved away begins anew at its old name.
async fn reopen_on_signal(mut asked: Signal, proxy: Proxy) {
    while asked.recv().await.is_some() {
        if let Some(log) = proxy.access_log() {
            log.reopen();
            log::info!("access log reopened");
        }
    }
}
