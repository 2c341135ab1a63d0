//! Passwords as they are kept: hashed, so that who reads the file does not have them.

use argon2::{
    Algorithm, Argon2, Params,
    password_hash::{PasswordVerifier, phc::PasswordHash},
};
use sha_crypt::ShaCrypt;

/// More work than this for one password would be an attack of our own on ourselves.
const MOST_BCRYPT: u32 = 16;
const MOST_ROUNDS: u32 = 1_000_000;
/// KiB.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_PASSES: u32 = 64;

/// What OpenSSL and glibc write salts and hashes with.
const CRYPT: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A hash that is worth its name. It is never shown.
pub struct Hash {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Argon2,
    ShaCrypt,
}

impl Hash {
    /// Reads one, or says why it will not do, without showing it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let kind = match text.strip_prefix('$').and_then(|rest| rest.split('$').next()) {
            Some("2y" | "2b" | "2a") => bcrypt(text).map(|()| Kind::Bcrypt),
            Some("argon2id" | "argon2i" | "argon2d") => argon2(text).map(|()| Kind::Argon2),
            Some("5") => sha_crypt(text, 43).map(|()| Kind::ShaCrypt),
            Some("6") => sha_crypt(text, 86).map(|()| Kind::ShaCrypt),
            _ => Err(weakness(text)),
        };
        kind.map(|kind| Self { kind, text: text.to_owned() })
    }

    /// It is of this password. That takes a while.
    pub fn is_of(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::Argon2 => {
                let parsed = PasswordHash::new(&self.text);
                parsed.is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
            }
            Kind::ShaCrypt => ShaCrypt::default().verify_password(password, self.text.as_str()).is_ok(),
        }
    }
}

fn bcrypt(text: &str) -> Result<(), &'static str> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| "is cut short, or is no bcrypt hash")?;
    match parts.get_cost() {
        4..=MOST_BCRYPT => Ok(()),
        _ => Err("has a cost that is none, or above 16: each wrong password would cost seconds"),
    }
}

fn argon2(text: &str) -> Result<(), &'static str> {
    let malformed = "is cut short, or is no argon2 hash";
    let hash = PasswordHash::new(text).map_err(|_| malformed)?;
    let params = Params::try_from(&hash).map_err(|_| malformed)?;
    let is_whole = hash.salt.is_some() && hash.hash.is_some() && Algorithm::try_from(hash.algorithm.as_str()).is_ok();
    if !is_whole {
        return Err(malformed);
    }
    if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
        return Err("needs more than 256 MiB or 64 passes for each wrong password");
    }
    Ok(())
}

fn sha_crypt(text: &str, length: usize) -> Result<(), &'static str> {
    let mut fields = text.split('$').skip(2).peekable();
    if let Some(rounds) = fields.next_if(|field| field.starts_with("rounds=")) {
        match rounds["rounds=".len()..].parse() {
            Ok(1_000..=MOST_ROUNDS) => {}
            _ => return Err("has fewer than 1,000 or more than 1,000,000 rounds"),
        }
    }
    let is_crypt = |field: &str| field.bytes().all(|byte| CRYPT.contains(&byte));
    match (fields.next(), fields.next(), fields.next()) {
        (Some(salt), Some(hash), None)
            if (1..=16).contains(&salt.len()) && hash.len() == length && is_crypt(salt) && is_crypt(hash) =>
        {
            Ok(())
        }
        _ => Err("is cut short, or is no sha-crypt hash"),
    }
}

