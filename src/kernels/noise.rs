//! The noise of dropout as a function of positions.

/// Which values of a map dropout keeps: the same on every device, since it is a function of a ChaCha8 stream and the
/// position of the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// The key of the stream, as little-endian words.
    pub(crate) key: [u32; 8],
    /// The number of the stream.
    pub(crate) stream: u32,
    /// A value is dropped if its number of the stream, of 64 bits, is below this.
    pub(crate) threshold: u64,
    /// The factor of the values that are kept.
    pub(crate) scale: f32,
    /// The first row and column of the map in a larger one.
    pub(crate) start: [usize; 2],
    /// The height and width of the larger map.
    pub(crate) whole: [usize; 2],
}
