//! What filters have to do that is on no request's way.

use std::{collections::HashMap, sync::Arc};

use super::{Aborting, supervise};
use crate::{filters::site::Chore, proxy::Proxy};

/// Does the chores of whichever plan is in force.
pub async fn do_all(proxy: Proxy) {
    let mut plans = proxy.plans();
    let mut begun: HashMap<usize, (Arc<dyn Chore>, Aborting)> = HashMap::new();
    loop {
        plans.mark_unchanged();
        let plan = proxy.plan();
        // By where it lies in memory, where it stays as long as it is held.
        let wanted: HashMap<_, _> = plan.chores().map(|chore| (Arc::as_ptr(chore).addr(), Arc::clone(chore))).collect();
        drop(plan);
        begun.retain(|at, _| wanted.contains_key(at));
        for (at, chore) in wanted {
            begun.entry(at).or_insert_with(|| {
                let (name, work) = (chore.name(), Arc::clone(&chore));
                (chore, Aborting(actix_rt::spawn(supervise(name, move || Arc::clone(&work).work()))))
            });
        }
        if plans.changed().await.is_err() {
            return;
        }
    }
}
