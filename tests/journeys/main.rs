//! Journeys: what a user sees, through real sockets. One module a journey; `support` holds the scripted origin, the
//! raw client and the proxy under test.

mod support;

mod access_log;
mod acme;
mod admin;
mod affinity;
mod awc_transport;
mod breaker;
mod certificates;
mod client_certificates;
mod drain;
mod edge_answers;
mod edge_connections;
mod edge_requests;
mod edge_workers;
mod embedding;
mod endpoint_exchange;
mod endpoint_h2_connections;
mod endpoint_h2_exchange;
mod endpoint_h2_peers;
mod endpoint_h2_websocket;
mod errors;
mod grpc;
mod grpc_peers;
mod h2_connections;
mod h2_frames;
mod h2_requests;
mod hand_off;
mod health;
mod health_checks;
mod intake;
mod limits;
mod listeners;
mod passing;
mod pooling;
mod proxy_protocol;
mod proxy_protocol_out;
mod redirect_http;
mod reload;
mod routing;
mod service_manager;
mod split;
mod test_kit;
mod tls;
mod tunnels;
