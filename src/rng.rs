//! Random numbers as pure functions of a seed and a position. This file lists all domains of a run's seed.

use std::hash::{BuildHasher, Hasher};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Domain of the order of pairs in an epoch.
pub(crate) const ORDER: u64 = u64::from_be_bytes(*b"\0\0\0order");

/// Domain of the random crop and mirroring of a pair.
pub(crate) const JITTER: u64 = u64::from_be_bytes(*b"\0\0jitter");

/// Domain of the rotation, scaling and warping of a pair.
pub(crate) const AUGMENT: u64 = u64::from_be_bytes(*b"\0augment");

/// Domain of the augmentation of what the discriminator sees, and of its noise.
pub(crate) const VIEW: u64 = u64::from_be_bytes(*b"\0\0\0\0view");
/// Domain of the noise of a generator without an input image.
pub(crate) const NOISE: u64 = u64::from_be_bytes(*b"\0\0\0noise");

/// Domain of the discriminator's initial weights.
const DISCRIMINATOR: u64 = u64::from_be_bytes(*b"\0discrim");

/// Returns the generator of random numbers for (`seed`, `stream`): streams are independent, and the same on every
/// machine.
pub(crate) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Returns the seeds of the initial weights of the generator and of the discriminator in a run with `seed`.
pub(crate) fn network_seeds(seed: u64) -> [u64; 2] {
    [seed, seed ^ DISCRIMINATOR]
}

/// Returns a seed that differs at every call.
pub(crate) fn fresh_seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::RngExt;

    use super::*;

    #[test]
    fn the_networks_of_runs_with_successive_seeds_draw_from_distinct_streams() {
        let seeds = (0..8).flat_map(network_seeds);
        let beginnings: HashSet<u64> = seeds.map(|seed| stream(seed, 0).random::<u64>()).collect();
        assert_eq!(beginnings.len(), 16);
    }

    #[test]
    fn domains_are_distinct_and_leave_the_streams_of_small_seeds_apart() {
        let domains = [0, ORDER, JITTER, AUGMENT, VIEW, NOISE, DISCRIMINATOR];
        let seeds: HashSet<u64> =
            domains.into_iter().flat_map(|domain| (0..1 << 16).map(move |seed| seed ^ domain)).collect();
        assert_eq!(seeds.len(), domains.len() << 16);
    }

    #[test]
    fn the_domains_of_data_have_the_values_of_earlier_versions() {
        // A run of an earlier version resumes with the same order and the same crops.
        assert_eq!((ORDER, JITTER), (0x006f_7264_6572, 0x6a69_7474_6572));
    }
}
