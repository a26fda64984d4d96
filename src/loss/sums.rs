//! Sums and means over the values and scales of a discriminator's output.

use burn::tensor::Tensor;

use crate::discriminator::DiscriminatorOutput;

/// Returns the sum of a term over the scales.
pub(super) fn over_scales(output: DiscriminatorOutput, term: impl Fn(Tensor<4>) -> Tensor<1>) -> Tensor<1> {
    let terms = output.scales.into_iter().map(|scale| term(scale.logits));
    terms.reduce(|sum, term| sum + term).expect("a discriminator has a scale")
}

/// With this many values or more, a backend may split a sum among threads, so that its rounding depends on their
/// number.
const MIN_VALUES_BY_ROW: usize = 1 << 22;

/// Returns the mean of all values, `[1]`, the same to the last bit with any number of threads: large tensors are
/// averaged row by row first.
pub(super) fn mean(values: Tensor<4>) -> Tensor<1> {
    if values.shape().num_elements() < MIN_VALUES_BY_ROW {
        values.flatten::<1>(0, 3).mean()
    } else {
        values.mean_dim(3).mean_dim(2).mean()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn the_mean_of_many_values_does_not_depend_on_the_number_of_threads() {
        let [rows, columns] = [2100, 2000];
        // Large values of both signs, whose sum nearly cancels, so that another order of additions changes the result.
        let wave = |i: f32| ((i * 0.37).sin() * 9.0).exp() * (i * 1e-5).cos();
        let values: Vec<f32> = (0..rows * columns).map(|i| wave(i as f32)).collect();
        let exact = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let values = Tensor::<1>::from_floats(values.as_slice(), &device::cpu());
        let values = values.reshape([1, 1, rows, columns]);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // Repeated, because the threads divide the work differently each time.
            let bits = || pool.install(|| mean(values.clone()).into_scalar::<f32>().to_bits());
            (0..9).map(|_| bits()).collect::<Vec<_>>()
        };
        let alone = on(1);
        assert!((f64::from(f32::from_bits(alone[0])) / exact - 1.0).abs() < 1e-4);
        assert!([2, 4].map(on).iter().all(|bits| *bits == alone));
    }
}
