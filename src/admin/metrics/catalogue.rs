//! Every metric there is. docs/metrics.md says the same to operators, and a test that it does.

use super::{Kind, Metric};

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Counter }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Gauge }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Histogram }
}

macro_rules! catalogue {
    ($($name:ident = $metric:expr;)*) => {
        $(pub static $name: Metric = $metric;)*
        /// All of them.
        #[cfg(test)]
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

catalogue! {
    REQUESTS = counter("aqueduct_requests", "Requests that are over, by the class of the status of their answer");
    ERRORS = counter("aqueduct_errors", "Requests that went wrong, by the error type of RFC 9209");
    DURATION = histogram("aqueduct_request_duration_seconds", "From the head of a request to the last byte of its answer");
    FIRST_BYTE = histogram("aqueduct_first_byte_seconds", "From the head of a request to the head of an endpoint's answer");
    RECEIVED = counter("aqueduct_request_body_bytes", "Content that clients have sent");
    RECEIVED_SPLICED = counter("aqueduct_request_body_spliced_bytes", "Those of them that went from socket to socket without a copy");
    SENT = counter("aqueduct_response_body_bytes", "Content that clients were sent");
    SPLICED = counter("aqueduct_response_body_spliced_bytes", "Those of them that went from socket to socket without a copy");
    RETRIES = counter("aqueduct_retries", "Requests that were sent once more");
    ENDPOINT_UP = gauge("aqueduct_endpoint_up", "1 if the endpoint is well, 0 if it is ejected, on trial, drained or fails its checks");
    ENDPOINT_STATE = gauge("aqueduct_endpoint_state", "1, with how the endpoint is: well, warming, on_trial, ejected, fails_checks or drained");
    ENDPOINT_IN_FLIGHT = gauge("aqueduct_endpoint_requests_in_flight", "Requests under way at the endpoint");
    ENDPOINT_CONNECTIONS = gauge("aqueduct_endpoint_connections", "Connections to the endpoint that are open or being made");
    ENDPOINT_WAITING = gauge("aqueduct_endpoint_connection_waiters", "Requests that wait for a connection to the endpoint");
    ENDPOINT_LATENCY = gauge("aqueduct_endpoint_latency_seconds", "What the balancer takes for the endpoint's latency, where it looks at it");
    ENDPOINT_EJECTIONS = counter("aqueduct_endpoint_ejections", "How often the endpoint was ejected");
    UPSTREAM_FAILURES = counter("aqueduct_upstream_attempt_failures", "Attempts that failed, whether or not another one followed, by the error type of RFC 9209");
    RETRIES_REFUSED = counter("aqueduct_retries_refused", "Retries that the budget of the upstream did not allow");
    BREAKER_STATE = gauge("aqueduct_breaker_state", "1, with how the breaker of the upstream is: closed, open or half_open");
    BREAKER_OPENINGS = counter("aqueduct_breaker_openings", "How often the breaker of the upstream was opened");
    LIMIT = gauge("aqueduct_limit_requests", "How many requests the upstream may carry now; where that is found out, what was found");
    LIMIT_IN_FLIGHT = gauge("aqueduct_limit_requests_in_flight", "Requests under way that the limit of the upstream has let in");
    LIMIT_WAITING = gauge("aqueduct_limit_requests_waiting", "Requests that wait until the upstream may carry them");
    LIMIT_REFUSED = counter("aqueduct_limit_refused", "Requests that the limit of the upstream has turned away, by why");
    HEDGES_SENT = counter("aqueduct_hedges_sent", "Requests that a second endpoint was asked for as well");
    HEDGES_WON = counter("aqueduct_hedges_won", "Those of them that were answered by the second endpoint");
    COPIES_SENT = counter("aqueduct_mirror_copies_sent", "Copies of requests that the upstream was sent");
    COPIES_DROPPED = counter("aqueduct_mirror_copies_dropped", "Copies of requests that the upstream was to get, and did not");
    DISCOVERY_ENDPOINTS = gauge("aqueduct_discovery_endpoints", "Endpoints that were found for the upstream");
    DISCOVERY_FAILURES = counter("aqueduct_discovery_failures", "How often the endpoints of the upstream could not be found");
    DISCOVERY_SUCCESS = gauge("aqueduct_discovery_last_success_timestamp_seconds", "When the endpoints of the upstream were last found");
    LEFT_OUT = gauge("aqueduct_endpoints_left_out", "Endpoints beyond admin.max_series, of which nothing is told here");
    DRAINING = gauge("aqueduct_draining", "1 if clients are not taken in any more, and what is under way is finished");
    FILTER_EVENTS = counter("aqueduct_filter_events", "What happened to filters of a kind; `refused` are the requests that they turned back");
    CACHE_SIZE = gauge("aqueduct_cache_size_bytes", "How much a store of the cache may take");
    CACHE_BYTES = gauge("aqueduct_cache_bytes", "What it takes, heads and all that is kept beside bodies counted");
    CACHE_CODED = gauge("aqueduct_cache_coded_bytes", "What is kept besides of bodies in other codings, up to an eighth of its size");
    CACHE_TARGETS = gauge("aqueduct_cache_targets", "Of how many targets it has answers");
    CACHE_TIER_SIZE = gauge("aqueduct_cache_tier_size_bytes", "How much a tier of a store below memory may take");
    CACHE_TIER_BYTES = gauge("aqueduct_cache_tier_bytes", "What it takes");
    CACHE_TIER_TARGETS = gauge("aqueduct_cache_tier_targets", "Of how many targets it has answers, as far as it is known");
    CACHE_TIER_FOUND = counter("aqueduct_cache_tier_found", "How often an answer was found there");
    CACHE_TIER_STORED = counter("aqueduct_cache_tier_stored", "Answers that were put there");
    CACHE_TIER_DROPPED = counter("aqueduct_cache_tier_dropped", "What was not put or looked for there: it was too busy");
    CACHE_TIER_ERRORS = counter("aqueduct_cache_tier_errors", "How often it failed");
    CACHE_PURGED = counter("aqueduct_cache_purged", "Answers that were purged from it, softly or not");
    CONNECTIONS = gauge("aqueduct_connections", "Connections of clients that are open");
    ACCEPTED = counter("aqueduct_connections_accepted", "Connections of clients that were taken in");
    PARKED = counter("aqueduct_connections_parked", "Connections of clients that were parked, each as often as it was");
    REFUSED = counter("aqueduct_connections_refused", "Connections of clients that were turned away, by why");
    HANDSHAKES = counter("aqueduct_tls_handshakes", "Handshakes with clients, by what became of them");
    HTTP2_CONNECTIONS = counter("aqueduct_http2_connections", "Connections of clients that speak HTTP/2");
    HTTP2_RESETS = counter("aqueduct_http2_resets", "Requests over HTTP/2 that were reset, by whom");
    RELOADS = counter("aqueduct_reloads", "Attempts to put other settings in force, by what became of them");
    GENERATION = gauge("aqueduct_generation", "The number of the plan in force");
    LOG_DROPPED = counter("aqueduct_access_log_dropped_lines", "Lines of the access log in use that could not be written");
    CERTIFICATE_EXPIRY = gauge("aqueduct_certificate_expiry_timestamp_seconds", "When a certificate that is shown to clients expires");
    BUILD = gauge("aqueduct_build_info", "1, with the version of the program");
    START_TIME = gauge("process_start_time_seconds", "When the process began");
    CPU = counter("process_cpu_seconds", "Time that the process has spent on processors");
    MEMORY = gauge("process_resident_memory_bytes", "Memory that the process has in use");
    DESCRIPTORS = gauge("process_open_fds", "Open descriptors of the process");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a row of the table in docs/metrics.md begins.
    fn row(metric: &Metric) -> String {
        let (total, kind) = match metric.kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
            Kind::Histogram => ("", "histogram"),
        };
        format!("| `{}{total}` | {kind} | ", metric.name)
    }

    #[test]
    fn the_documentation_lists_what_there_is() {
        let told = include_str!("../../../docs/metrics.md");
        let rows: Vec<&str> = told.lines().filter(|line| line.starts_with("| `")).collect();

        for metric in ALL {
            let listed = rows.iter().filter(|listed| listed.starts_with(&row(metric))).count();
            assert_eq!(listed, 1, "docs/metrics.md should have one row that begins with: {}", row(metric));
        }
        assert_eq!(rows.len(), ALL.len(), "docs/metrics.md has rows of what is not there");
    }
}
