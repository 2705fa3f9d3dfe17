//! Counts of 64 bits on every machine.
//!
//! ARMv5, MIPS and 32-bit RISC-V exchange 32 bits at once and no more; there a lock of a few instructions stands in. A
//! count of 32 bits would not do: microseconds go round it in 72 minutes.

#[cfg(not(target_has_atomic = "64"))]
pub use portable_atomic::AtomicU64;
#[cfg(target_has_atomic = "64")]
pub use std::sync::atomic::AtomicU64;
