//! The number of channels of a layer.

/// The maximum number of channels of any layer, so that a damaged file cannot ask for all of the memory.
pub(crate) const MAX_CHANNELS: usize = 4096;

/// Returns the number of channels at `level` of a network, counted from 0: `base` doubled at each level, up to eight
/// times `base` (appendix 6.1).
pub(crate) fn channels_at(base: usize, level: usize) -> usize {
    base << level.min(3)
}
