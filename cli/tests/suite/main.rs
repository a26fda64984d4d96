//! Runs the program as a user does and checks what each command prints and writes, and its errors.
#![cfg(feature = "flex")]

mod check;
mod commands;
mod faults;
mod fine_tuning;
mod folders;
mod from;
mod kill;
mod labels;
mod layouts;
mod limits;
mod pairs;
mod program;
mod resume;
mod samples;
mod scale;
mod signals;
mod study;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod systems;
mod train;
