//! The shape of a convolution between a large and a small feature map.

/// How a large feature map `[N, C, H, W]` and a small one `[N, O, h, w]` belong together through a weight
/// `[O, C, kernel, kernel]`.
///
/// A convolution goes from the large map to the small one; a transposed convolution, and the gradient of a
/// convolution, go from the small map to the large one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(in crate::kernels) pictures: usize,
    /// `[C, H, W]`.
    pub(in crate::kernels) large: [usize; 3],
    /// `[O, h, w]`.
    pub(in crate::kernels) small: [usize; 3],
    pub(in crate::kernels) kernel: usize,
    pub(in crate::kernels) stride: usize,
    pub(in crate::kernels) padding: usize,
}

impl Geometry {
    /// Elements of one channel of the large map.
    pub(in crate::kernels) fn large_plane(&self) -> usize {
        self.large[1] * self.large[2]
    }

    /// Elements of one channel of the small map.
    pub(in crate::kernels) fn small_plane(&self) -> usize {
        self.small[1] * self.small[2]
    }

    /// Elements of all pictures of the large map.
    pub(in crate::kernels) fn large_len(&self) -> usize {
        self.pictures * self.large[0] * self.large_plane()
    }

    /// Elements of all pictures of the small map.
    pub(in crate::kernels) fn small_len(&self) -> usize {
        self.pictures * self.small[0] * self.small_plane()
    }

    /// Elements of the weight.
    pub(in crate::kernels) fn weight_len(&self) -> usize {
        self.small[0] * self.patch()
    }

    /// Values of the large map that one value of the small map sees.
    pub(in crate::kernels) fn patch(&self) -> usize {
        self.large[0] * self.kernel * self.kernel
    }
}
