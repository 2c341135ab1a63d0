//! The end of a plan. To let go of a hundred thousand routes takes longer than clients should wait, and whoever does so last may be
//! a worker between two requests.

use std::{mem, thread};

use super::Plan;

/// With so many routes and upstreams it is done elsewhere; with fewer it takes less than that.
const MANY: usize = 1000;

impl Drop for Plan {
    fn drop(&mut self) {
        if self.routes.entries().len() + self.upstreams.len() < MANY {
            return;
        }
        let settings = (mem::take(&mut self.settings.routes), mem::take(&mut self.settings.upstreams));
        let drawn = (mem::take(&mut self.routes), mem::take(&mut self.upstreams), mem::take(&mut self.discoveries));
        let all = (settings, drawn, mem::take(&mut self.built));
        // Without a thread it is done here.
        let _done_elsewhere = thread::Builder::new().name("old-plan".into()).spawn(move || drop(all));
    }
}
