//! Metrics of label maps: how often the class of a pixel is right.

/// Counts of pixels by true class and predicted class.
#[derive(Clone, Debug)]
pub struct Confusion {
    /// By true class, then by predicted class.
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Creates counts of zero.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::metrics::Confusion;
    ///
    /// let mut confusion = Confusion::new(2);
    /// confusion.add(&[0, 0, 1, 1], &[0, 1, 1, 1]);
    /// assert_eq!(confusion.pixel_accuracy(), 0.75);
    /// ```
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self { counts: vec![vec![0; classes]; classes] }
    }

    /// Counts pixels by true class and predicted class.
    ///
    /// # Panics
    /// If the lengths differ or a class is out of range.
    pub fn add(&mut self, truth: &[usize], predicted: &[usize]) {
        let lengths = [truth.len(), predicted.len()];
        assert_eq!(
            lengths[0], lengths[1],
            "`truth` has {} pixels, but `predicted` has {}; both must have the same",
            lengths[0], lengths[1]
        );
        for (truth, predicted) in truth.iter().zip(predicted) {
            self.counts[*truth][*predicted] += 1;
        }
    }

    /// Returns the fraction of pixels with the right class. NaN if no pixels were added.
    pub fn pixel_accuracy(&self) -> f64 {
        let right: u64 = (0..self.counts.len()).map(|class| self.counts[class][class]).sum();
        right as f64 / self.counts.iter().flatten().sum::<u64>() as f64
    }

    /// Returns the fraction of each class's pixels that are right, averaged over the classes that occur. NaN if no
    /// pixels were added.
    pub fn class_accuracy(&self) -> f64 {
        mean((0..self.counts.len()).filter_map(|class| {
            let all: u64 = self.counts[class].iter().sum();
            (all > 0).then(|| self.counts[class][class] as f64 / all as f64)
        }))
    }

    /// Returns the intersection over union of the true and the predicted pixels of each class, averaged over the
    /// classes that occur in either. NaN if no pixels were added.
    pub fn mean_iou(&self) -> f64 {
        mean((0..self.counts.len()).filter_map(|class| {
            let truth: u64 = self.counts[class].iter().sum();
            let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
            let both = self.counts[class][class];
            let either = truth + predicted - both;
            (either > 0).then(|| both as f64 / either as f64)
        }))
    }
}

/// Returns the mean, or NaN without values.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracies_by_hand() {
        let mut confusion = Confusion::new(4);
        // Class 0: 3 of 4 right; class 1: 1 of 2; class 2 is never true but found once; class 3 does not occur.
        confusion.add(&[0, 0, 0, 0], &[0, 0, 0, 1]);
        confusion.add(&[1, 1], &[1, 2]);
        assert_eq!(confusion.pixel_accuracy(), 4.0 / 6.0);
        assert_eq!(confusion.class_accuracy(), (0.75 + 0.5) / 2.0);
        assert!((confusion.mean_iou() - (3.0 / 4.0 + 1.0 / 3.0 + 0.0) / 3.0).abs() < 1e-12);
    }
}
