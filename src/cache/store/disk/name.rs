//! What files are called: by what is kept in them, in such a way that nobody outside can tell, nor choose.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use aws_lc_rs::hmac;

use crate::cache::{key::Key, policy::Vary};

/// The name of the file of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    /// Its target: the answers of one target are in one folder.
    pub target: u128,
    /// Its whole key.
    pub rest: u64,
    /// What it varies by.
    pub vary: u64,
}

/// How names are made.
pub struct Naming(hmac::Key);

/// A secret has so many bytes.
pub const SECRET: usize = 32;

impl Naming {
    /// By this secret.
    pub fn new(secret: &[u8; SECRET]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// That of a target.
    pub fn target(&self, target: &[u8]) -> u128 {
        u128::from_be_bytes(self.sign(b't', target))
    }

    /// That of a whole key, beside its target.
    pub fn rest(&self, key: &Key) -> u64 {
        half(self.sign(b'k', key.as_bytes()))
    }

    /// That of the answer for requests like one.
    pub fn of(&self, key: &Key, vary: &Vary) -> Name {
        let vary = half(self.sign(b'v', &vary.identity()));
        Name { target: self.target(key.target()), rest: self.rest(key), vary }
    }

    fn sign(&self, kind: u8, text: &[u8]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[kind]);
        context.update(text);
        context.sign().as_ref().first_chunk().copied().expect("it is longer")
    }
}

fn half(digest: [u8; 16]) -> u64 {
    (u128::from_be_bytes(digest) >> 64) as u64
}

impl Name {
    /// Where it is, below the folder of the store.
    pub fn path(&self) -> PathBuf {
        folder(self.target).join(self.to_string())
    }

    /// The one that a file has; `None` if it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let name = Self {
            target: u128::from_str_radix(parts.next()?, 16).ok()?,
            rest: u64::from_str_radix(parts.next()?, 16).ok()?,
            vary: u64::from_str_radix(parts.next()?, 16).ok()?,
        };
        (name.to_string() == text).then_some(name)
    }
}

/// Where the answers of a target are: 256 folders with 256 in each.
pub fn folder(target: u128) -> PathBuf {
    let [first, second, ..] = target.to_be_bytes();
    Path::new(&format!("{first:02x}")).join(format!("{second:02x}"))
}

/// It could be one of those folders.
pub fn is_folder(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:016x}-{:016x}", self.target, self.rest, self.vary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::{entry, key};

    #[test]
    fn each_answer_has_a_name_of_its_own_that_only_who_has_the_secret_can_tell() {
        let (naming, other) = (Naming::new(&[1; SECRET]), Naming::new(&[2; SECRET]));
        let (a, b) = (entry(1, "a"), entry(1, "b"));
        let (plain, with) = (key("/", None), key("/", Some("1")));
        let name = naming.of(&plain, &a.head.vary);

        assert_eq!(name, naming.of(&plain, &entry(9, "a").head.vary));
        for another in [
            naming.of(&with, &a.head.vary),
            naming.of(&plain, &b.head.vary),
            naming.of(&key("/b", None), &a.head.vary),
            other.of(&plain, &a.head.vary),
        ] {
            assert_ne!(name, another);
        }
        assert_eq!(naming.of(&with, &b.head.vary).target, name.target);
    }

    #[test]
    fn a_name_is_written_in_one_way() {
        let name = Naming::new(&[1; SECRET]).of(&key("/", None), &entry(1, "a").head.vary);
        let text = name.to_string();

        assert_eq!(Name::parse(&text), Some(name));
        assert!(name.path().starts_with(format!("{}/{}", &text[..2], &text[2..4])));
        for other in [text.to_uppercase(), format!("{text}-0"), format!("+{}", &text[1..]), text.replace('-', "")] {
            assert_eq!(Name::parse(&other), None, "{other}");
        }
        assert!(is_folder("0f") && !is_folder("0F") && !is_folder("new") && !is_folder(".."));
    }
}
