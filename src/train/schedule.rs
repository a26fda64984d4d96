//! The learning rate as a pure function of the epoch.

use crate::config::TrainingConfig;

/// The learning rate of `epoch`, counted from 1: constant, then falling linearly towards zero.
///
/// The PyTorch original begins to decay in the last constant epoch and so reaches exactly zero in its last, which
/// trains nothing; unless `decay_to_zero` asks for that, the last epoch still has the smallest step of the decay.
pub(super) fn learning_rate(config: &TrainingConfig, epoch: usize) -> f64 {
    let decayed = (epoch + usize::from(config.decay_to_zero)).saturating_sub(config.epochs);
    config.learning_rate * (1.0 - decayed as f64 / (config.decay_epochs + 1) as f64).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_then_linear_and_never_zero() {
        let config = TrainingConfig::new().with_epochs(100).with_decay_epochs(100);
        let factor = |epoch| learning_rate(&config, epoch) / config.learning_rate;
        assert_eq!((factor(1), factor(99), factor(100)), (1.0, 1.0, 1.0));
        assert!((factor(101) - 100.0 / 101.0).abs() < 1e-12);
        assert!((factor(200) - 1.0 / 101.0).abs() < 1e-12);
    }

    #[test]
    fn the_originals_schedule_wastes_its_last_epoch() {
        let config = TrainingConfig::new().with_epochs(100).with_decay_epochs(100).with_decay_to_zero(true);
        let factor = |epoch| learning_rate(&config, epoch) / config.learning_rate;
        assert_eq!((factor(1), factor(99), factor(200)), (1.0, 1.0, 0.0));
        assert!((factor(100) - 100.0 / 101.0).abs() < 1e-12);
    }

    #[test]
    fn the_paper_never_decays() {
        let config = TrainingConfig::new();
        assert_eq!(learning_rate(&config, 1), 2e-4);
        assert_eq!(learning_rate(&config, 200), 2e-4);
    }
}
