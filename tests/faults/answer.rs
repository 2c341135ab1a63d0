//! What a request is answered with: whoever knows the request can tell whether all of the answer has come.

/// Bytes of the shortest content.
pub const CONTENT_AT_LEAST: usize = 40;

/// The number in the path decides how the content is framed: by its length, in chunks, or by the end of the connection.
pub fn to(path: &str, name: &str) -> Vec<u8> {
    let content = content(path, name);
    let (head, length) = (format!("HTTP/1.1 200 OK\r\nX-Endpoint: {name}\r\n"), content.len());
    let answer = match number(path) % 8 {
        0 => format!("{head}\r\n{content}"),
        1..4 => format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{content}\r\n0\r\n\r\n"),
        _ => format!("{head}Content-Length: {length}\r\n\r\n{content}"),
    };
    answer.into_bytes()
}

/// Its content ends with the connection.
pub fn ends_its_connection(path: &str) -> bool {
    number(path).is_multiple_of(8)
}

/// Of another length each time.
pub fn content(path: &str, name: &str) -> String {
    let mut content = format!("{name} answers {path} ").repeat(1 + number(path) % 50);
    while content.len() < CONTENT_AT_LEAST {
        content.push('.');
    }
    content
}

fn number(path: &str) -> usize {
    path.trim_start_matches('/').parse().expect("a path is a number")
}
