//! Which of several shards holds what: weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer
//! and Schomaker 2005). Every agent comes to the same owners from the same list, without asking anybody, and when the list
//! changes only what has to move does.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// One shard of a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Shard {
    /// Its lasting name: what it owns follows from it.
    pub name: Box<str>,
    /// How much it takes, against the others; 0 takes nothing.
    pub weight: f64,
}

/// How many shards own a thing.
pub const OWNERS: usize = 3;

/// Which of `shards` own `key` (a service name, or a cell), by their place in the list, the first owner first.
pub fn owners(key: &str, shards: &[Shard]) -> Vec<usize> {
    let mut scores: Vec<(f64, usize)> = shards
        .iter()
        .enumerate()
        .filter(|(_, shard)| shard.weight > 0.0 && shard.weight.is_finite())
        .map(|(place, shard)| (score(key, shard), place))
        .collect();
    // Higher is better; shards that tie are told apart by name, not by their place in somebody's list.
    scores.sort_by(|(a, at), (b, other)| b.total_cmp(a).then_with(|| shards[*at].name.cmp(&shards[*other].name)));
    scores.into_iter().take(OWNERS).map(|(_, place)| place).collect()
}

/// SipHash-2-4 under a fixed key, over parts that cannot run into each other: the same on every machine, for ever.
pub fn hash(parts: &[&[u8]]) -> u64 {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    siphash(KEY, &bytes)
}

/// `-weight / ln(h)` with h in (0, 1): the shard whose exponential clock rings first.
fn score(key: &str, shard: &Shard) -> f64 {
    let hash = hash(&[key.as_bytes(), shard.name.as_bytes()]);
    // 53 bits are what an f64 holds; the half keeps it from 0 and 1.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -shard.weight / libm::log(uniform)
}

/// SipHash-2-4 (Aumasson and Bernstein 2012).
fn siphash((k0, k1): (u64, u64), bytes: &[u8]) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        absorb(&mut v, word);
    }
    let rest = chunks.remainder().iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    absorb(&mut v, rest | (bytes.len() as u64) << 56);
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// ` wayside` and `lacement`, in ASCII, little end first.
const KEY: (u64, u64) = (0x6564_6973_7961_7720, 0x746e_656d_6563_616c);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    fn shards(weights: &[f64]) -> Vec<Shard> {
        weights
            .iter()
            .enumerate()
            .map(|(n, weight)| Shard { name: format!("shard-{n}").into(), weight: *weight })
            .collect()
    }

    fn keys() -> impl Iterator<Item = String> {
        (0..20_000).map(|n| format!("service-{n}"))
    }

    #[test]
    fn siphash_is_that_of_the_paper() {
        // Appendix A: key 00 01 .. 0f, message 00 01 .. 0e.
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(siphash((0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908), &message), 0xa129_ca61_49be_45e5);
        assert_eq!(siphash((0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908), &[]), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn every_implementation_comes_to_these_owners() {
        let vectors: Vec<&str> =
            include_str!("../../vectors/placement.txt").lines().filter(|line| !line.starts_with('#')).collect();
        assert!(vectors.len() >= 8);
        for line in vectors {
            let [key, weights, owned] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let weights: Vec<f64> = weights.split(',').map(|weight| weight.parse().unwrap()).collect();
            let owned: Vec<usize> = owned.split(',').map(|owner| owner.parse().unwrap()).collect();
            assert_eq!(owners(key, &shards(&weights)), owned, "{line}");
        }
    }

    #[test]
    fn each_shard_owns_what_its_weight_says() {
        let shards = shards(&[1.0, 1.0, 2.0, 0.0, 4.0]);
        let mut first = vec![0_u32; shards.len()];
        keys().for_each(|key| first[owners(&key, &shards)[0]] += 1);
        let shares: Vec<f64> = first.iter().map(|n| f64::from(*n) / 20_000.0).collect();
        for (share, weight) in shares.iter().zip([1.0, 1.0, 2.0, 0.0, 4.0]) {
            assert!((share - weight / 8.0).abs() < 0.01, "{shares:?}");
        }
    }

    #[test]
    fn only_what_a_shard_owned_moves_when_it_goes() {
        let before = shards(&[1.0; 16]);
        let after: Vec<Shard> = before.iter().filter(|shard| &*shard.name != "shard-5").cloned().collect();
        let named = |shards: &[Shard], key: &str| -> Vec<Box<str>> {
            owners(key, shards).into_iter().map(|place| shards[place].name.clone()).collect()
        };
        let mut moved = 0;
        for key in keys() {
            let (old, new) = (named(&before, &key), named(&after, &key));
            let kept: Vec<&Box<str>> = old.iter().filter(|name| &***name != "shard-5").collect();
            assert!(kept.iter().all(|name| new.contains(name)), "{key}: {old:?} {new:?}");
            moved += u32::from(old[0] != new[0]);
        }
        let share = f64::from(moved) / 20_000.0;
        assert!((share - 1.0 / 16.0).abs() < 0.01, "{share}");
    }
}
