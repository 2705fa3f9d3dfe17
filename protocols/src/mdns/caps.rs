//! How much a browser keeps.

/// How much a [`super::Browser`] keeps. At a cap it makes room and goes on; what is forgotten is not called gone, it
/// runs out in the catalog, and comes back when it is heard again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Instances in all. The sender with most loses its oldest.
    pub instances: usize,
    /// Instances of one type. The sender with most of them loses its oldest.
    pub instances_per_type: usize,
    /// Instances from one sender address. It loses its own oldest.
    pub instances_per_sender: usize,
    /// Bytes of names and TXT records in all. The sender with most instances loses its oldest.
    pub bytes: usize,
    /// Addresses of one host. The one heard longest ago goes.
    pub addresses_per_host: usize,
    /// Types browsed, and types remembered as advertised. Further ones are refused.
    pub types: usize,
    /// Bytes of one TXT record. The pairs beyond are cut off.
    pub txt_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            instances: 12_000,
            instances_per_type: 8_000,
            instances_per_sender: 8_000,
            bytes: 8 << 20,
            addresses_per_host: 8,
            types: 128,
            txt_bytes: super::txt::MAX_TXT,
        }
    }
}
