//! What else the number of instructions depends on: who compiled the program, and what it was run with.

use std::collections::BTreeMap;
use std::process::Command;
use std::{fs, io};

/// Each with its version.
pub fn here() -> io::Result<BTreeMap<String, String>> {
    let tools = [
        ("rustc", said_by("rustc", &["--version"])?),
        // Of the allocator, among others.
        ("cc", said_by("cc", &["-dumpfullversion"])?),
        ("libc", said_by("getconf", &["GNU_LIBC_VERSION"])?),
        ("valgrind", said_by("valgrind", &["--version"])?),
        ("processor", processor(&fs::read_to_string("/proc/cpuinfo")?)),
    ];
    Ok(tools.into_iter().map(|(name, version)| (name.to_owned(), version)).collect())
}

/// Valgrind shows a program always the same processor, of one kind if this one has AVX2 and of another if it has not.
fn processor(cpuinfo: &str) -> String {
    let has_avx2 = cpuinfo.lines().any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "avx2"));
    format!("{}{}", std::env::consts::ARCH, if has_avx2 { " with AVX2" } else { "" })
}

fn said_by(program: &str, words: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| io::Error::other(format!("{program}: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_known_by_what_valgrind_makes_of_it() {
        assert!(processor("flags\t\t: fpu avx avx2 avx512f\n").ends_with(" with AVX2"));
        assert_eq!(processor("flags\t\t: fpu avx\n"), std::env::consts::ARCH);
    }
}
