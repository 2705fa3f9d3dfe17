//! The edges: sockets and sessions. Each knows the inbox and its own queue of orders, and nothing else.

pub mod probe;
