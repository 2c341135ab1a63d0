//! `[server.http.h2]`: limits that would leave a client no way to speak HTTP/2 are told.

use crate::settings::{Problem, server::Http2Limits};

/// What every connection needs for itself: settings, windows, and whether the other side is there.
const LEAST_CONTROL_FRAMES: u32 = 100;

/// Looks for limits that no client could keep.
pub fn check(limits: &Http2Limits, problems: &mut Vec<Problem>) {
    let mut tell = |key: &str, what: String, help: String| {
        problems.push(Problem::at(["server", "http", "h2", key], what).help(help));
    };
    for (key, value) in [("max_streams", limits.max_streams), ("max_resets_per_minute", limits.max_resets_per_minute)] {
        if value == 0 {
            tell(
                key,
                "no connection could be used".into(),
                "a limit above 0; `h2 = false` at a listener turns HTTP/2 off".into(),
            );
        }
    }
    if limits.max_streams > Http2Limits::MOST_STREAMS {
        let help = format!("{} or fewer", Http2Limits::MOST_STREAMS);
        tell("max_streams", "more requests than a connection can look after".into(), help);
    }
    if limits.max_control_frames_per_minute < LEAST_CONTROL_FRAMES {
        let help = format!("{LEAST_CONTROL_FRAMES} or more");
        tell("max_control_frames_per_minute", "fewer than clients need who do nothing wrong".into(), help);
    }
    for (key, window) in [("stream_window", limits.stream_window), ("connection_window", limits.connection_window)] {
        if !(Http2Limits::LEAST_WINDOW..=Http2Limits::MOST_WINDOW).contains(&window.0) {
            tell(key, format!("`{window}` is no window of HTTP/2"), "from \"64KiB\" to \"2047MiB\"".into());
        }
    }
}
