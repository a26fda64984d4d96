//! The size of a network before it is created.

/// The numbers of weights of a network's convolutions, and of values in the maps that they return.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Footprint {
    pub(crate) weights: u128,
    /// The values of all maps of one image, which training keeps for its second half.
    pub(crate) maps: u128,
    /// The values of the largest map.
    pub(crate) largest: u128,
}

impl Footprint {
    /// Adds a convolution with a square kernel, which returns a map of this size.
    pub(crate) fn add(&mut self, [input, output, kernel]: [usize; 3], [height, width]: [usize; 2]) {
        let [input, output, kernel, height, width] =
            [input, output, kernel, height, width].map(|count| count as u128);
        self.weights += input * output * kernel * kernel;
        let map = output * height * width;
        self.maps += map;
        self.largest = self.largest.max(map);
    }
}
