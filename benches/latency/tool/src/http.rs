//! As much of HTTP/1.1 as both ends need: heads, and bodies of a known length or in chunks.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

/// A head up to its empty line; `None` at the end of the connection.
pub async fn head(socket: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
    Ok(Some(head))
}

/// Reads a body to its end. Says whether the connection can be used again.
pub async fn skip_body(socket: &mut BufReader<TcpStream>, head: &str) -> io::Result<bool> {
    let lower = head.to_ascii_lowercase();
    let field = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("transfer-encoding:").is_some() {
        loop {
            let mut line = String::new();
            socket.read_line(&mut line).await?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            socket.read_exact(&mut vec![0; size + 2]).await?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = field("content-length:").unwrap_or("0").parse().map_err(io::Error::other)?;
        socket.read_exact(&mut vec![0; length]).await?;
    }
    Ok(field("connection:") != Some("close"))
}
