//! The documents of the `docs` folder, whose code is compiled with the crate.

#[doc = include_str!("../docs/guide.md")]
pub mod getting_started {}

#[doc = include_str!("../docs/data.md")]
pub mod data {}

#[doc = include_str!("../docs/training.md")]
pub mod training {}

#[doc = include_str!("../docs/tasks.md")]
pub mod tasks {}

#[doc = include_str!("../docs/study.md")]
pub mod study {}

#[doc = include_str!("../docs/inference.md")]
pub mod inference {}

#[doc = include_str!("../docs/pytorch.md")]
pub mod pytorch {}

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/benchmarks.md")]
pub mod benchmarks {}
