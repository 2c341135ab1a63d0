//! Where something is kept, checked.

use indexmap::IndexMap;

use crate::{
    filters::rate_limit,
    settings::{Problem, RedisSettings, Size, StoreSettings},
};

mod folders;

/// Says everything that is wrong with them. Whether anybody is there is found out later: nothing waits for it.
pub fn check(stores: &IndexMap<String, StoreSettings>, problems: &mut Vec<Problem>) {
    for (name, store) in stores {
        if !super::upstreams::can_be_named(name) {
            let what = "its name must be such that an environment variable can name it";
            problems.push(Problem::at(["stores", name], what).help("lower-case letters, digits and `_`"));
        }
        if let Some(memory) = store.memory.filter(|memory| memory.size < SMALLEST) {
            let what = format!("too little to keep anything: {}", memory.size);
            let problem = Problem::at(["stores", name, "memory", "size"], what);
            problems.push(problem.help(format!("{SMALLEST} at least")));
        }
        if let Some(redis) = &store.redis {
            check_redis(name, redis, problems);
            if store.disk.is_some() {
                // Who starts may have missed any purge, and would have to drop all that is on disk.
                let what = "what is on disk cannot know what others have purged while this process was away";
                let problem = Problem::at(["stores", name, "disk"], what);
                problems.push(problem.help("`redis` with `memory`, or `disk` in a store of its own"));
            }
        } else if store.memory.is_none() && store.disk.is_none() {
            let problem = Problem::at(["stores", name], "nothing can be kept there");
            problems.push(problem.help("memory = { size = \"256MiB\" } for answers, redis = { url = .. } for limits"));
        }
    }
    folders::check(stores, problems);
}

/// Less is not worth its books.
const SMALLEST: Size = Size::mib(1);

/// A Redis is for small answers: each goes there and comes back in one piece.
const LARGEST: Size = Size::mib(1);

fn check_redis(name: &str, redis: &RedisSettings, problems: &mut Vec<Problem>) {
    if let Err((key, what)) = rate_limit::check_store(redis) {
        let help = if key == "ca" {
            "a file of certificates in PEM, of a server at rediss://"
        } else {
            "redis://HOST:PORT/DB, rediss://HOST:PORT/DB or redis+unix:PATH"
        };
        let problem = Problem::at(["stores", name, "redis", key], what).help(help);
        problems.push(if key == "url" { problem.hide_value() } else { problem });
    }
    if redis.max_object == Size(0) || redis.max_object > LARGEST {
        let what = format!("it is not from 1B to {LARGEST}");
        problems.push(Problem::at(["stores", name, "redis", "max_object"], what).help("\"64KiB\" without it"));
    }
    if redis.timeout.0.is_none_or(|time| time.is_zero()) {
        let what = "nobody can be waited for like that";
        problems.push(Problem::at(["stores", name, "redis", "timeout"], what).help("a time such as \"250ms\""));
    }
}

#[cfg(test)]
mod tests {
    use crate::{kinds::Kinds, plan::Plan, settings::Layers};

    #[test]
    fn of_a_store_that_has_other_settings_now_the_one_in_force_is_told_though_somebody_holds_the_other() {
        let plan = |size: &str, before: Option<&Plan>| {
            let text = format!(
                "stores.pages.memory.size = \"{size}\"\n[routes]\n\"/\" = {{ to = \"http://a\", cache = {{ store = \"pages\", max_object = \"1KiB\" }} }}\n"
            );
            let settings = Layers::new().text("a.toml", &text).load().expect("good settings").settings;
            Plan::draw(settings, &Kinds::built_in(), before).expect("a good plan")
        };
        for (first, second) in [("1MiB", "2MiB"), ("2MiB", "1MiB")] {
            let before = plan(first, None);

            let after = plan(second, Some(&before));

            let sizes: Vec<_> = after.stores().iter().map(|store| store.memory.size()).collect();
            assert_eq!((after.shelves().len(), sizes.len()), (2, 1));
            assert_eq!(Some(sizes[0]), after.settings.stores["pages"].memory.map(|memory| memory.size.0));
        }
    }
}
