//! The sum of the values of a cube's units, in shared memory.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// The number of units of a cube that sums. Every adapter supports it.
pub(super) const UNITS: u32 = 256;

/// Returns the sum of one value of each unit of the cube.
#[cube]
pub(super) fn total(sums: &mut Shared<[f32]>, value: f32, #[comptime] units: usize) -> f32 {
    let unit = UNIT_POS as usize;
    sums[unit] = value;
    sync_cube();
    let mut half = (units / 2).runtime();
    while half > 0 {
        if unit < half {
            sums[unit] += sums[unit + half];
        }
        sync_cube();
        half /= 2;
    }
    let total = sums[0];
    // Before the next sum overwrites it.
    sync_cube();
    total
}
