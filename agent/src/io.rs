//! The edges: sockets and sessions. Each knows the inbox and its own queue of orders, and nothing else.

mod backoff;
pub mod broker;
pub mod bus;
mod changes;
pub mod engine;
pub mod envoy;
pub mod gnss;
pub mod homeassistant;
pub mod inquire;
pub mod interfaces;
pub mod link;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod probe;
pub mod responder;
mod secret;
#[cfg(feature = "tls")]
pub mod tls;
pub mod upstream;
mod web;