/// What it is that will not do.
fn weakness(text: &str) -> &'static str {
    const WEAK: [(&str, &str); 7] = [
        ("{SHA}", "is SHA-1 without salt ({SHA}): passwords are found out within hours"),
        ("{SSHA}", "is one round of SHA-1 ({SSHA}): passwords are found out within hours"),
        ("$apr1$", "is MD5 ($apr1$): passwords are found out within hours"),
        ("$1$", "is MD5 ($1$): passwords are found out within hours"),
        ("$2x$", "is of a faulty bcrypt ($2x$): other passwords fit, too"),
        ("$y$", "is yescrypt ($y$), which is not known here"),
        ("$7$", "is scrypt ($7$), which is not known here"),
    ];
    if let Some((_, what)) = WEAK.iter().find(|(beginning, _)| text.starts_with(beginning)) {
        return what;
    }
    let is_des = text.len() == 13 && text.bytes().all(|byte| CRYPT.contains(&byte));
    if is_des {
        "is DES crypt: only 8 letters of a password count, and they are found out"
    } else {
        "is no hash that is known here"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by libxcrypt and by the reference implementation of Argon2, which has this one in its tests.
    const HASHES: [(&str, &str); 8] = [
        ("hunter2", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.COREUz9E34cVXl2vPeVtA6zdO4Kt.1q"),
        ("hunter2", "$2b$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm"),
        ("hunter2", "$2a$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm"),
        ("password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
        ("hunter2", "$5$saltstring$9JBjAeLRHX/Lm/1Njo98nbLiUsNRFEuARumLKkxJMm7"),
        ("hunter2", "$5$rounds=1400$anotherlongsalts$tewLpOIAC9B.dXOAYZ/6Zf4FpC.lx5ftUWAWNo.47w6"),
        (
            "hunter2",
            "$6$saltstring$q2.778Y7vt0Ij2OIl01VlxEE6SEh8ZCtgFbyJX8fYkl5S7gx32QO24FVg.rs4DkoAs9t6R19x4z8g69teXFxA0",
        ),
        (
            "hunter2",
            "$6$rounds=10000$saltstringsaltst$B2zY0XSejvWqxaIslE79JBzmu09DwRVf2/UY8TBtefp.9xxbjtDrLFzFgcPrt1KgDf1MZ3BoAlYbeCko17pdH/",
        ),
    ];

    #[test]
    fn a_hash_is_of_its_password_and_of_no_other() {
        for (password, text) in HASHES {
            let hash = Hash::parse(text).unwrap_or_else(|what| panic!("{text} {what}"));
            assert!(hash.is_of(password.as_bytes()), "{text}");
            for other in [&b""[..], b"hunter", b"Hunter2", b"hunter2\0", b"passwor", b"password "] {
                assert!(!hash.is_of(other), "{text} {other:?}");
            }
        }
    }

    #[test]
    fn a_hash_that_is_weak_broken_or_too_dear_is_refused_by_name() {
        for (text, expected) in [
            ("{SHA}/wfJ5xKR6AXwrS2tXVpdrI9C3Q4=", "SHA-1 without salt"),
            ("{SSHA}/wfJ5xKR6AXwrS2tXVpdrI9C3Q4=", "{SSHA}"),
            ("$apr1$abcdefgh$vhxKZ/s1ygZHyCEDPyqtQ/", "MD5 ($apr1$)"),
            ("$1$abcdefgh$vhxKZ/s1ygZHyCEDPyqtQ/", "MD5 ($1$)"),
            ("ab0ozUNIgzCZ.", "DES crypt"),
            ("hunter2", "no hash that is known"),
            ("x$5$saltstring$9JBjAeLRHX/Lm/1Njo98nbLiUsNRFEuARumLKkxJMm7", "no hash that is known"),
            ("", "no hash that is known"),
            ("$y$j9T$abcdefgh$PMO/ybZGzwvHUDcEDrYISVNPmdY1pppLlI6NvjamW79", "yescrypt"),
            ("$2x$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm", "faulty bcrypt"),
            ("$2y$17$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm", "above 16"),
            ("$2y$03$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm", "a cost that is none"),
            ("$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXV", "no bcrypt hash"),
            ("$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXë", "no bcrypt hash"),
            ("$2y$", "no bcrypt hash"),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", "no argon2 hash"),
            ("$argon2id$v=19$m=999999999,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "256 MiB"),
            ("$argon2id$v=19$m=256,t=999,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "64 passes"),
            ("$5$saltstring$9JBjAeLRHX/Lm/1Njo98nbLiUsNRFEuARumLKkxJMm", "no sha-crypt hash"),
            ("$5$rounds=999$saltstring$9JBjAeLRHX/Lm/1Njo98nbLiUsNRFEuARumLKkxJMm7", "fewer than 1,000"),
            ("$5$rounds=999999999$saltstring$9JBjAeLRHX/Lm/1Njo98nbLiUsNRFEuARumLKkxJMm7", "1,000,000 rounds"),
            ("$6$", "no sha-crypt hash"),
        ] {
            let what = Hash::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(what.contains(expected), "{text}: {what}");
        }
    }
}
