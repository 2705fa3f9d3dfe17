//! What the tests stand on: hosts on a link, real daemons, the built agent, and waiting with a deadline.
//!
//! A test names its conditions and how long each may take ([`wait::eventually`]); nothing here or in a test waits for a
//! fixed time and hopes. What a test started ends with it: a [`daemon::Daemon`] is killed by its pid and a [`net::Net`]
//! takes its namespaces with it when they are dropped, also when the test fails.

pub mod authority;
pub mod broker;
pub mod daemon;
pub mod etcd;
pub mod figure;
pub mod fuzz;
pub mod fuzz_devices;
pub mod fuzz_modbus;
pub mod http;
pub mod mdns;
pub mod nats;
pub mod net;
pub mod place;
pub mod plant;
pub mod publisher;
pub mod street;
pub mod wait;
pub mod wayside;
pub mod world;
