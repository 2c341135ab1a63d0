//! Answers right, wrong and doubtful, and ways to make them worse.

use proptest::prelude::*;

/// Name, the method that was asked with, and the answer.
pub type Answer = (&'static str, &'static str, Vec<u8>);

pub fn answers() -> Vec<Answer> {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let with_length = |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello");
    let with_field = |field: &str| format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 5\r\n\r\nhello");
    let line = |line: &str| format!("{line}\r\nContent-Length: 5\r\n\r\nhello");
    let chunks = |chunks: &str| format!("{CHUNKED}{chunks}");
    let coded = |coding: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let gets = [
        ("a length", with_length("5")),
        ("a length too long", with_length("6")),
        ("a length too short", with_length("4")),
        ("no length", with_length("")),
        ("a length with zeros", with_length("0005")),
        ("a length with a sign", with_length("+5")),
        ("a negative length", with_length("-5")),
        ("a length in hex", with_length("0x5")),
        ("a length with a point", with_length("5.0")),
        ("a length with a space", with_length("5 5")),
        ("a length beyond counting", with_length("18446744073709551616")),
        ("the largest length", with_length("18446744073709551615")),
        ("a list of one length", with_length("5, 5")),
        ("a list of two lengths", with_length("5, 6")),
        ("a length twice", with_length("5\r\nContent-Length: 5")),
        ("two lengths", with_length("5\r\nContent-Length: 6")),
        ("an empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("until the end", "HTTP/1.1 200 OK\r\n\r\nhello".to_owned()),
        ("until the end, of old", "HTTP/1.0 200 OK\r\n\r\nhello".to_owned()),
        ("of old with a length", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        (
            "of old with chunks",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        ),
        ("chunks", chunks("5\r\nhello\r\n0\r\n\r\n")),
        ("more chunks", chunks("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")),
        ("chunks in hex", chunks("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n")),
        ("chunks with zeros", chunks("0005\r\nhello\r\n000\r\n\r\n")),
        ("extensions", chunks("5;a=b;c=\"d;e\"\r\nhello\r\n0;x\r\n\r\n")),
        ("extensions with spaces", chunks("5 ; a = b\r\nhello\r\n0\r\n\r\n")),
        ("trailers", chunks("5\r\nhello\r\n0\r\nSum: 7\r\nX-Y: z\r\n\r\n")),
        ("a trailer of framing", chunks("0\r\nContent-Length: 7\r\n\r\n")),
        ("a trailer that comes too late", chunks("0\r\nSet-Cookie: a=b\r\nSum: 7\r\n\r\n")),
        ("a trailer without a colon", chunks("0\r\nno colon\r\n\r\n")),
        ("a cut trailer", chunks("5\r\nhello\r\n0\r\nSum: 7\r\n")),
        ("a cut chunk", chunks("5\r\nhel")),
        ("cut between chunks", chunks("5\r\nhello\r\n")),
        ("cut before the last line", chunks("5\r\nhello\r\n0\r\n")),
        ("a chunk without a size", chunks("\r\nhello\r\n0\r\n\r\n")),
        ("a chunk with a sign", chunks("+5\r\nhello\r\n0\r\n\r\n")),
        ("a chunk in 0x", chunks("0x5\r\nhello\r\n0\r\n\r\n")),
        ("a space before a chunk", chunks(" 5\r\nhello\r\n0\r\n\r\n")),
        ("a space behind a size", chunks("5 \r\nhello\r\n0\r\n\r\n")),
        ("a chunk beyond counting", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("a chunk longer than it says", chunks("4\r\nhello\r\n0\r\n\r\n")),
        ("chunks with bare line feeds", chunks("5\nhello\n0\n\n")),
        ("a line feed in an extension", chunks("5;a\nb\r\nhello\r\n0\r\n\r\n")),
        ("a control byte in an extension", chunks("5;a\0b\r\nhello\r\n0\r\n\r\n")),
        ("chunked in capitals", coded("CHUNKED")),
        ("chunked with spaces", coded(" chunked ")),
        ("gzip and chunked", coded("gzip, chunked")),
        ("chunked and gzip", coded("chunked, gzip")),
        ("chunked twice", coded("chunked, chunked")),
        ("chunked on two lines", coded("chunked\r\nTransfer-Encoding: chunked")),
        ("identity", coded("identity")),
        ("an unknown coding", coded("xchunked")),
        ("no coding", coded("")),
        ("both lengths", coded("chunked\r\nContent-Length: 5")),
        ("both lengths, one bad", coded("chunked\r\nContent-Length: x")),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        ("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_owned()),
        ("304 with a bad length", "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n".to_owned()),
        ("205", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("100 first", format!("HTTP/1.1 100 Continue\r\n\r\n{}", with_length("5"))),
        ("103 first", format!("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n{}", with_length("5"))),
        ("199 first", format!("HTTP/1.1 199 Odd\r\nContent-Length: 3\r\n\r\n{}", with_length("5"))),
        ("100 only", "HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        (
            "101 unasked",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello".to_owned(),
        ),
        ("two answers", format!("{0}{0}", with_length("5"))),
        ("no reason", line("HTTP/1.1 200")),
        ("an empty reason", line("HTTP/1.1 200 ")),
        ("a reason of odd letters", line("HTTP/1.1 200 \u{fc}ber")),
        ("a reason with a tab", line("HTTP/1.1 200 O\tK")),
        ("two digits", line("HTTP/1.1 20 OK")),
        ("four digits", line("HTTP/1.1 2000 OK")),
        ("status 999", line("HTTP/1.1 999 Far Out")),
        ("status 600", line("HTTP/1.1 600 Odd")),
        ("status 099", line("HTTP/1.1 099 Low")),
        ("version 1.2", line("HTTP/1.2 200 OK")),
        ("version 2.0", line("HTTP/2.0 200 OK")),
        ("version in small letters", line("http/1.1 200 OK")),
        ("two spaces", line("HTTP/1.1  200 OK")),
        ("a tab for a space", line("HTTP/1.1\t200 OK")),
        ("an empty line first", line("\r\nHTTP/1.1 200 OK")),
        ("empty lines behind an interim head", line("HTTP/1.1 103 Early Hints\r\n\r\n\r\n\r\nHTTP/1.1 200 OK")),
        ("a bare line feed first", line("\nHTTP/1.1 200 OK")),
        ("a bare line feed after the line", with_field("A: b").replacen("\r\n", "\n", 1)),
        ("bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello".to_owned()),
        ("a bare line feed in the head", with_field("A: b\nC: d")),
        ("a bare carriage return", with_field("A: b\rC: d")),
        ("an empty value", with_field("A:")),
        ("spaces around a value", with_field("A: \t b \t ")),
        ("a value of high bytes", with_field("A: \u{e9}\u{fc}")),
        ("a value with a zero", with_field("A: b\0c")),
        ("a value with a bell", with_field("A: b\x07c")),
        ("a folded value", with_field("A: b\r\n c")),
        ("a space before the colon", with_field("A : b")),
        ("a space in a name", with_field("A b: c")),
        ("an odd name", with_field("A(b): c")),
        ("no name", with_field(": c")),
        ("no colon", with_field("A")),
        ("a space before the first field", with_field(" A: b")),
        ("many fields", with_field("A: b\r\n".repeat(90).trim_end())),
        ("a field of the connection", with_field("Connection: X-Own\r\nX-Own: 1\r\nX-Else: 2")),
        ("cookies", with_field("Set-Cookie: a=b\r\nSet-Cookie: c=d")),
        ("nothing", String::new()),
        ("half a line", "HTTP/1.1 2".to_owned()),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Le".to_owned()),
        ("another protocol", "SSH-2.0-OpenSSH_9.6\r\n".to_owned()),
        ("old HTTP", "<html>hello</html>".to_owned()),
    ];
    let heads = [
        ("HEAD with a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD with a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ("HEAD with a coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD with neither", "HTTP/1.1 200 OK\r\n\r\n"),
        ("HEAD and 204", "HTTP/1.1 204 No Content\r\n\r\n"),
    ];
    let gets = gets.into_iter().map(|(name, answer)| (name, "GET", answer.into_bytes()));
    gets.chain(heads.map(|(name, answer)| (name, "HEAD", answer.as_bytes().to_vec()))).collect()
}

/// One way to spoil bytes.
#[derive(Debug, Clone)]
pub enum Mutation {
    Replace(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
    Repeat(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

/// What tends to make a difference.
const SALT: [&str; 20] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "5",
    "f",
    "-",
    "\r\n\r\n",
    "\r\n ",
    "chunked",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "HTTP/1.1 200 OK\r\n",
];

pub fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (place(), 1..4_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (place(), prop::sample::select(&SALT[..])).prop_map(|(at, text)| Mutation::Insert(at, text)),
        (place(), 1..20_usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        place().prop_map(Mutation::Cut),
    ]
}

impl Mutation {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        match self {
            _ if length == 0 => {}
            Self::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Self::Remove(at, count) => {
                let at = at.index(length);
                bytes.drain(at..(at + count).min(length));
            }
            Self::Insert(at, text) => {
                let at = at.index(length);
                bytes.splice(at..at, text.bytes());
            }
            Self::Repeat(at, count) => {
                let at = at.index(length);
                let again = bytes[at..(at + count).min(length)].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
}
