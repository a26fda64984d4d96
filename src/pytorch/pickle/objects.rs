//! The objects of a pickle.

use std::collections::HashMap;

/// An object in a pickle. Its strings are part of the pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::pytorch) enum Value<'a> {
    /// `None`, a boolean, a float, an integer of more than 64 bits, or anything else that state dicts do not use.
    Other,
    Int(i64),
    Text(&'a str),
    /// Module and name of a class or function.
    Global(&'a str, &'a str),
    /// A tuple, list or set: an index in [`Pickle::lists`].
    List(usize),
    /// An index in [`Pickle::dicts`].
    Dict(usize),
    /// An instance of a class: an index in [`Pickle::instances`].
    Instance(usize),
    /// An index in [`Pickle::storages`].
    Storage(usize),
    /// An index in [`Pickle::tensors`].
    Tensor(usize),
}

/// The numbers behind one or several tensors.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pytorch) struct Storage<'a> {
    pub(in crate::pytorch) key: &'a str,
    pub(in crate::pytorch) kind: Kind,
    /// The number of values.
    pub(in crate::pytorch) len: u64,
}

/// A tensor: a part of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pytorch) struct Tensor {
    /// An index in [`Pickle::storages`].
    pub(in crate::pytorch) storage: usize,
    /// Values before the first one.
    pub(in crate::pytorch) offset: u64,
    pub(in crate::pytorch) shape: Vec<usize>,
    pub(in crate::pytorch) strides: Vec<usize>,
}

/// The type of a storage's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pytorch) enum Kind {
    F64,
    F32,
    F16,
    Bf16,
    /// Not a floating-point number: bytes of a value.
    Other(u64),
}

impl Kind {
    /// Returns the bytes of a value.
    pub(in crate::pytorch) fn size(self) -> u64 {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(size) => size,
        }
    }

    /// Returns the kind of a storage class such as `FloatStorage`, or of a type such as `float32`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" | "float64" => Self::F64,
            "FloatStorage" | "float32" => Self::F32,
            "HalfStorage" | "float16" => Self::F16,
            "BFloat16Storage" | "bfloat16" => Self::Bf16,
            "ComplexDoubleStorage" | "complex128" => Self::Other(16),
            "LongStorage" | "ComplexFloatStorage" | "int64" | "uint64" | "complex64" => Self::Other(8),
            "IntStorage" | "QInt32Storage" | "int32" | "uint32" => Self::Other(4),
            "ShortStorage" | "int16" | "uint16" => Self::Other(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" | "QInt8Storage" | "QUInt8Storage"
            | "UntypedStorage" | "int8" | "uint8" | "bool" => Self::Other(1),
            name if name.starts_with("float8") => Self::Other(1),
            _ => return None,
        })
    }
}

/// An instance of a class that is not known here.
#[derive(Clone, Debug, Default)]
pub(in crate::pytorch) struct Instance<'a> {
    /// Its attributes, as far as the pickle has them.
    pub(in crate::pytorch) attributes: Option<Value<'a>>,
}

/// The objects of a pickle.
#[derive(Debug, Default)]
pub(in crate::pytorch) struct Pickle<'a> {
    pub(in crate::pytorch) lists: Vec<Vec<Value<'a>>>,
    pub(in crate::pytorch) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(in crate::pytorch) instances: Vec<Instance<'a>>,
    pub(in crate::pytorch) storages: Vec<Storage<'a>>,
    pub(in crate::pytorch) tensors: Vec<Tensor>,
    pub(super) stack: Vec<Value<'a>>,
    /// The lengths of the stack at its marks.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u64, Value<'a>>,
    /// Entries that dictionaries have taken over from lists of pairs.
    pub(super) copied: usize,
}

/// What is wrong with a pickle.
pub(in crate::pytorch) type Problem = String;

/// The stack of the pickle machine has too few objects, or objects of another type.
pub(super) const MALFORMED: &str = "its names and shapes are not a valid pickle";

/// A limit is exceeded.
pub(in crate::pytorch) const TOO_LARGE: &str = "its names and shapes are larger than those of a network";
