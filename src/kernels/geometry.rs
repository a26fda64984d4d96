//! The geometry of a convolution, as a relation between a large and a small feature map.

/// Relates a large feature map `[N, C, H, W]` to a small one `[N, O, h, w]` through a weight `[O, C, kernel, kernel]`.
///
/// A convolution computes the small map from the large one. A transposed convolution, and the gradient of a
/// convolution, compute the large map from the small one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// `N`.
    pub(crate) images: usize,
    /// `[C, H, W]`.
    pub(crate) large: [usize; 3],
    /// `[O, h, w]`.
    pub(crate) small: [usize; 3],
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

#[cfg(feature = "_host")]
impl Geometry {
    /// Returns the number of values of one channel of the large map.
    pub(crate) fn large_plane(&self) -> usize {
        self.large[1] * self.large[2]
    }

    /// Returns the number of values of one channel of the small map.
    pub(crate) fn small_plane(&self) -> usize {
        self.small[1] * self.small[2]
    }

    /// Returns the number of values of the large map, all images together.
    pub(crate) fn large_len(&self) -> usize {
        self.images * self.large[0] * self.large_plane()
    }

    /// Returns the number of values of the small map, all images together.
    pub(crate) fn small_len(&self) -> usize {
        self.images * self.small[0] * self.small_plane()
    }

    /// Returns the number of values of the weight.
    pub(crate) fn weight_len(&self) -> usize {
        self.small[0] * self.patch()
    }

    /// Returns the number of values of the large map that one value of the small map depends on.
    pub(crate) fn patch(&self) -> usize {
        self.large[0] * self.kernel * self.kernel
    }
}
