//! What a browser counted.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a [`super::Browser`] counted since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Counters {
            /// Every count with its name, `mdns_{name}_total`.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((concat!("mdns_", stringify!($name), "_total"), self.$name)),+].into_iter()
            }
        }
    };
}

counters! {
    /// Responses believed enough to be read.
    responses,
    /// Queries sent.
    queries,
    /// Responses that did not come from port 5353 (RFC 6762 section 6).
    refused_port,
    /// Responses from a sender that is not on the link (RFC 6762 section 11).
    refused_off_link,
    /// Responses that were not sent to the multicast group: none was asked for.
    refused_unicast,
    /// Messages whose header or questions cannot be read.
    malformed_packet,
    /// Records that cannot be read or make no sense, skipped alone.
    malformed_record,
    /// Records about instances and hosts that nothing of interest points to.
    orphans,
    /// Instances and addresses forgotten to make room.
    evicted,
    /// Types that were not taken up because there are as many as allowed.
    refused_types,
    /// TXT records cut at the limit.
    oversized_txt,
    /// TXT pairs left out: too many, too long, not UTF-8, or a key that is none.
    dropped_pairs,
    /// TXT values of known keys that make no sense, e.g. a latitude of 91.
    invalid_values,
    /// Times that two instances said they are the same service; the later is believed.
    contested,
    /// Queries not sent because somebody else had just asked the same (RFC 6762 section 7.3).
    suppressed_queries,
}
