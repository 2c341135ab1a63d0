//! Who holds a certificate, in words that cannot be taken for others.

use std::fmt::Write;

use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use x509_parser::{
    asn1_rs::ToDer,
    prelude::{FromDer, GeneralName, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

use super::identity;
use crate::http::ClientCertificate;

/// What is told of a certificate has fewer bytes in all, or the client is not let in: logs and requests carry it.
const MOST_TEXT: usize = 8 * 1024;

/// Attributes with a short name (RFC 4514, 3), and two more that every tool writes by name.
const SHORT_NAMES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// Reads a certificate that was verified; `None` if it cannot be read, or says too much.
pub fn read(certificate: &[u8]) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternative = parsed.subject_alternative_name().ok()?;
    let names = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(other_name);
    let read = ClientCertificate {
        subject: name(parsed.subject()),
        issuer: name(parsed.issuer()),
        serial: hex(parsed.raw_serial()),
        names: names.collect(),
        fingerprint: fingerprint(certificate),
    };
    let length = read.subject.len() + read.issuer.len() + read.names.iter().map(String::len).sum::<usize>();
    (length <= MOST_TEXT).then_some(read)
}

/// SHA-256, in hexadecimal.
fn fingerprint(certificate: &[u8]) -> String {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("it is one of TLS 1.3");
    hex(suite.common.hash_provider.hash(certificate).as_ref())
}

/// As RFC 4514 writes it.
pub(super) fn name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let mut parts: Vec<_> = name.iter_rdn().collect();
    parts.reverse();
    for part in parts {
        for (index, attribute) in part.iter().enumerate() {
            let separator = if index > 0 { "+" } else { "," };
            text.push_str(if text.is_empty() { "" } else { separator });
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let id = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == id).map(|(_, short)| *short);
    text.push_str(short.unwrap_or(&id));
    text.push('=');
    match (short, attribute.as_str()) {
        (Some(_), Ok(value)) => push_escaped(text, value),
        // What has no name, and what is no text, is written as it is encoded.
        _ => {
            text.push('#');
            text.push_str(&hex(&attribute.attr_value().to_der_vec().unwrap_or_default()));
        }
    }
}

fn other_name(written: &GeneralName<'_>) -> Option<String> {
    let (kind, value) = match written {
        GeneralName::DNSName(name) => ("DNS:", *name),
        GeneralName::URI(uri) => ("URI:", *uri),
        GeneralName::RFC822Name(address) => ("email:", *address),
        GeneralName::IPAddress(bytes) => return identity::address(bytes).map(|address| format!("IP:{address}")),
        _ => return None,
    };
    let mut text = kind.to_owned();
    push_escaped(&mut text, value);
    Some(text)
}

/// What separates parts of a name is escaped, and so is whatever is not visible ASCII (RFC 4514, 2.4).
fn push_escaped(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => text.extend(['\\', char::from(byte)]),
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b' ' | b'!'..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\{byte:02X}").expect("memory takes everything"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("memory takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, string::Ia5String};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        read(params.self_signed(&key).expect("a certificate").der()).expect("it can be read")
    }

    #[test]
    fn a_name_is_written_from_its_most_specific_part() {
        let read = certificate(|params| {
            params.distinguished_name.push(DnType::CountryName, "DE");
            params.distinguished_name.push(DnType::OrganizationName, "Shop");
            params.distinguished_name.push(DnType::CommonName, "alice");
            params.serial_number = Some(rcgen::SerialNumber::from(vec![0x0a, 0xff]));
        });

        assert_eq!((read.subject.as_str(), read.serial.as_str()), ("CN=alice,O=Shop,C=DE", "0aff"));
        assert_eq!(read.issuer, read.subject);
        assert_eq!(read.fingerprint.len(), 64);
    }

    #[test]
    fn a_part_of_a_name_cannot_be_taken_for_two_and_breaks_no_line() {
        for (value, written) in [
            ("alice,O=Ops", "CN=alice\\,O=Ops"),
            ("a+OU=b", "CN=a\\+OU=b"),
            ("#a", "CN=\\#a"),
            (" a ", "CN=\\ a\\ "),
            ("a\r\nX: b", "CN=a\\0D\\0AX: b"),
            ("\u{e4}\\", "CN=\\C3\\A4\\\\"),
        ] {
            let read = certificate(|params| params.distinguished_name.push(DnType::CommonName, value));

            assert_eq!(read.subject, written);
        }
    }

    #[test]
    fn other_names_say_what_they_are() {
        let ia5 = |text: &str| Ia5String::try_from(text).expect("ASCII");
        let read = certificate(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName(ia5("a.example,DNS:b.example")),
                SanType::URI(ia5("spiffe://a/b")),
                SanType::Rfc822Name(ia5("a@b.example")),
                SanType::IpAddress([192, 0, 2, 1].into()),
            ];
        });

        let expected = ["DNS:a.example\\,DNS:b.example", "URI:spiffe://a/b", "email:a@b.example", "IP:192.0.2.1"];
        assert_eq!(read.names, expected);
    }

    #[test]
    fn who_says_too_much_is_not_read() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "x".repeat(MOST_TEXT));
        let key = KeyPair::generate().expect("a key");

        assert_eq!(read(params.self_signed(&key).expect("a certificate").der()), None);
    }
}
