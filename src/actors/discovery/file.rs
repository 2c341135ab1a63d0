//! Endpoints that a file names, read again whenever there is something else in it.

use std::path::Path;

use super::Search;
use crate::actors::FileWatch;

/// As long as this is polled. While the file is gone or wrong, what was read from it holds.
pub async fn read_again_and_again(path: &Path, search: &Search) {
    let mut watch = FileWatch::before_reading(vec![path.to_owned()]).wherever_it_will_be();
    loop {
        watch.are_read();
        match search.discovery.read_file() {
            Ok(change) => {
                search.tell(change);
                search.succeeded();
            }
            Err(why) => search.failed_again(&why, &why.render()),
        }
        watch.changed().await;
    }
}
