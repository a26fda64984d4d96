//! The patches of a map as the columns of a matrix, and back (im2col and col2im).
//!
//! A column belongs to a pixel of the small map, a row to a channel and a position in the kernel. With a kernel of one
//! pixel, the matrix is the map itself with all images side by side.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::strips::Strip;
use super::tensor::{empty, len, one_unit_each};

/// A large map and how its patches lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patches {
    pub(super) images: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    /// The height and width of the small map.
    pub(super) small: [usize; 2],
}

/// What the kernels need to know of the patches and the strip that they read or write.
#[derive(CubeLaunch, CubeType)]
struct Layout {
    channels: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    small_width: usize,
    first_image: usize,
    first_row: usize,
    rows: usize,
    columns: usize,
}

impl Patches {
    /// Returns the number of rows of the matrix.
    pub(super) fn rows(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    fn layout(&self, strip: &Strip) -> LayoutLaunch {
        LayoutLaunch::new(
            self.channels,
            self.height,
            self.width,
            self.kernel,
            self.stride,
            self.padding,
            self.small[1],
            strip.images.start,
            strip.rows.start,
            strip.rows.len(),
            strip.columns(self.small[1]),
        )
    }
}

/// Returns the patches of a strip of the small map, `[pieces, rows, columns / pieces]`, after an activation.
///
/// The channels of the `parts`, one or two, are concatenated.
pub(super) fn im2col(
    parts: &[CubeTensor],
    patches: &Patches,
    strip: &Strip,
    slope: f32,
    pieces: usize,
) -> CubeTensor {
    let (first, second) = (&parts[0], parts.last().unwrap_or(&parts[0]));
    let split = first.meta.shape()[1];
    let piece = strip.columns(patches.small[1]) / pieces;
    let columns = empty(first, [pieces, patches.rows(), piece]);
    let (count, dim) = one_unit_each(&first.client, len(&columns));
    im2col_kernel::launch(
        &first.client,
        count,
        dim,
        first.clone().into_buffer_arg(),
        second.clone().into_buffer_arg(),
        columns.clone().into_buffer_arg(),
        patches.layout(strip),
        piece,
        split,
        slope,
    );
    columns
}

#[cube(launch)]
fn im2col_kernel(
    first: &[f32],
    second: &[f32],
    columns: &mut [f32],
    layout: &Layout,
    piece: usize,
    split: usize,
    slope: f32,
) {
    if ABSOLUTE_POS >= columns.len() {
        terminate!();
    }
    let rows = layout.channels * layout.kernel * layout.kernel;
    let row = ABSOLUTE_POS / piece % rows;
    let column = ABSOLUTE_POS / (piece * rows) * piece + ABSOLUTE_POS % piece;
    let channel = row / (layout.kernel * layout.kernel);
    let kernel_y = row / layout.kernel % layout.kernel;
    let kernel_x = row % layout.kernel;
    let small_x = column % layout.small_width;
    let small_y = column / layout.small_width % layout.rows + layout.first_row;
    let image = column / (layout.small_width * layout.rows) + layout.first_image;
    // Still shifted by the padding.
    let y = small_y * layout.stride + kernel_y;
    let x = small_x * layout.stride + kernel_x;
    let mut value = f32::new(0.0);
    if y >= layout.padding
        && y < layout.height + layout.padding
        && x >= layout.padding
        && x < layout.width + layout.padding
    {
        let pixel = (y - layout.padding) * layout.width + x - layout.padding;
        let plane = layout.height * layout.width;
        if channel < split {
            value = first[(image * split + channel) * plane + pixel];
        } else {
            value = second[(image * (layout.channels - split) + channel - split) * plane + pixel];
        }
        if value < 0.0 {
            value *= slope;
        }
    }
    columns[ABSOLUTE_POS] = value;
}

/// Where [`col2im`] writes: into the rows of images of a large map that a strip covers.
pub(super) struct Target<'a> {
    /// `[N, C, H, W]`.
    pub(super) map: &'a CubeTensor,
    /// The images and rows that are written.
    pub(super) strip: &'a Strip,
    /// The map before the activation whose gradient the sums are multiplied by, and the activation's slope.
    pub(super) activated: Option<(&'a CubeTensor, f32)>,
}

/// Sums the columns of a strip of the small map into a strip of the large map.
///
/// `first_channel` is the first of the map's channels in the matrix.
pub(super) fn col2im(
    columns: &CubeTensor,
    patches: &Patches,
    source: &Strip,
    first_channel: usize,
    target: Target<'_>,
) {
    let (before, slope) = target.activated.unwrap_or((columns, 1.0));
    let rows = target.strip.rows.len();
    let values = target.strip.images.len() * patches.channels * rows * patches.width;
    let (count, dim) = one_unit_each(&columns.client, values);
    col2im_kernel::launch(
        &columns.client,
        count,
        dim,
        columns.clone().into_buffer_arg(),
        before.clone().into_buffer_arg(),
        target.map.clone().into_buffer_arg(),
        patches.layout(source),
        first_channel,
        target.strip.rows.start,
        rows,
        values,
        slope,
    );
}

#[cube(launch)]
fn col2im_kernel(
    columns: &[f32],
    before: &[f32],
    map: &mut [f32],
    layout: &Layout,
    first_channel: usize,
    first_row: usize,
    rows: usize,
    values: usize,
    slope: f32,
) {
    if ABSOLUTE_POS >= values {
        terminate!();
    }
    let column_x = ABSOLUTE_POS % layout.width;
    let row = ABSOLUTE_POS / layout.width % rows + first_row;
    let channel = ABSOLUTE_POS / (layout.width * rows) % layout.channels;
    let strip_image = ABSOLUTE_POS / (layout.width * rows * layout.channels);
    // Shifted by the padding: the position in the patches.
    let y = row + layout.padding;
    let x = column_x + layout.padding;
    // The pixels of the small map whose patches reach this pixel.
    let mut start_y = layout.first_row;
    if y >= layout.kernel {
        start_y = max(start_y, (y - layout.kernel) / layout.stride + 1);
    }
    let mut start_x = 0usize;
    if x >= layout.kernel {
        start_x = (x - layout.kernel) / layout.stride + 1;
    }
    let end_y = min(y / layout.stride + 1, layout.first_row + layout.rows);
    let end_x = min(x / layout.stride + 1, layout.small_width);
    let mut sum = f32::new(0.0);
    let first = (first_channel + channel) * layout.kernel * layout.kernel;
    for small_y in start_y..end_y {
        for small_x in start_x..end_x {
            let tap = (y - small_y * layout.stride) * layout.kernel + x - small_x * layout.stride;
            let column =
                (strip_image * layout.rows + small_y - layout.first_row) * layout.small_width + small_x;
            sum += columns[(first + tap) * layout.columns + column];
        }
    }
    let image = strip_image + layout.first_image;
    let at = ((image * layout.channels + channel) * layout.height + row) * layout.width + column_x;
    // Without an activation, `before` is another buffer, which must not be read.
    #[allow(clippy::collapsible_if)]
    if slope != 1.0 {
        if before[at] <= 0.0 {
            sum *= slope;
        }
    }
    map[at] = sum;
}
