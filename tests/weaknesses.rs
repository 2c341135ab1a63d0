//! What `testssl.sh` has to say about the TLS of the real binary: nothing that is rated above LOW.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CrlDistributionPoint, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// What is looked at: protocols, suites, forward secrecy, the server's order, certificates, fields, and each known attack.
const CHECKS: [&str; 7] = ["-p", "-s", "-f", "-P", "-S", "-h", "-U"];

/// What an operator is to write: the proxy adds no field to an answer unless it is told to.
const SETTINGS: &str = r#"
listen = [{ addr = "127.0.0.1:0", tls = "main" }]

[routes."/"]
respond = { body = "hello" }
header_rules.response = { set = { strict-transport-security = "max-age=31536000", x-content-type-options = "nosniff", content-security-policy = "default-src 'self'" } }

[tls.main]
certificates = [{ cert = "ecdsa.pem", key = "ecdsa.key" }, { cert = "rsa.pem", key = "rsa.key" }]
"#;

#[test]
fn testssl_finds_nothing_that_is_rated_above_low() {
    let folder = tempfile::tempdir().expect("a folder");
    issue(folder.path());
    fs::write(folder.path().join("edge.toml"), SETTINGS).expect("a file");
    let server = Server::start(folder.path());

    let findings = testssl(folder.path(), server.port);

    assert!(findings.len() > 80, "only {} findings: was it cut short?", findings.len());
    assert!(findings.iter().any(|finding| finding["id"] == "TLS1_3"), "it has looked at what is spoken");
    let serious: Vec<_> = findings.iter().filter(|finding| is_above_low(finding)).collect();
    assert!(serious.is_empty(), "{serious:#?}");
}

/// Ends with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
        command.args(["run", "--settings", "edge.toml"]).current_dir(folder).env_clear();
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("listening on ")).expect("it listens");
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("a port");
        // What it says later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it was running");
    }
}

fn testssl(folder: &Path, port: u16) -> Vec<Value> {
    let mut command = Command::new("testssl");
    command.args(["--quiet", "--warnings", "off", "--color", "0", "--ip", "127.0.0.1"]).args(CHECKS);
    command.args(["--add-ca", "ca.pem", "--jsonfile", "findings.json"]).arg(format!("localhost:{port}"));
    let output = command.current_dir(folder).stdin(Stdio::null()).output();
    // Its exit code counts what it found.
    let output = output.expect("testssl runs: scripts/test installs it (Debian: testssl.sh)");
    let findings = fs::read(folder.join("findings.json"))
        .unwrap_or_else(|_| panic!("no findings:\n{}", String::from_utf8_lossy(&output.stdout)));
    serde_json::from_slice(&findings).expect("a list")
}

fn is_above_low(finding: &Value) -> bool {
    match finding["severity"].as_str().expect("it has one") {
        "OK" | "INFO" | "LOW" => false,
        // What its own openssl cannot look at says nothing about us.
        "WARN" => !["engine_problem", "sessionresumption_ticket"].contains(&finding["id"].as_str().expect("a name")),
        _ => true,
    }
}

/// Two certificates for `localhost` of an authority, as a real site has them: three months, one use, a place for
/// revocations.
fn issue(folder: &Path) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    let both: [(&str, &'static SignatureAlgorithm); 2] =
        [("ecdsa", &PKCS_ECDSA_P256_SHA256), ("rsa", &PKCS_RSA_SHA256)];
    for (name, algorithm) in both {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
        params.not_after = params.not_before + Duration::days(90);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.crl_distribution_points =
            vec![CrlDistributionPoint { uris: vec!["http://localhost/revoked.crl".to_owned()] }];
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("a file");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
    }
}
