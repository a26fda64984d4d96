//! The matrices of Winograd's minimal filtering F(m, r): m outputs of an r-tap filter from m + r − 1 products.

/// The points at which the polynomials are evaluated, besides infinity. Small numbers keep rounding errors small.
const POINTS: [f64; 5] = [0.0, 1.0, -1.0, 0.5, -2.0];

/// F(`M`, `R`) with tiles of `T` = `M` + `R` − 1 values, by Toom and Cook's construction.
///
/// `y = Aᵀ · ((G · g) ⊙ (Bᵀ · x))` is the correlation of `x` (`T` values) with `g` (`R` values). Two dimensions apply
/// it to rows, then to columns. The matrices are known at compile time, so products with 0 and ±1 are optimised away.
pub(super) struct Transform<const M: usize, const R: usize, const T: usize>;

impl<const M: usize, const R: usize, const T: usize> Transform<M, R, T> {
    /// Bᵀ and B.
    pub(super) const INPUT: [[f32; T]; T] = narrow(input());
    pub(super) const INPUT_TRANSPOSED: [[f32; T]; T] = narrow(transposed(input()));
    /// G and Gᵀ.
    pub(super) const FILTER: [[f32; R]; T] = narrow(filter());
    pub(super) const FILTER_TRANSPOSED: [[f32; T]; R] = narrow(transposed(filter::<R, T>()));
    /// A and Aᵀ.
    pub(super) const OUTPUT: [[f32; M]; T] = narrow(powers());
    pub(super) const OUTPUT_TRANSPOSED: [[f32; T]; M] = narrow(transposed(powers::<M, T>()));
}

/// Row j: the powers of point j. The last row, of infinity, has a 1 for the highest power and zeros elsewhere.
const fn powers<const N: usize, const T: usize>() -> [[f64; N]; T] {
    let mut matrix = [[0.0; N]; T];
    let mut j = 0;
    while j < T - 1 {
        let (mut i, mut power) = (0, 1.0);
        while i < N {
            matrix[j][i] = power;
            power *= POINTS[j];
            i += 1;
        }
        j += 1;
    }
    matrix[T - 1][N - 1] = 1.0;
    matrix
}

/// Row j: the powers of point j, divided by its distances from all other points.
const fn filter<const R: usize, const T: usize>() -> [[f64; R]; T] {
    let mut matrix = powers::<R, T>();
    let mut j = 0;
    while j < T - 1 {
        let (mut k, mut distance) = (0, 1.0);
        while k < T - 1 {
            if k != j {
                distance *= POINTS[j] - POINTS[k];
            }
            k += 1;
        }
        let mut i = 0;
        while i < R {
            matrix[j][i] /= distance;
            i += 1;
        }
        j += 1;
    }
    matrix
}

/// Row j: the coefficients, constant first, of the polynomial whose roots are all points but j.
const fn input<const T: usize>() -> [[f64; T]; T] {
    let mut matrix = [[0.0; T]; T];
    let mut j = 0;
    while j < T {
        matrix[j][0] = 1.0;
        let mut k = 0;
        while k < T - 1 {
            if k != j {
                let mut i = T - 1;
                while i > 0 {
                    matrix[j][i] = matrix[j][i - 1] - POINTS[k] * matrix[j][i];
                    i -= 1;
                }
                matrix[j][0] *= -POINTS[k];
            }
            k += 1;
        }
        j += 1;
    }
    matrix
}

const fn transposed<const ROWS: usize, const COLUMNS: usize>(
    matrix: [[f64; COLUMNS]; ROWS],
) -> [[f64; ROWS]; COLUMNS] {
    let mut result = [[0.0; ROWS]; COLUMNS];
    let mut i = 0;
    while i < ROWS * COLUMNS {
        result[i % COLUMNS][i / COLUMNS] = matrix[i / COLUMNS][i % COLUMNS];
        i += 1;
    }
    result
}

const fn narrow<const ROWS: usize, const COLUMNS: usize>(
    matrix: [[f64; COLUMNS]; ROWS],
) -> [[f32; COLUMNS]; ROWS] {
    let mut result = [[0.0; COLUMNS]; ROWS];
    let mut i = 0;
    while i < ROWS * COLUMNS {
        result[i / COLUMNS][i % COLUMNS] = matrix[i / COLUMNS][i % COLUMNS] as f32;
        i += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlates<const M: usize, const R: usize, const T: usize>() {
        let x: [f32; T] = std::array::from_fn(|i| (i as f32 * 1.3).sin());
        let g: [f32; R] = std::array::from_fn(|i| (i as f32 * 0.7).cos());
        let dot = |row: &[f32], values: &[f32]| row.iter().zip(values).map(|(a, b)| a * b).sum::<f32>();
        let products: Vec<f32> = (0..T)
            .map(|j| dot(&Transform::<M, R, T>::INPUT[j], &x) * dot(&Transform::<M, R, T>::FILTER[j], &g))
            .collect();
        for i in 0..M {
            let found = dot(&Transform::<M, R, T>::OUTPUT_TRANSPOSED[i], &products);
            let expected = dot(&g, &x[i..]);
            assert!((found - expected).abs() < 1e-5, "F({M},{R}): {found} is not {expected}");
        }
    }

    #[test]
    fn every_transform_computes_the_correlation() {
        correlates::<2, 2, 3>();
        correlates::<4, 2, 5>();
        correlates::<4, 3, 6>();
        correlates::<3, 4, 6>();
    }
}
