//! Work that takes long, on a thread of its own: meanwhile the actors do theirs.

use std::{io, panic::resume_unwind, thread};

use tokio::sync::oneshot;

/// Does it there, and gives what comes of it. If it panics, so does whoever waits for it.
///
/// # Errors
/// There is no thread to be had.
pub async fn apart<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, made) = oneshot::channel();
    let thread = thread::Builder::new().name(name.into()).spawn(move || {
        // Nobody may be left to wait for it.
        let _unheard = tell.send(work());
    })?;
    match made.await {
        Ok(made) => Ok(made),
        Err(_) => resume_unwind(thread.join().expect_err("without a word it ends only in a panic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn what_is_made_apart_is_made_on_another_thread() {
        let made = apart("a-test", || thread::current().name().map(str::to_owned)).await;

        assert_eq!(made.expect("a thread").as_deref(), Some("a-test"));
    }

    #[actix_rt::test]
    async fn a_panic_is_told_to_who_waits() {
        let waiting = actix_rt::spawn(apart("a-test", || panic!("no")));

        assert!(waiting.await.expect_err("it panicked").is_panic());
    }
}
