//! The proxies that are compared, and how each is set up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cases::{Case, Kind};
use crate::generator::Endpoints;
use crate::running::Running;
use crate::settings::{
    Tells, Variant, Wanted, aqueduct, caddy, haproxy, nginx, nginx_with_lua, pingora, traffic_server, varnish,
};
use crate::tls::Certificate;
use crate::{refusals, socket};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    Nginx,
    /// nginx that tells the endpoint what Aqueduct tells it.
    NginxSame,
    /// nginx that checks tokens.
    NginxLua,
    Haproxy,
    Caddy,
    /// A proxy made with it: benches/load/pingora.
    Pingora,
    Relay,
    /// The same on io_uring: benches/io_uring.
    RelayUring,
    /// Known for what it stores, as is the next.
    Varnish,
    TrafficServer,
    Aqueduct,
    /// Another build of it, to see what a change brings.
    AqueductBefore,
    /// Aqueduct that counts its requests, for whoever asks for metrics.
    AqueductCounted,
    /// Aqueduct with two workers that share a socket.
    AqueductShared,
    /// Aqueduct with two workers that have one each.
    AqueductReusePort,
}

/// What a peer needs to know to start.
pub struct Place {
    /// A directory of this comparison's own, for settings and logs.
    pub directory: PathBuf,
    pub core: usize,
    /// For what else has to run.
    pub load_core: usize,
    pub endpoints: Endpoints,
    pub certificate: Certificate,
    pub programs: Programs,
}

/// Those that are not where the system keeps its programs.
#[derive(Clone, Default)]
pub struct Programs {
    pub aqueduct: Option<PathBuf>,
    pub before: Option<PathBuf>,
    pub caddy: Option<PathBuf>,
    pub pingora: Option<PathBuf>,
    pub relay_uring: Option<PathBuf>,
}

