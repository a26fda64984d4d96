//! The learning rate, a pure function of the epoch and the step.

use crate::config::{Schedule, TrainingConfig};

/// Returns the learning rate of step `step`, counted from 0, in `epoch`, counted from 1, after `reductions` on a plateau.
pub(super) fn learning_rate(config: &TrainingConfig, epoch: usize, step: u64, reductions: u32) -> f64 {
    let warm_up = (step + 1) as f64 / (config.warmup_steps.max(1)) as f64;
    config.learning_rate * epoch_factor(config, epoch, reductions) * warm_up.min(1.0)
}

/// Returns the factor of the learning rate in `epoch`.
///
/// The PyTorch original begins to decay in the last constant epoch, and so reaches zero in its last epoch, which trains
/// nothing. Unless `decay_to_zero` is set, the last epoch has the smallest rate above zero.
fn epoch_factor(config: &TrainingConfig, epoch: usize, reductions: u32) -> f64 {
    let decayed = (epoch + usize::from(config.decay_to_zero)).saturating_sub(config.epochs);
    let part = (decayed as f64 / (config.decay_epochs + 1) as f64).min(1.0);
    match config.schedule {
        Schedule::Linear => 1.0 - part,
        Schedule::Cosine => 0.5 + 0.5 * (std::f64::consts::PI * part).cos(),
        Schedule::Step { every, factor } => {
            let drops = epoch.saturating_sub(1) / every.max(1);
            factor.powi(drops.min(i32::MAX as usize) as i32)
        }
        Schedule::Plateau { factor, .. } => factor.powi(reductions.min(i32::MAX as u32) as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(config: &TrainingConfig, epoch: usize) -> f64 {
        learning_rate(config, epoch, 0, 0) / config.learning_rate
    }

    #[test]
    fn the_rate_is_constant_then_falls_linearly_and_is_never_zero() {
        let config = TrainingConfig::new().with_epochs(100).with_decay_epochs(100);
        assert_eq!([1, 99, 100].map(|epoch| factor(&config, epoch)), [1.0; 3]);
        assert!((factor(&config, 101) - 100.0 / 101.0).abs() < 1e-12);
        assert!((factor(&config, 200) - 1.0 / 101.0).abs() < 1e-12);
    }

    #[test]
    fn with_decay_to_zero_the_last_epoch_has_rate_zero() {
        let config = TrainingConfig::new().with_epochs(100).with_decay_epochs(100).with_decay_to_zero(true);
        assert_eq!([1, 99, 200].map(|epoch| factor(&config, epoch)), [1.0, 1.0, 0.0]);
        assert!((factor(&config, 100) - 100.0 / 101.0).abs() < 1e-12);
    }

    #[test]
    fn the_papers_rate_is_constant() {
        let config = TrainingConfig::new();
        assert_eq!([1, 200].map(|epoch| learning_rate(&config, epoch, 7, 0)), [2e-4; 2]);
    }

    #[test]
    fn the_cosine_schedule_has_the_values_computed_by_hand() {
        let config =
            TrainingConfig::new().with_epochs(10).with_decay_epochs(3).with_schedule(Schedule::Cosine);
        let root = 0.5f64.sqrt();
        let by_hand = [1.0, 0.5 + root / 2.0, 0.5, 0.5 - root / 2.0];
        for (epoch, expected) in (10..).zip(by_hand) {
            assert!((factor(&config, epoch) - expected).abs() < 1e-12, "epoch {epoch}");
        }
    }

    #[test]
    fn the_step_schedule_falls_every_thirty_epochs() {
        let schedule = Schedule::Step { every: 30, factor: 0.1 };
        let config = TrainingConfig::new().with_schedule(schedule);
        for (epoch, expected) in [(1, 1.0), (30, 1.0), (31, 0.1), (60, 0.1), (61, 0.01)] {
            assert!((factor(&config, epoch) - expected).abs() < 1e-12, "epoch {epoch}");
        }
    }

    /// PyTorch's scheduler has counted `e` epochs in the original's epoch `e`, because the original steps it first.
    #[test]
    fn steps_come_one_epoch_later_than_in_the_pytorch_original() {
        let config = TrainingConfig::new().with_schedule(Schedule::Step { every: 50, factor: 0.1 });
        for epoch in 1..=200 {
            let original = 0.1f64.powi((epoch / 50) as i32);
            assert!((factor(&config, epoch + 1) - original).abs() < 1e-12, "epoch {epoch}");
        }
        assert!((factor(&config, 50), factor(&config, 51)) == (1.0, 0.1));
    }

    #[test]
    fn the_cosine_can_be_that_of_the_pytorch_original() {
        for epochs in [2, 7, 100] {
            let config = TrainingConfig::new()
                .with_epochs(0)
                .with_decay_epochs(epochs - 1)
                .with_schedule(Schedule::Cosine);
            for epoch in 1..epochs {
                let original = (1.0 + (std::f64::consts::PI * epoch as f64 / epochs as f64).cos()) / 2.0;
                assert!((factor(&config, epoch) - original).abs() < 1e-12, "{epoch} of {epochs}");
            }
        }
    }

    #[test]
    fn each_reduction_on_a_plateau_multiplies_the_rate() {
        let config = TrainingConfig::new().with_schedule(Schedule::Plateau { patience: 5, factor: 0.2 });
        for (reductions, expected) in [(0, 1.0), (1, 0.2), (2, 0.04)] {
            let factor = learning_rate(&config, 9, 0, reductions) / config.learning_rate;
            assert!((factor - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn warm_up_takes_four_steps() {
        let config = TrainingConfig::new().with_learning_rate(1.0).with_warmup_steps(4);
        assert_eq!(
            [0, 1, 3, 4, 1000].map(|step| learning_rate(&config, 1, step, 0)),
            [0.25, 0.5, 1.0, 1.0, 1.0]
        );
    }
}
