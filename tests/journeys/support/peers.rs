//! Other proxies, each with as little configuration as will do, until they are dropped.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::wire::patiently;

/// HAProxy with this in its one section, which has it listen at this address.
pub async fn haproxy(folder: &Path, section: &str, address: SocketAddr) -> Child {
    let timeouts = "timeout connect 5s\n timeout client 5s\n timeout server 5s";
    let configuration = format!("defaults\n mode http\n {timeouts}\nlisten all\n {section}\n");
    let file = folder.join("haproxy.cfg");
    fs::write(&file, configuration).expect("a file");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    start(command, address).await
}

/// nginx with this in its one server, which has it listen at this address.
pub async fn nginx(folder: &Path, server: &str, address: SocketAddr) -> Child {
    let own = folder.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {own};"));
    let configuration = format!(
        "daemon off; master_process off; pid {own}/nginx.pid; error_log stderr;\nevents {{}}\n\
         http {{ access_log off; {}\n server {{ {server} }} }}\n",
        paths.concat()
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration).expect("a file");
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(file);
    start(command, address).await
}

async fn start(mut command: Command, address: SocketAddr) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap_or_else(|error| panic!("scripts/test installs {command:?}: {error}"));
    patiently("another proxy", async { while TcpStream::connect(address).await.is_err() {} }).await;
    child
}
