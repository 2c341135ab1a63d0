//! What several processes share, checked.

use indexmap::IndexMap;

use crate::{
    filters::rate_limit,
    settings::{Problem, StoreSettings},
};

/// Says everything that is wrong with them. Whether anybody is there is found out later: nothing waits for it.
pub fn check(stores: &IndexMap<String, StoreSettings>, problems: &mut Vec<Problem>) {
    for (name, store) in stores {
        if !super::upstreams::can_be_named(name) {
            let what = "its name must be such that an environment variable can name it";
            problems.push(Problem::at(["stores", name], what).help("lower-case letters, digits and `_`"));
        }
        if let Err((key, what)) = rate_limit::check_store(store) {
            let help = if key == "ca" {
                "a file of certificates in PEM, of a server at rediss://"
            } else {
                "redis://HOST:PORT/DB, rediss://HOST:PORT/DB or redis+unix:PATH"
            };
            let problem = Problem::at(["stores", name, "redis", key], what).help(help);
            problems.push(if key == "url" { problem.hide_value() } else { problem });
        }
        if store.redis.timeout.0.is_none_or(|time| time.is_zero()) {
            let what = "nobody can be waited for like that";
            problems.push(Problem::at(["stores", name, "redis", "timeout"], what).help("a time such as \"250ms\""));
        }
    }
}
