//! Colours, masonry and noise to paint the photograph with.

/// Red, green and blue in 0..1.
pub(super) type Color = [f32; 3];

/// Returns the colour of a wall of blocks at a point. `bond` holds the length and height of a block, the width of the
/// joint, and the variation of brightness.
pub(super) fn masonry(color: Color, mortar: Color, bond: [f32; 4], salt: u32, x: f32, y: f32) -> Color {
    let [length, course, joint, variation] = bond;
    let (u, v, random) = tile(x, y, length, course, salt);
    let stains = 0.2 * noise(x, y * 0.08, 30.0, salt) + 0.16 * noise(x, y, 7.0, salt);
    let shade = 0.82 + stains + variation * (random - 0.5);
    if u < joint / 2.0 || v < joint { mortar } else { scale(color, shade) }
}

/// Returns the position of a point within its block of a running bond, across and down, and the block's random number.
pub(super) fn tile(x: f32, y: f32, width: f32, height: f32, salt: u32) -> (f32, f32, f32) {
    let (row, at) = ((y / height).floor(), x / width + 0.5 * (y / height).floor());
    (at.rem_euclid(1.0), y / height - row, hash(at.floor() as i32, row as i32, salt))
}

/// Multiplies a colour by a brightness.
pub(super) fn scale(color: Color, by: f32) -> Color {
    color.map(|v| v * by)
}

/// Mixes two colours: `a` where `t` is 0, `b` where it is 1.
pub(super) fn mix(a: Color, b: Color, t: f32) -> Color {
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * t.clamp(0.0, 1.0))
}

/// Returns a number in 0..1 that depends only on the arguments.
pub(super) fn hash(x: i32, y: i32, salt: u32) -> f32 {
    let h = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    let h = h ^ salt.wrapping_mul(0xC2B2_AE3D);
    let h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    let h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    ((h ^ (h >> 15)) >> 8) as f32 / 16_777_216.0
}

/// Returns smooth noise in 0..1, with `frequency` bumps along the image's side.
pub(super) fn noise(x: f32, y: f32, frequency: f32, salt: u32) -> f32 {
    let [(column, u), (row, v)] = [x * frequency, y * frequency].map(|at| (at.floor(), at - at.floor()));
    let corner = |dx, dy| hash(column as i32 + dx, row as i32 + dy, salt);
    let [u, v] = [u, v].map(|t| t * t * (3.0 - 2.0 * t));
    let [top, bottom] = [0, 1].map(|dy| corner(0, dy) + (corner(1, dy) - corner(0, dy)) * u);
    top + (bottom - top) * v
}
