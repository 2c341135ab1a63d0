//! `aqueduct run`

use std::{collections::HashMap, io};

use actix_web::App;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, Source, fail, tell};
use crate::{
    actors::{self, Actors, Ask, FileWatch, Read, Reloader},
    admin::{self, Status},
    edge::{EdgeServer, Outcome, Running, cannot_listen, tls::Certificates},
    plan::{ListenAddress, Listener},
    proxy::Proxy,
    settings::Settings,
};

pub fn run(source: Source) -> Exit {
    let layers = source.layers();
    let settings = FileWatch::before_reading(layers.files());
    let mut certificates = FileWatch::before_reading(Vec::new());
    let drawn = layers.clone().read().draw(|settings| {
        certificates = actors::certificates(&settings);
        Proxy::from_settings(settings)
    });
    match drawn {
        Ok((proxy, origins)) => {
            log_by(&proxy.plan().settings.log.level);
            actix_rt::System::new().block_on(serve(&proxy, Read { layers, origins, settings, certificates }))
        }
        Err(problems) => tell(&problems),
    }
}

/// Puts the application log on stderr.
pub fn log_by(level: &str) {
    let logger = env_logger::Builder::new().parse_filters(level).try_init();
    logger.expect("nothing logs before the command line is read");
}

async fn serve(proxy: &Proxy, read: Read) -> Exit {
    // Before anybody can know of this process: without a handler the signal would end it.
    let hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return fail(format_args!("SIGHUP cannot be handled: {error}")),
    };
    let actors = Actors::start();
    let plan = proxy.plan();
    let running = match start(proxy, &plan.settings, &plan.listeners) {
        Ok((running, addresses)) => {
            for address in addresses {
                log::info!("listening on {address}");
            }
            running
        }
        Err(error) => return fail(error),
    };
    plan.warn();
    plan.warn_of_expiry();
    if plan.routes.entries().is_empty() {
        log::warn!("there is no route: every request gets a 404; try --route /=http://localhost:8000");
    }
    let reloader = Reloader::new(read, proxy, running.handle());
    let admin = match &plan.admin {
        Some(address) => match answer_operators(address, &Status::of(proxy, running.handle(), reloader.standing())) {
            Ok(admin) => Some(admin),
            Err(error) => return fail(error),
        },
        None => None,
    };
    let reloading = actix_rt::spawn(reload_on_signal(hangups, actors.reload(reloader)));
    let exit = until_stopped(proxy, running).await;
    reloading.abort();
    // Operators may ask to the end how the end is going.
    drop(admin);
    exit
}

/// As long as what is returned lives.
fn answer_operators(address: &ListenAddress, status: &Status) -> io::Result<Aborting> {
    let (running, bound) = admin::serve(address, status).map_err(|error| cannot_listen(address, &error))?;
    log::info!("telling operators at {bound}");
    let serving = actix_rt::spawn(async move {
        if let Err(error) = running.await {
            log::error!("operators are not answered any more: {error}");
        }
    });
    Ok(Aborting(serving))
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

/// Binds every address and begins to accept.
///
/// # Errors
/// Which address could not be listened on, and why.
pub fn start(proxy: &Proxy, settings: &Settings, listeners: &[Listener]) -> io::Result<(Running, Vec<ListenAddress>)> {
    let handler = proxy.clone();
    let mut server = EdgeServer::new(move || App::new().default_service(handler.clone()))
        .settings(&actors::server_settings(settings))
        .server_name(&settings.server_name)
        .access_log_of(proxy);
    let mut certificates = HashMap::new();
    for Listener { address, tls, h2, proxy_protocol } in listeners {
        server = server.http2(*h2).proxy_protocol(proxy_protocol.as_ref());
        let bound = match (address, tls) {
            (ListenAddress::Tcp(address), Some(tls)) => {
                server.bind_tls(*address, &Certificates::once(&mut certificates, tls)?)
            }
            _ => server.bind(address),
        };
        server = bound.map_err(|error| cannot_listen(address, &error))?;
    }
    let addresses = server.addresses();
    Ok((server.run(), addresses))
}

/// Serves until a signal says otherwise; the exit code tells how it ended.
pub async fn until_stopped(proxy: &Proxy, running: Running) -> Exit {
    let reopening = actix_rt::spawn(reopen_on_signal(proxy.clone()));
    let outcome = running.await;
    reopening.abort();
    if let Some(log) = proxy.access_log() {
        log.flush();
    }
    match outcome {
        Ok(Outcome::Drained) => Exit::Success,
        Ok(Outcome::Forced) => Exit::Forced,
        Ok(Outcome::GraceExpired) => Exit::GraceExpired,
        Err(error) => fail(error),
    }
}

/// A log that was moved away begins anew at its old name.
async fn reopen_on_signal(proxy: Proxy) {
    let mut asked = match signal(SignalKind::user_defined1()) {
        Ok(asked) => asked,
        Err(error) => return log::error!("SIGUSR1 will not reopen the access log: {error}"),
    };
    while asked.recv().await.is_some() {
        if let Some(log) = proxy.access_log() {
            log.reopen();
            log::info!("access log reopened");
        }
    }
}
