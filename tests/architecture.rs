//! The floors of ARCHITECTURE.md, held: a module imports only from modules further down, and crates stay in the rooms
//! they belong to.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Where a crate may be named, as beginnings of paths below `src`.
const ROOMS: [(&str, &[&str]); 29] = [
    // The one option of sockets that the others do not set is set there.
    ("nix", &["transport/low_water"]),
    ("libc", &["transport/low_water"]),
    // What is given up when memory is short is decided there alone.
    ("quick_cache", &["cache/store/"]),
    // What is read from a disk is compared with what was written.
    ("xxhash_rust", &["cache/store/disk/format", "filters/cache/shared/record"]),
    // Stores are asked on no request's way.
    ("redis", &["filters/rate_limit/shared", "filters/remote", "filters/cache/shared"]),
    // The types of `http` come from it; `mount` is a handler, `edge` hosts an `App`, `run` and `demo` make one.
    ("actix_web", &["http/", "proxy/mount", "edge/", "admin/", "cli/run", "cli/demo"]),
    ("awc", &["transport/awc", "actors/", "filters/forward_auth", "filters/jwt"]),
    ("clap", &["cli/", "main.rs"]),
    // What is known by its number alone is asked for once.
    ("listenfd", &["cli/activation"]),
    // A library's errors have types.
    ("anyhow", &[]),
    // Only what reads settings knows how they are merged.
    ("config", &["settings/"]),
    // What is believed, and who we say we are, is decided where it can be found.
    ("rustls", &["transport/tls", "edge/tls"]),
    ("tokio_rustls", &["transport/tls", "transport/dial", "edge/tls"]),
    ("rustls_native_certs", &["transport/tls/client"]),
    // Certificates are asked for away from every request.
    ("instant_acme", &["actors/certificates"]),
    ("hyper", &["actors/certificates"]),
    ("rcgen", &["edge/tls/validation", "transport/tls/holder", "transport/tls/served/tests"]),
    ("x509_parser", &["transport/tls/"]),
    // What is counted knows nothing of how it is told.
    ("prometheus_client", &["admin/metrics"]),
    // What we sign ourselves can be read in one place; rustls has a module of the same name.
    // What is made of answers on their way.
    ("zstd", &["filters/compress"]),
    ("brotli", &["filters/compress"]),
    ("flate2", &["filters/compress"]),
    ("aho_corasick", &["filters/substitute", "filters/request_rules/agents"]),
    ("jsonschema", &["filters/validate"]),
    (
        "aws_lc_rs",
        &[
            "upstream/affinity",
            "transport/tls",
            "admin/guard",
            "filters/basic_auth",
            "filters/api_key",
            "filters/keys",
            "filters/jwt/algorithm",
            "cache/key",
            "cache/store/disk",
        ],
    ),
    // Whose word is taken for who somebody is.
    ("bcrypt", &["filters/basic_auth/hash"]),
    ("argon2", &["filters/basic_auth/hash"]),
    ("sha_crypt", &["filters/basic_auth/hash"]),
    ("jsonwebtoken", &["filters/jwt"]),
];

#[test]
fn a_module_imports_only_from_the_floors_below() {
    let floors = floors();
    let floor_of = |name: &str| floors.iter().position(|floor| floor == name);
    let mut broken = String::new();

    for source in sources() {
        let own = source.module().to_owned();
        if matches!(own.as_str(), "lib" | "main") {
            continue;
        }
        let Some(from) = floor_of(&own) else {
            writeln!(broken, "src/{}: `{own}` is on no floor of ARCHITECTURE.md", source.name).expect("memory");
            continue;
        };
        for (line, named) in source.imports() {
            // What is on no floor is an item of the crate's root.
            if floor_of(&named).is_some_and(|to| to < from) {
                writeln!(broken, "{}: `{own}` may not know `{named}`, which is above it", source.at(line))
                    .expect("memory");
            }
        }
    }

    assert!(broken.is_empty(), "arrows that point upwards:\n{broken}");
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let mut broken = String::new();

    for source in sources() {
        for (name, rooms) in ROOMS {
            if rooms.iter().any(|room| source.name.starts_with(room)) {
                continue;
            }
            for line in source.lines_naming(name) {
                writeln!(broken, "{}: `{name}` is not known here", source.at(line)).expect("memory");
            }
        }
    }

    assert!(broken.is_empty(), "crates outside their rooms:\n{broken}");
}

#[test]
fn filters_do_not_know_where_a_request_goes() {
    let filters = sources().into_iter().filter(|source| source.module() == "filters");

    for source in filters {
        assert!(source.imports().all(|(_, name)| name != "upstream"), "src/{} imports upstream", source.name);
    }
}

#[test]
fn routing_does_no_io_and_asks_no_clock() {
    for source in sources().into_iter().filter(|source| source.module() == "routing") {
        for (line, text) in source.lines() {
            for forbidden in ["std::fs", "std::io", "std::time", "TcpStream", "tokio", "actix_rt"] {
                assert!(!text.contains(forbidden), "{}: `{forbidden}` in pure code", source.at(line));
            }
        }
    }
}

