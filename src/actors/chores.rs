//! What filters have to do that is on no request's way.

use std::{ptr, sync::Arc};

use super::{Aborting, supervise};
use crate::{filters::site::Chore, proxy::Proxy};

/// Does the chores of whichever plan is in force.
pub async fn do_all(proxy: Proxy) {
    let mut plans = proxy.plans();
    let mut begun: Vec<(Arc<dyn Chore>, Aborting)> = Vec::new();
    loop {
        plans.mark_unchanged();
        let plan = proxy.plan();
        let wanted: Vec<_> = plan.chores().cloned().collect();
        drop(plan);
        let is = |one: &Arc<dyn Chore>, other: &Arc<dyn Chore>| ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other));
        begun.retain(|(known, _)| wanted.iter().any(|chore| is(chore, known)));
        for chore in wanted {
            if !begun.iter().any(|(known, _)| is(&chore, known)) {
                let (name, work) = (chore.name(), Arc::clone(&chore));
                let task = actix_rt::spawn(supervise(name, move || Arc::clone(&work).work()));
                begun.push((chore, Aborting(task)));
            }
        }
        if plans.changed().await.is_err() {
            return;
        }
    }
}
