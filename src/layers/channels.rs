//! The number of channels of a layer.

/// The largest number of channels of a layer. It bounds the memory that a damaged file can ask for.
pub(crate) const MAX_CHANNELS: usize = 4096;

/// Returns the number of channels at `level` of a network, counted from 0: `base` doubled at each level, up to eight
/// times `base` (appendix 6.1).
pub(crate) fn channels_at(base: usize, level: usize) -> usize {
    base << level.min(3)
}
