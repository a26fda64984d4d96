//! The shape of a convolution between a large and a small feature map.

/// How a large feature map `[N, C, H, W]` and a small one `[N, O, h, w]` belong together through a weight
/// `[O, C, kernel, kernel]`.
///
/// A convolution goes from the large map to the small one; a transposed convolution, and the gradient of a
/// convolution, go from the small map to the large one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(super) pictures: usize,
    /// `[C, H, W]`.
    pub(super) large: [usize; 3],
    /// `[O, h, w]`.
    pub(super) small: [usize; 3],
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Geometry {
    /// Elements of one channel of the large map.
    pub(super) fn large_plane(&self) -> usize {
        self.large[1] * self.large[2]
    }

    /// Elements of one channel of the small map.
    pub(super) fn small_plane(&self) -> usize {
        self.small[1] * self.small[2]
    }

    /// Elements of all pictures of the large map.
    pub(super) fn large_len(&self) -> usize {
        self.pictures * self.large[0] * self.large_plane()
    }

    /// Elements of all pictures of the small map.
    pub(super) fn small_len(&self) -> usize {
        self.pictures * self.small[0] * self.small_plane()
    }

    /// Elements of the weight.
    pub(super) fn weight_len(&self) -> usize {
        self.small[0] * self.patch()
    }

    /// Values of the large map that one value of the small map sees.
    pub(super) fn patch(&self) -> usize {
        self.large[0] * self.kernel * self.kernel
    }
}