impl Peer {
    /// Who is compared unless others are named.
    pub const USUAL: [Self; 9] = [
        Self::Nginx,
        Self::NginxSame,
        Self::NginxLua,
        Self::Haproxy,
        Self::Caddy,
        Self::Relay,
        Self::Varnish,
        Self::TrafficServer,
        Self::Aqueduct,
    ];
    /// Those of others that are proxies, and set up as their manuals advise.
    pub const RIVALS: [Self; 6] =
        [Self::Nginx, Self::Haproxy, Self::Caddy, Self::Pingora, Self::Varnish, Self::TrafficServer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxSame => "nginx-same",
            Self::NginxLua => "nginx-lua",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Pingora => "pingora",
            Self::Relay => "relay",
            Self::RelayUring => "relay-uring",
            Self::Varnish => "varnish",
            Self::TrafficServer => "traffic-server",
            Self::Aqueduct => "aqueduct",
            Self::AqueductBefore => "aqueduct-before",
            Self::AqueductCounted => "aqueduct-counted",
            Self::AqueductShared => "aqueduct-shared",
            Self::AqueductReusePort => "aqueduct-reuse-port",
        }
    }

    /// As it calls itself in a table or a chart.
    pub fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxSame => "nginx, same fields",
            Self::NginxLua => "nginx with Lua",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
            Self::Pingora => "Pingora",
            Self::Relay => "TCP relay",
            Self::RelayUring => "TCP relay, io_uring",
            Self::Varnish => "Varnish",
            Self::TrafficServer => "Traffic Server",
            Self::Aqueduct => "Aqueduct",
            Self::AqueductBefore => "Aqueduct, before",
            Self::AqueductCounted => "Aqueduct, counted",
            Self::AqueductShared => "Aqueduct, shared",
            Self::AqueductReusePort => "Aqueduct, reuse_port",
        }
    }

    /// The version it prints, or `None` if there is none to print.
    pub fn version(self, programs: &Programs) -> Option<String> {
        let mut command = match self {
            Self::Nginx => command_with("nginx", &["-v"]),
            Self::Haproxy => command_with("haproxy", &["-v"]),
            Self::Caddy => command_with(programs.caddy.as_ref()?, &["version"]),
            Self::Pingora => command_with(programs.pingora.as_ref()?, &["--version"]),
            Self::Varnish => command_with("varnishd", &["-V"]),
            Self::TrafficServer => command_with("traffic_server", &["-V"]),
            Self::Aqueduct => command_with(programs.aqueduct.as_ref()?, &["--version"]),
            Self::NginxSame
            | Self::NginxLua
            | Self::Relay
            | Self::RelayUring
            | Self::AqueductBefore
            | Self::AqueductCounted
            | Self::AqueductShared
            | Self::AqueductReusePort => return None,
        };
        let output = command.output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let version = said.split_ascii_whitespace().find_map(|word| {
            let number = word.rsplit('/').next()?.trim_start_matches("(varnish-").trim_start_matches('v');
            let number = Some(number).filter(|text| text.contains('.'))?;
            number.starts_with(|first: char| first.is_ascii_digit()).then(|| number.to_owned())
        })?;
        Some(format!("{} {version}", self.title()))
    }

    /// nginx knows nothing of them unless it is paid for, or told by Lua what they are.
    fn checks_tokens(self) -> bool {
        !matches!(self, Self::Nginx | Self::NginxSame)
    }

    /// Starts it on its core and waits until it listens.
    pub fn start(self, place: &Place, case: &Case) -> io::Result<Running> {
        self.start_by(place, case, |command| command)
    }

    /// The same, by a command that is made of its own.
    pub fn start_by(self, place: &Place, case: &Case, how: impl FnOnce(Command) -> Command) -> io::Result<Running> {
        let address = socket::loopback(socket::free_port()?);
        let directory = place.directory.join(self.name());
        fs::create_dir_all(&directory)?;
        let redis = if case.kind == Kind::InRedis { Some(redis(place)?) } else { None };
        let listens = (address, redis.as_ref().map(|redis| redis.address));
        let command = self.command(listens, place, case, &directory)?;
        let running = Running::start(how(command), address, place.core, &directory)?.with(redis);
        if case.is_guarded() && self.checks_tokens() {
            refusals::check(address)?;
        }
        Ok(running)
    }

    /// `listens`: where it is to, and where a Redis does.
    fn command(
        self,
        (listen, redis): (SocketAddr, Option<SocketAddr>),
        place: &Place,
        case: &Case,
        directory: &Path,
    ) -> io::Result<Command> {
        let Place { endpoints, certificate, programs, .. } = place;
        let endpoint = endpoints.of(case);
        let wanted = Wanted { case, listen, endpoint, redis, directory, certificate };
        let settings = directory.join("settings");
        match self {
            Self::Nginx | Self::NginxSame | Self::NginxLua => {
                let text = match self {
                    Self::NginxLua => nginx_with_lua(&wanted),
                    Self::NginxSame => nginx(&wanted, Tells::AsAqueduct),
                    _ => nginx(&wanted, Tells::ForwardedFor),
                };
                fs::write(&settings, text)?;
                let mut command = Command::new("nginx");
                command.arg("-p").arg(directory).arg("-c").arg(&settings);
                // The built-in error log would be written before the settings are read.
                command.arg("-e").arg(directory.join("error.log"));
                Ok(command)
            }
            Self::Haproxy => {
                fs::write(&settings, haproxy(&wanted))?;
                let mut command = command_with("haproxy", &["-db", "-f"]);
                command.arg(&settings);
                Ok(command)
            }
            Self::Caddy => {
                fs::write(&settings, caddy(&wanted))?;
                let mut command = command_with(installed(&programs.caddy)?, &["run", "--adapter", "caddyfile"]);
                command.arg("--config").arg(&settings);
                command.env("GOMAXPROCS", "1").env("HOME", directory);
                command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
                Ok(command)
            }
            Self::Pingora => Ok(pingora(&wanted, installed(&programs.pingora)?)),
            Self::Varnish => Ok(varnish(&wanted)),
            Self::TrafficServer => traffic_server(&wanted),
            Self::Relay => {
                let (listen, to) = (listen.to_string(), endpoint.to_string());
                let words = ["relay", "--listen", &listen, "--to", &to];
                Ok(command_with(std::env::current_exe()?, &words))
            }
            Self::RelayUring => {
                let words = [listen.to_string(), endpoint.to_string()];
                Ok(command_with(installed(&programs.relay_uring)?, &[&words[0], &words[1]]))
            }
            Self::Aqueduct
            | Self::AqueductBefore
            | Self::AqueductCounted
            | Self::AqueductShared
            | Self::AqueductReusePort => {
                let variant = match self {
                    Self::AqueductCounted => Variant::Counted,
                    Self::AqueductShared => Variant::TwoAtOneSocket,
                    Self::AqueductReusePort => Variant::TwoAtOneEach,
                    _ => Variant::Usual,
                };
                // A single file is known by its extension.
                let settings = settings.with_extension("toml");
                fs::write(&settings, aqueduct(&wanted, variant))?;
                let program = if self == Self::AqueductBefore { &programs.before } else { &programs.aqueduct };
                let mut command = command_with(installed(program)?, &["run", "--settings"]);
                command.arg(&settings);
                for (name, _) in std::env::vars_os() {
                    if name.to_string_lossy().starts_with("AQUEDUCT__") {
                        command.env_remove(name);
                    }
                }
                Ok(command)
            }
        }
    }
}

/// One that keeps nothing when it ends, on the core of the load.
fn redis(place: &Place) -> io::Result<Running> {
    let address = socket::loopback(socket::free_port()?);
    let directory = place.directory.join("redis");
    fs::create_dir_all(&directory)?;
    let mut command = command_with("redis-server", &["--save", "", "--appendonly", "no"]);
    command.arg("--bind").arg(address.ip().to_string()).arg("--port").arg(address.port().to_string());
    Running::start(command, address, place.load_core, &directory)
}

fn installed(program: &Option<PathBuf>) -> io::Result<&Path> {
    program.as_deref().ok_or_else(|| io::Error::other("its program is not here"))
}

fn command_with(program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}
