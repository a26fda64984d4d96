//! The program, run as a user runs it: what each command prints, writes, and answers to mistakes.
#![cfg(feature = "flex")]

mod commands;
mod folders;
mod kill;
mod pairs;
mod program;
mod study;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod train;
