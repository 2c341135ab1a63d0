//! Varnish with its memory for a store, and threads enough for every client.

use std::process::Command;

use super::Wanted;

/// Says nothing of requests that are answered from the store, which costs, and nobody here listens; others write no log either.
const UNSAID: &str = "vsl_mask=-Begin,-End,-Link,-Timestamp,-SessOpen,-SessClose,-ReqStart,-ReqMethod,-ReqURL,\
    -ReqProtocol,-ReqHeader,-ReqUnset,-ReqAcct,-VCL_call,-VCL_return,-Hit,-RespProtocol,-RespStatus,-RespReason,\
    -RespHeader,-Filters";

pub fn varnish(wanted: &Wanted) -> Command {
    let Wanted { case, listen, endpoint, directory, .. } = wanted;
    let mut command = Command::new("varnishd");
    command.args(["-F", "-j", "none", "-p", "thread_pools=1", "-p", "thread_pool_min=200"]);
    command.arg("-s").arg(format!("malloc,{}m", case.memory()));
    command.args(["-p", UNSAID]);
    command.arg("-n").arg(directory.join("work"));
    command.arg("-a").arg(listen.to_string()).arg("-b").arg(endpoint.to_string());
    command
}
