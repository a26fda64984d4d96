//! Interprets the pickles of `torch.save`. Nothing in them is run: a class or function is only a name.
//!
//! Every object lives once in a table, and a copy is an index. So the memory is bounded by the length of the pickle,
//! however often it copies an object, and dropping a deeply nested object does not overflow the stack.

mod calls;
mod machine;
mod objects;

pub(super) use objects::{Kind, Pickle, Problem, TOO_LARGE, Value};