#[test]
fn the_rules_of_the_cache_do_no_io_and_ask_no_clock() {
    let rules = sources().into_iter().filter(|source| {
        ["cache/policy", "cache/key", "cache/status", "cache/structured"]
            .iter()
            .any(|room| source.name.starts_with(room))
    });
    for source in rules {
        for (line, text) in source.lines() {
            for forbidden in ["std::fs", "std::io", "::now()", "Instant", "TcpStream", "tokio", "actix_rt", "async "] {
                assert!(!text.contains(forbidden), "{}: `{forbidden}` in pure code", source.at(line));
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_one_place() {
    const WORDS: [&str; 5] = ["unsafe_code", "unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
    let mut named = Vec::new();
    for source in sources() {
        let lines = source.lines().filter(|(_, text)| WORDS.iter().any(|word| text.contains(word)));
        named.extend(lines.map(|(line, _)| source.at(line)));
    }
    named.sort_unstable();

    let [denied, expected, hint] = &named[..] else { panic!("{named:#?}") };
    assert!(denied.ends_with("#![deny(unsafe_code)]"), "{denied}");
    assert!(expected.starts_with("src/prefetch.rs:") && expected.contains("expect"), "{expected}");
    assert!(hint.starts_with("src/prefetch.rs:") && hint.contains("_mm_prefetch"), "{hint}");
}

#[test]
fn the_reader_of_this_test_sees_arrows() {
    let text = "use crate::{\n    http::{Body, body},\n    plan, // crate::cli\n};\n\
                fn f() { crate::edge::x(); super::super::upstream::y() }\n";
    let source = Source { name: "proxy/mount.rs".to_owned(), text: text.to_owned() };

    let imports: Vec<_> = source.imports().map(|(line, name)| format!("{line} {name}")).collect();

    assert_eq!(imports, ["1 http", "1 plan", "5 edge", "5 upstream"]);
}

#[test]
fn the_reader_of_this_test_tells_a_crate_from_a_module_of_its_name() {
    for (text, names) in [
        ("use awc;", true),
        ("use awc::Client;", true),
        ("pub use awc::{\n    Client,\n};", true),
        ("use {std::fs, awc::Client};", true),
        ("fn f() -> awc::Client {}", true),
        ("fn f(client: &awc::Client) {}", true),
        ("// awc::Client", false),
        ("use crate::transport::{\n    awc::Awc,\n    h1,\n};", false),
        ("use super::{awc::Awc, h1};", false),
        ("pub mod awc;", false),
        ("transport::awc::Awc::new()", false),
        ("lawc::x()", false),
    ] {
        let source = Source { name: "plan.rs".to_owned(), text: text.to_owned() };

        assert_eq!(!source.lines_naming("awc").is_empty(), names, "{text}");
    }
}

/// One file below `src`.
struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The top module it is part of.
    fn module(&self) -> &str {
        let top = self.name.split('/').next().expect("split has a first");
        top.strip_suffix(".rs").unwrap_or(top)
    }

    fn at(&self, line: usize) -> String {
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        format!("src/{}:{line}: {}", self.name, text.trim())
    }

    /// Lines with their numbers, without comments: links in docs may point anywhere.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    fn code(&self) -> String {
        self.lines().fold(String::new(), |code, (_, line)| code + line + "\n")
    }

    /// The top modules it names, by `crate::` or by climbing out with `super`.
    fn imports(&self) -> impl Iterator<Item = (usize, String)> {
        let code = self.code();
        let climb = "super::".repeat(self.depth());
        let starts = ["crate::", climb.as_str()].map(|root| {
            let found = code.match_indices(root).map(|(at, root)| (at, at + root.len()));
            found.collect::<Vec<_>>()
        });
        let mut starts = starts.concat();
        starts.sort_unstable();
        let named = |(at, end): (usize, usize)| {
            let line = line_of(&code, at);
            top_names(&code[end..]).into_iter().map(move |name| (line, name))
        };
        starts.into_iter().flat_map(named).collect::<Vec<_>>().into_iter()
    }

    /// Where it names a crate: in a `use`, or by a path that begins with it.
    fn lines_naming(&self, name: &str) -> Vec<usize> {
        let mut code = self.code();
        let mut lines = Vec::new();
        let word_before = |code: &str, at: usize| code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        // Each `use` is looked at as a whole and blanked out: what stands in a group is a path's end, not its beginning.
        while let Some(at) = code.match_indices("use ").map(|(at, _)| at).find(|at| !word_before(&code, *at)) {
            let end = code[at..].find(';').map_or(code.len(), |length| at + length);
            if top_names(&code[at + 4..end]).iter().any(|top| top == name) {
                lines.push(line_of(&code, at));
            }
            let blank: String = code[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            code.replace_range(at..end, &blank);
        }
        let path = format!("{name}::");
        let begins = |at: &usize| !word_before(&code, *at) && !code[..*at].ends_with("::");
        lines.extend(code.match_indices(&path).map(|(at, _)| at).filter(begins).map(|at| line_of(&code, at)));
        lines
    }

    /// How many `super` lead to the root.
    fn depth(&self) -> usize {
        let folders = self.name.matches('/').count();
        if self.name.ends_with("/mod.rs") { folders } else { folders + 1 }
    }
}

/// The first names of a path: one, or those of the group it begins with.
fn top_names(code: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = code.strip_prefix('{') else { return vec![name(code)] };
    let mut depth = 0;
    let mut names = vec![name(group)];
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The floors, the highest first, as ARCHITECTURE.md draws them.
fn floors() -> Vec<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let line = text.lines().find(|line| line.contains(" > ") && line.contains("transport")).expect("a line of floors");
    line.split('>').map(|floor| floor.trim().to_owned()).collect()
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 30, "the house has more files than {}", files.len());
    let source = |file: PathBuf| Source {
        name: file.strip_prefix(&src).expect("below src").to_string_lossy().into_owned(),
        text: fs::read_to_string(&file).expect("a readable file"),
    };
    files.into_iter().map(source).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
