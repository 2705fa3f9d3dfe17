//! Multicast DNS (RFC 6762) and DNS-SD (RFC 6763).
