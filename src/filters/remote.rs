//! Connections to a Redis: by TCP, by a unix socket, or by TLS, where it has to prove who it is.

use std::{io, time::Duration};

use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisError, aio::MultiplexedConnection};
use tokio::{net::TcpStream, task::spawn_local, time::timeout};

use crate::{filters::errand, settings::store::RedisSettings};

/// Begins the URL of one that speaks TLS. The crate knows it only with a TLS of its own.
const SECURED: &str = "rediss://";

/// Where it is, and who we are to it.
struct Place {
    info: ConnectionInfo,
    is_secured: bool,
}

/// Whether it can be had.
///
/// # Errors
/// The key it is wrong at (`url` or `ca`), and what is wrong.
pub fn check(settings: &RedisSettings) -> Result<(), (&'static str, String)> {
    let no_url = ("url", "not a URL of a Redis that can be had here".to_owned());
    let place = Place::read(settings.url.expose()).ok_or(no_url)?;
    match place.secured() {
        Some((host, _)) => errand::profile(host, settings.ca.as_deref()).map(drop),
        None if settings.ca.is_some() => Err(("ca", "nobody has to prove anything where no TLS is spoken".into())),
        None => Ok(()),
    }
}

/// Connects, within twice the time that an answer may take.
pub async fn connect(settings: &RedisSettings) -> Result<MultiplexedConnection, RedisError> {
    let limit = settings.timeout.0.unwrap_or(Duration::from_secs(1)) * 2;
    timeout(limit, reach(settings)).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

async fn reach(settings: &RedisSettings) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(settings.timeout.0)
        .set_response_timeout(settings.timeout.0);
    let place = Place::read(settings.url.expose()).ok_or_else(|| io::Error::other("not a URL of a Redis"))?;
    let Some((host, port)) = place.secured() else {
        return Client::open(place.info)?.get_multiplexed_async_connection_with_config(&config).await;
    };
    let profile = errand::profile(host, settings.ca.as_deref()).map_err(|(_, what)| io::Error::other(what))?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let stream = profile.secure(stream).await?;
    let (connection, driving) =
        MultiplexedConnection::new_with_config(place.info.redis_settings(), stream, config).await?;
    // It ends with the connection.
    spawn_local(driving);
    Ok(connection)
}

impl Place {
    fn read(url: &str) -> Option<Self> {
        let secured = url.strip_prefix(SECURED);
        // `#insecure` would ask for no proof, which cannot be had here.
        if secured.is_some_and(|rest| rest.contains('#')) {
            return None;
        }
        let client = match secured {
            Some(rest) => Client::open(format!("redis://{rest}")),
            None => Client::open(url),
        };
        Some(Self { info: client.ok()?.get_connection_info().clone(), is_secured: secured.is_some() })
    }

    /// Where it speaks TLS.
    fn secured(&self) -> Option<(&str, u16)> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) if self.is_secured => Some((host, *port)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Secret, Size, Time};

    fn told(url: &str, ca: Option<&str>) -> Option<&'static str> {
        let settings = RedisSettings {
            url: Secret::new(url),
            ca: ca.map(Into::into),
            timeout: Time::secs(1),
            prefix: String::new(),
            max_object: Size::kib(1),
        };
        check(&settings).err().map(|(key, _)| key)
    }

    #[test]
    fn a_store_is_where_its_url_says_and_proves_it_only_by_tls() {
        for (url, ca, expected) in [
            ("redis://127.0.0.1:6379/1", None, None),
            ("redis+unix:/run/redis.sock", None, None),
            ("rediss://me:hunter2@redis.example:6380/1", None, None),
            ("rediss://[::1]", None, None),
            ("rediss://redis.example/#insecure", None, Some("url")),
            ("rediss://a b", None, Some("url")),
            ("rediss://", None, Some("url")),
            ("http://127.0.0.1", None, Some("url")),
            ("redis://127.0.0.1", Some("no/such.pem"), Some("ca")),
            ("redis+unix:/run/redis.sock", Some("no/such.pem"), Some("ca")),
            ("rediss://redis.example", Some("no/such.pem"), Some("ca")),
        ] {
            assert_eq!(told(url, ca), expected, "{url} {ca:?}");
        }
    }
}
