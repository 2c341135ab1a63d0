//! Traffic Server with one thread, and its memory before a small disk: it keeps nothing in memory alone.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use super::Wanted;
use crate::cases::Kind;

/// It refuses to be root: nobody, as Debian has it.
const NOBODY: u32 = 65534;

/// A folder for everything that the package keeps in several.
pub fn traffic_server(wanted: &Wanted) -> io::Result<Command> {
    let Wanted { case, endpoint, directory, .. } = wanted;
    let root = directory.join("root");
    let settings = root.join("etc");
    for folder in ["etc", "log", "run", "cache"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("runroot.yaml"), layout(&root))?;
    fs::write(settings.join("records.config"), records(wanted))?;
    fs::write(settings.join("remap.config"), format!("map / http://{endpoint}/\n"))?;
    fs::write(settings.join("storage.config"), format!("{} {}M\n", root.join("cache").display(), case.files()))?;
    fs::write(
        settings.join("ip_allow.yaml"),
        "ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n",
    )?;
    let mut command = Command::new("traffic_server");
    command.arg(format!("--run-root={}", root.join("runroot.yaml").display()));
    if rustix::process::geteuid().is_root() {
        for folder in ["log", "run", "cache"] {
            chown(root.join(folder), Some(NOBODY), Some(NOBODY))?;
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

fn layout(root: &Path) -> String {
    let root = root.display();
    format!(
        "\
prefix: {root}
exec_prefix: {root}
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: {root}/etc
datadir: {root}/cache
includedir: {root}
libdir: {root}
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {root}/run
runtimedir: {root}/run
logdir: {root}/log
cachedir: {root}/cache
"
    )
}

fn records(wanted: &Wanted) -> String {
    let Wanted { case, listen, .. } = wanted;
    // What is read from disk is not to be in memory.
    let memory = if case.kind == Kind::OnDisk { 0 } else { case.memory() << 20 };
    // It has room for so many, however small they are.
    let average = (case.download / 2).clamp(512, 8000);
    format!(
        "\
CONFIG proxy.config.http.server_ports STRING {}:ip-in={}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.cache.threads_per_disk INT 1
CONFIG proxy.config.exec_thread.affinity INT 0
CONFIG proxy.config.cache.ram_cache.size INT {memory}
CONFIG proxy.config.cache.min_average_object_size INT {average}
CONFIG proxy.config.cache.ram_cache_cutoff INT 16777216
CONFIG proxy.config.http.cache.http INT 1
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 75
CONFIG proxy.config.http.insert_response_via_str INT 0
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.diags.debug.enabled INT 0
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.url_remap.remap_required INT 1
",
        listen.port(),
        listen.ip()
    )
}
