//! Convolutions, transposed convolutions and their gradients as matrix products.

use std::slice::from_ref;

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::ops::numeric::add;
use burn_cubecl::tensor::CubeTensor;

use super::columns::{Patches, Target, col2im, im2col};
use super::product::{pieces, product, product_of_rows};
use super::strips::{Strip, strips};
use super::tensor::{buffer, empty, reshaped, tensor, view};
use crate::kernels::activation::Activation;
use crate::kernels::autodiff::{Call, Convolve, ConvolveGradients};
use crate::kernels::geometry::Geometry;
use crate::kernels::options::Options;

/// The most bytes of a matrix of patches. More would cost memory and gain no speed.
const MAX_BYTES: u64 = 1 << 28;

impl Convolve for Cube {
    fn down(
        large: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self> {
        let large = buffer(large);
        tensor(Convolution::new(geometry, options.activation, &large).down(&large, &buffer(weight)))
    }

    fn up(
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self> {
        let parts = [buffer(small)];
        tensor(Convolution::new(geometry, options.activation, &parts[0]).up(&parts, &buffer(weight)))
    }

    fn up_with_skip(
        skip: FloatTensor<Self>,
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self> {
        let parts = [buffer(skip), buffer(small)];
        tensor(Convolution::new(geometry, options.activation, &parts[0]).up(&parts, &buffer(weight)))
    }
}

impl ConvolveGradients for Cube {
    fn down_backward(
        large: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        call: Call,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        let [large, weight, gradient] = [large, weight, output_gradient].map(buffer);
        let convolution = Convolution::new(call.geometry, call.activation, &large);
        convolution.down_backward(&large, &weight, &gradient, wanted).map(|gradient| gradient.map(tensor))
    }

    fn up_backward(
        parts: Vec<FloatTensor<Self>>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        call: Call,
        wanted: &[bool],
    ) -> Vec<Option<FloatTensor<Self>>> {
        let parts: Vec<CubeTensor> = parts.into_iter().map(buffer).collect();
        let convolution = Convolution::new(call.geometry, call.activation, &parts[0]);
        let gradients = convolution.up_backward(&parts, &buffer(weight), &buffer(output_gradient), wanted);
        gradients.into_iter().map(|gradient| gradient.map(tensor)).collect()
    }
}

/// A convolution between a large and a small map, and how much of it is computed at once.
struct Convolution {
    g: Geometry,
    /// The factor of negative values in the map that is activated as it is read.
    slope: f32,
    /// The most bytes of a buffer.
    max_bytes: u64,
}

impl Convolution {
    /// Respects the largest buffer of the device of `like`.
    fn new(g: Geometry, activation: Activation, like: &CubeTensor) -> Self {
        let max_bytes = like.client.properties().memory.max_page_size.min(MAX_BYTES);
        #[cfg(test)]
        let max_bytes = limit::of_this_thread().unwrap_or(max_bytes);
        Self { g, slope: activation.slope(), max_bytes }
    }

    /// Returns the small map, `[N, O, h, w]`.
    fn down(&self, large: &CubeTensor, weight: &CubeTensor) -> CubeTensor {
        let mut small = Parts::new(large, &self.g, &[self.g.small[0]]);
        for strip in self.small_strips() {
            let patches = columns(from_ref(large), &self.large(), &strip, self.slope);
            small.write(product(self.weight_rows(weight), patches), &strip, &[None]);
        }
        small.into_maps().remove(0)
    }

    /// Returns the large map, `[N, C, H, W]`, from the `parts` of the small one, whose channels are concatenated.
    fn up(&self, parts: &[CubeTensor], weight: &CubeTensor) -> CubeTensor {
        self.up_from(parts, self.slope, weight, None)
    }

    /// Returns the gradients of the large map and of the weight.
    fn down_backward(
        &self,
        large: &CubeTensor,
        weight: &CubeTensor,
        gradient: &CubeTensor,
        [large_wanted, weight_wanted]: [bool; 2],
    ) -> [Option<CubeTensor>; 2] {
        let gradients = from_ref(gradient);
        let large_gradient =
            large_wanted.then(|| self.up_from(gradients, 1.0, weight, Some((large, self.slope))));
        let mut weight_gradient = None;
        for strip in weight_wanted.then(|| self.small_strips()).into_iter().flatten() {
            let product = self.weight_gradient(large, self.slope, gradients, 1.0, &strip);
            weight_gradient = sum(weight_gradient, product);
        }
        [large_gradient, weight_gradient.map(|gradient| self.as_weight(gradient))]
    }

    /// Returns the gradients of the parts of the small map, then of the weight.
    fn up_backward(
        &self,
        parts: &[CubeTensor],
        weight: &CubeTensor,
        gradient: &CubeTensor,
        wanted: &[bool],
    ) -> Vec<Option<CubeTensor>> {
        let (weight_wanted, parts_wanted) = (wanted[parts.len()], &wanted[..parts.len()]);
        let channels: Vec<usize> = parts.iter().map(|part| part.meta.shape()[1]).collect();
        let activated: Vec<_> = parts.iter().map(|part| Some((part, self.slope))).collect();
        let mut part_gradients = Parts::new(gradient, &self.g, &channels);
        let mut weight_gradient = None;
        for strip in self.small_strips() {
            if weight_wanted {
                let product = self.weight_gradient(gradient, 1.0, parts, self.slope, &strip);
                weight_gradient = sum(weight_gradient, product);
            }
            if parts_wanted.contains(&true) {
                let patches = columns(from_ref(gradient), &self.large(), &strip, 1.0);
                part_gradients.write(product(self.weight_rows(weight), patches), &strip, &activated);
            }
        }
        let maps = if parts_wanted.contains(&true) { part_gradients.into_maps() } else { vec![] };
        let mut gradients: Vec<_> = parts_wanted.iter().map(|_| None).collect();
        for (index, map) in maps.into_iter().enumerate() {
            gradients[index] = parts_wanted[index].then_some(map);
        }
        gradients.push(weight_gradient.map(|gradient| self.as_weight(gradient)));
        gradients
    }

    /// Returns the part of the weight's gradient that comes from a strip of the small map, `[O, C · kernel²]`.
    fn weight_gradient(
        &self,
        large: &CubeTensor,
        large_slope: f32,
        small: &[CubeTensor],
        small_slope: f32,
        strip: &Strip,
    ) -> CubeTensor {
        let ([outputs, _, width], rows) = (self.g.small, self.large().rows());
        let pieces = pieces(outputs * rows, strip.columns(width));
        let patches = im2col(from_ref(large), &self.large(), strip, large_slope, pieces);
        let pixels = self.small(outputs);
        let small = match small {
            [map] if pieces == 1 && small_slope == 1.0 && is_matrix(&pixels, strip) => {
                reshaped(map.clone(), [1, outputs, strip.columns(width)])
            }
            _ => im2col(small, &pixels, strip, small_slope, pieces),
        };
        product_of_rows(small, patches)
    }

    /// Returns the large map of a small one that is activated with `slope`. With a map and the slope of its activation,
    /// it is the gradient of that activation's input.
    fn up_from(
        &self,
        parts: &[CubeTensor],
        slope: f32,
        weight: &CubeTensor,
        activated: Option<(&CubeTensor, f32)>,
    ) -> CubeTensor {
        let Geometry { images, large: [channels, height, width], .. } = self.g;
        let [rows, depth] = [self.large().rows(), self.g.small[0]];
        let map = empty(weight, [images, channels, height, width]);
        for target in self.large_strips() {
            let source = Strip { rows: self.small_rows(&target), images: target.images.clone() };
            let small = columns(parts, &self.small(depth), &source, slope);
            let transposed = view(weight.clone(), [rows, depth], [1, rows]);
            let target = Target { map: &map, strip: &target, activated };
            col2im(&product(transposed, small), &self.large(), &source, 0, target);
        }
        map
    }

    /// Returns the patches of the large map.
    fn large(&self) -> Patches {
        let Geometry { images, large: [channels, height, width], kernel, stride, padding, .. } = self.g;
        Patches { images, channels, height, width, kernel, stride, padding, small: self.small_size() }
    }

    /// Returns `channels` channels of the small map as patches of one pixel.
    fn small(&self, channels: usize) -> Patches {
        pixels(&self.g, channels)
    }

    fn small_size(&self) -> [usize; 2] {
        [self.g.small[1], self.g.small[2]]
    }

    /// Returns the weight as `[O, C · kernel²]`.
    fn weight_rows(&self, weight: &CubeTensor) -> CubeTensor {
        reshaped(weight.clone(), [self.g.small[0], self.large().rows()])
    }

    /// Returns `[O, C · kernel²]` in the shape of a weight.
    fn as_weight(&self, gradient: CubeTensor) -> CubeTensor {
        let Geometry { small, large, kernel, .. } = self.g;
        reshaped(gradient, [small[0], large[0], kernel, kernel])
    }

    /// Returns the most rows of the small map whose matrices fit into a buffer.
    fn max_rows(&self) -> usize {
        let values = self.large().rows().max(self.g.small[0]) * self.g.small[2];
        (self.max_bytes as usize / size_of::<f32>() / values).max(1)
    }

    fn small_strips(&self) -> Vec<Strip> {
        strips(self.g.images, self.g.small[1], self.max_rows())
    }

    fn large_strips(&self) -> Vec<Strip> {
        let Geometry { images, kernel, stride, .. } = self.g;
        let [max_rows, small, large] = [self.max_rows(), self.g.small[1], self.g.large[1]];
        if max_rows >= small {
            return strips(images, large, max_rows / small * large);
        }
        // A strip also needs the rows of the small map whose patches begin above it.
        strips(images, large, max_rows.saturating_sub(kernel.div_ceil(stride)).max(1) * stride)
    }

    /// Returns the rows of the small map whose patches reach a strip of the large one.
    fn small_rows(&self, target: &Strip) -> std::ops::Range<usize> {
        let Geometry { kernel, stride, padding, .. } = self.g;
        let height = self.g.small[1];
        let first = (target.rows.start + padding).checked_sub(kernel).map_or(0, |above| above / stride + 1);
        let end = ((target.rows.end - 1 + padding) / stride + 1).min(height);
        // Where no patch reaches, one row still makes a matrix.
        let first = first.min(height - 1);
        first..end.max(first + 1)
    }
}

/// Returns a small map as patches of one pixel.
fn pixels(g: &Geometry, channels: usize) -> Patches {
    let [_, height, width] = g.small;
    Patches {
        images: g.images,
        channels,
        height,
        width,
        kernel: 1,
        stride: 1,
        padding: 0,
        small: [height, width],
    }
}

/// Returns the matrix of a strip, without a copy if the map is the matrix.
fn columns(parts: &[CubeTensor], patches: &Patches, strip: &Strip, slope: f32) -> CubeTensor {
    match parts {
        [map] if slope == 1.0 && is_matrix(patches, strip) => {
            reshaped(map.clone(), [patches.channels, patches.height * patches.width])
        }
        _ => {
            let columns = im2col(parts, patches, strip, slope, 1);
            let [_, rows, count]: [usize; 3] = columns.meta.shape().dims();
            reshaped(columns, [rows, count])
        }
    }
}

/// Returns whether the matrix of a strip has the values of the map in the map's order.
fn is_matrix(patches: &Patches, strip: &Strip) -> bool {
    let is_pixels = (patches.kernel, patches.stride, patches.padding) == (1, 1, 0);
    is_pixels && patches.images == 1 && strip.rows == (0..patches.height)
}

fn sum(total: Option<CubeTensor>, next: CubeTensor) -> Option<CubeTensor> {
    Some(match total {
        Some(total) => add(total, next),
        None => next,
    })
}

/// The parts of a small map, which are written strip by strip.
struct Parts<'a> {
    g: &'a Geometry,
    like: CubeTensor,
    channels: Vec<usize>,
    maps: Vec<CubeTensor>,
}

impl<'a> Parts<'a> {
    fn new(like: &CubeTensor, g: &'a Geometry, channels: &[usize]) -> Self {
        Self { g, like: like.clone(), channels: channels.to_vec(), maps: vec![] }
    }

    /// Writes the columns of a strip, `[O, columns]`. Where a part has a map and the slope of its activation, the
    /// columns are gradients and become those of the activation's input.
    fn write(&mut self, columns: CubeTensor, strip: &Strip, activated: &[Option<(&CubeTensor, f32)>]) {
        let Geometry { images, small: [_, height, width], .. } = *self.g;
        let is_linear = activated.iter().all(|part| part.is_none_or(|(_, slope)| slope == 1.0));
        if self.channels.len() == 1 && is_linear && is_matrix(&pixels(self.g, self.channels[0]), strip) {
            self.maps = vec![reshaped(columns, [1, self.channels[0], height, width])];
            return;
        }
        if self.maps.is_empty() {
            let map = |channels: &usize| empty(&self.like, [images, *channels, height, width]);
            self.maps = self.channels.iter().map(map).collect();
        }
        let mut first = 0;
        for (index, &channels) in self.channels.iter().enumerate() {
            let target = Target { map: &self.maps[index], strip, activated: activated[index] };
            col2im(&columns, &pixels(self.g, channels), strip, first, target);
            first += channels;
        }
    }

    fn into_maps(self) -> Vec<CubeTensor> {
        self.maps
    }
}

/// Artificially small buffers, for tests.
#[cfg(test)]
pub(super) mod limit {
    use std::cell::Cell;

    thread_local! {
        static MAX_BYTES: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub(super) fn of_this_thread() -> Option<u64> {
        MAX_BYTES.get()
    }

    /// Does `work` as on a device whose largest buffer has so many bytes.
    pub(in crate::kernels::cube) fn while_at<R>(bytes: u64, work: impl FnOnce() -> R) -> R {
        MAX_BYTES.set(Some(bytes));
        let result = work();
        MAX_BYTES.set(None);
        result
    }
}
