//! A directory of certificates: Let's Encrypt's own for tests, with a resolver to whom every name is one address.

use std::{fs, net::Ipv4Addr, process::Stdio};

use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider, pki_types::CertificateDer};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{
    client,
    tls::{Authority, connect},
    wire::patiently,
};

/// Where the directory looks for whoever says that a name is his.
pub const HTTP: u16 = 5002;
pub const TLS: u16 = 5001;
const DIRECTORY: u16 = 14000;
const MANAGEMENT: u16 = 15000;
const RESOLVER: u16 = 8053;

/// What is to run at an address.
pub struct Setup {
    pub address: Ipv4Addr,
    /// How long certificates hold, in seconds.
    pub life: u64,
    /// A name that is never given any.
    pub blocked: &'static str,
    folder: tempfile::TempDir,
    authority: Authority,
}

/// The directory, until it is dropped.
pub struct Pebble {
    _running: [Child; 2],
}

impl Setup {
    pub fn new() -> Self {
        let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
        Self { address: client::loopback(), life: 3600, blocked: "blocked.example", folder, authority }
    }

    /// What settings say of it, and where answers are kept.
    pub fn settings(&self, domains: &str, more: &str) -> String {
        format!(
            "acme = {{ domains = [{domains}], email = \"ops@shop.example\", agree = true, store = \"store\", \
             directory = \"https://{}:{DIRECTORY}/dir\", ca = {:?}{more} }}\n",
            self.address,
            self.authority.path("ca.pem")
        )
    }

    /// Starts it, and waits until it listens.
    pub async fn start(&self) -> Pebble {
        let (address, at) = (self.address, |port: u16| format!("{}:{port}", self.address));
        self.authority.issue("pebble", &[&address.to_string()]);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": at(DIRECTORY),
            "managementListenAddress": at(MANAGEMENT),
            "certificate": self.authority.path("pebble.pem"),
            "privateKey": self.authority.path("pebble.key"),
            "httpPort": HTTP,
            "tlsPort": TLS,
            "ocspResponderURL": "",
            "domainBlocklist": [self.blocked],
            "certificateValidityPeriod": self.life,
        }});
        let file = self.folder.path().join("pebble.json");
        fs::write(&file, config.to_string()).expect("a file");
        let resolver = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", &address.to_string(), "-defaultIPv6", "", "-dns01", &at(RESOLVER)])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", &at(RESOLVER + 2)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("scripts/test installs pebble");
        reached(address, RESOLVER + 2).await;
        let pebble = Command::new("pebble")
            .args(["-config", file.to_str().expect("text"), "-dnsserver", &at(RESOLVER)])
            // It takes no naps, and asks anew each time; some of its numbers it still refuses, as it likes to.
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("scripts/test installs pebble");
        reached(address, MANAGEMENT).await;
        reached(address, DIRECTORY).await;
        Pebble { _running: [resolver, pebble] }
    }

    /// A client that believes whatever this directory has given.
    pub async fn client(&self) -> ClientConfig {
        let management = (self.address, MANAGEMENT).into();
        let mut client = connect(management, &self.address.to_string(), self.authority.client()).await;
        client.send(format!("GET /roots/0 HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)).await;
        let root = CertificateDer::from_pem_slice(&client.read_response().await.body).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(root).expect("it is an authority");
        let builder = ClientConfig::builder_with_provider(default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().expect("the provider speaks them");
        builder.with_root_certificates(roots).with_no_client_auth()
    }
}

async fn reached(address: Ipv4Addr, port: u16) {
    patiently("pebble", async { while TcpStream::connect((address, port)).await.is_err() {} }).await;
}
