//! Dropout whose noise is computed where it is used: ChaCha8, with the bits that the CPU draws.

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::tensor::{buffer, empty, len, one_unit_each, tensor};
use crate::kernels::autodiff::Dropout;
use crate::kernels::noise::Noise;

impl Dropout for Cube {
    fn dropout(x: FloatTensor<Self>, noise: Noise) -> FloatTensor<Self> {
        let x = buffer(x);
        let shape: [usize; 4] = x.meta.shape().dims();
        let out = empty(&x, shape);
        let (count, dim) = one_unit_each(&x.client, len(&x));
        let [k0, k1, k2, k3, k4, k5, k6, k7] = noise.key;
        let key = KeyLaunch::new(k0, k1, k2, k3, k4, k5, k6, k7, noise.stream);
        let [start_y, start_x] = noise.start;
        let [whole_height, whole_width] = noise.whole;
        let place = PlaceLaunch::new(shape[2], shape[3], start_y, start_x, whole_height, whole_width);
        dropout_kernel::launch(
            &x.client.clone(),
            count,
            dim,
            x.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            key,
            place,
            (noise.threshold >> 32) as u32,
            noise.threshold as u32,
            noise.scale,
        );
        tensor(out)
    }
}

/// The key and the number of a stream.
#[derive(CubeLaunch, CubeType)]
struct Key {
    k0: u32,
    k1: u32,
    k2: u32,
    k3: u32,
    k4: u32,
    k5: u32,
    k6: u32,
    k7: u32,
    stream: u32,
}

/// The place of a map in a larger one.
#[derive(CubeLaunch, CubeType)]
struct Place {
    height: usize,
    width: usize,
    start_y: usize,
    start_x: usize,
    whole_height: usize,
    whole_width: usize,
}

#[cube(launch)]
fn dropout_kernel(
    x: &[f32],
    out: &mut [f32],
    key: &Key,
    place: &Place,
    threshold_high: u32,
    threshold_low: u32,
    scale: f32,
) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let column = ABSOLUTE_POS % place.width + place.start_x;
    let row = ABSOLUTE_POS / place.width % place.height + place.start_y;
    let plane = ABSOLUTE_POS / (place.width * place.height);
    let index = (plane * place.whole_height + row) * place.whole_width + column;
    // A value has 2 of the 16 words of a block.
    let mut start = Array::<u32>::new(16usize);
    start[0] = 0x6170_7865u32;
    start[1] = 0x3320_646eu32;
    start[2] = 0x7962_2d32u32;
    start[3] = 0x6b20_6574u32;
    start[4] = key.k0;
    start[5] = key.k1;
    start[6] = key.k2;
    start[7] = key.k3;
    start[8] = key.k4;
    start[9] = key.k5;
    start[10] = key.k6;
    start[11] = key.k7;
    start[12] = u32::cast_from(index / 8);
    start[13] = 0u32;
    start[14] = key.stream;
    start[15] = 0u32;
    let mut words = Array::<u32>::new(16usize);
    for word in 0..16usize {
        words[word] = start[word];
    }
    for _ in 0..4u32 {
        quarter_round(&mut words, 0usize, 4usize, 8usize, 12usize);
        quarter_round(&mut words, 1usize, 5usize, 9usize, 13usize);
        quarter_round(&mut words, 2usize, 6usize, 10usize, 14usize);
        quarter_round(&mut words, 3usize, 7usize, 11usize, 15usize);
        quarter_round(&mut words, 0usize, 5usize, 10usize, 15usize);
        quarter_round(&mut words, 1usize, 6usize, 11usize, 12usize);
        quarter_round(&mut words, 2usize, 7usize, 8usize, 13usize);
        quarter_round(&mut words, 3usize, 4usize, 9usize, 14usize);
    }
    let word = index % 8 * 2;
    let low = words[word] + start[word];
    let high = words[word + 1] + start[word + 1];
    let mut value = x[ABSOLUTE_POS] * scale;
    if high < threshold_high || (high == threshold_high && low < threshold_low) {
        value = f32::new(0.0);
    }
    out[ABSOLUTE_POS] = value;
}

#[cube]
fn quarter_round(
    words: &mut Array<u32>,
    #[comptime] a: usize,
    #[comptime] b: usize,
    #[comptime] c: usize,
    #[comptime] d: usize,
) {
    words[a] += words[b];
    words[d] = rotated(words[d] ^ words[a], 16u32);
    words[c] += words[d];
    words[b] = rotated(words[b] ^ words[c], 12u32);
    words[a] += words[b];
    words[d] = rotated(words[d] ^ words[a], 8u32);
    words[c] += words[d];
    words[b] = rotated(words[b] ^ words[c], 7u32);
}

/// Rotates a word to the left. CubeCL has no operation for it.
#[cube]
#[allow(clippy::manual_rotate)]
fn rotated(word: u32, #[comptime] by: u32) -> u32 {
    (word << by) | (word >> (32u32 - by))
}
