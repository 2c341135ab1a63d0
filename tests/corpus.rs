//! What the fuzzers found worth keeping, played again: the same checks, without a fuzzer.

use std::{fs, path::Path};

#[path = "../fuzz/checks/mod.rs"]
mod checks;

fn replay(name: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let input = fs::read(&path).expect("a file");
        let outcome = std::panic::catch_unwind(|| check(&input));
        assert!(outcome.is_ok(), "{} does not pass", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "there is nothing in {}", folder.display());
}

macro_rules! corpora {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), checks::$name::check);
        })*
    };
}

corpora! {
    cache_rules chunked_body condition forwarded h2_session hpack path proxy_protocol request_head request_intake response_head response_out settings
}
