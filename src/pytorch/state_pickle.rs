//! Writes the pickle of a state dict: an `OrderedDict` of tensors, whose numbers lie in other entries of the file.
//!
//! It has only instructions of protocol 2 that `torch.load(weights_only=True)` accepts.

use crate::weights::{Entry, Precision};

const PROTOCOL: &[u8] = b"\x80\x02";
const MARK: u8 = b'(';
const TUPLE: u8 = b't';
const EMPTY_TUPLE: u8 = b')';
const CALL: u8 = b'R';
const PERSISTENT: u8 = b'Q';
const FALSE: u8 = 0x89;
const SET_ITEMS: u8 = b'u';
const STOP: u8 = b'.';

/// Returns the pickle of a state dict. The numbers of the entry at index `n` are in the storage with key `n`.
pub(super) fn bytes(entries: &[Entry<'_>], precision: Precision) -> Vec<u8> {
    let storage = match precision {
        Precision::F32 => "FloatStorage",
        Precision::F16 => "HalfStorage",
        Precision::Bf16 => "BFloat16Storage",
    };
    let mut pickle = Pickle(PROTOCOL.to_vec());
    pickle.ordered_dict();
    pickle.op(MARK);
    for (key, entry) in entries.iter().enumerate() {
        pickle.text(&entry.name);
        let storage = if entry.is_counter() { "LongStorage" } else { storage };
        pickle.tensor(key, entry, storage);
    }
    pickle.op(SET_ITEMS);
    pickle.op(STOP);
    pickle.0
}

struct Pickle(Vec<u8>);

impl Pickle {
    fn op(&mut self, code: u8) {
        self.0.push(code);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.op(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    /// Writes a number in the shortest form, as Python does.
    fn number(&mut self, number: usize) {
        match number {
            0..=0xff => self.0.extend([b'K', number as u8]),
            0x100..=0xffff => {
                self.op(b'M');
                self.0.extend((number as u16).to_le_bytes());
            }
            0x1_0000..=0x7fff_ffff => {
                self.op(b'J');
                self.0.extend((number as u32).to_le_bytes());
            }
            _ => {
                // A signed number of eight bytes.
                self.0.extend([0x8a, 8]);
                self.0.extend((number as u64).to_le_bytes());
            }
        }
    }

    fn tuple(&mut self, numbers: &[usize]) {
        if numbers.is_empty() {
            return self.op(EMPTY_TUPLE);
        }
        self.op(MARK);
        numbers.iter().for_each(|number| self.number(*number));
        self.op(TUPLE);
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.op(EMPTY_TUPLE);
        self.op(CALL);
    }

    fn tensor(&mut self, key: usize, entry: &Entry<'_>, storage: &str) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.op(MARK);
        self.op(MARK);
        self.text("storage");
        self.global("torch", storage);
        self.text(&key.to_string());
        self.text("cpu");
        self.number(entry.count());
        self.op(TUPLE);
        self.op(PERSISTENT);
        self.number(0); // the first value's place in the storage
        self.tuple(&entry.shape);
        self.tuple(&strides(&entry.shape));
        self.op(FALSE); // no gradient
        self.ordered_dict(); // no hooks
        self.op(TUPLE);
        self.op(CALL);
    }
}

/// Returns the distances between values of row-major order.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Values;

    #[test]
    fn the_pickle_of_one_tensor_has_the_bytes_of_torch_save_without_its_memo() {
        let values = [0.0; 300];
        let entry = Entry { name: "a.b".to_owned(), shape: vec![3, 100], values: Values::Slice(&values) };
        let dict = "ccollections\nOrderedDict\n)R";
        let mut expected =
            format!("\u{2}{dict}(X\u{3}\0\0\0a.bctorch._utils\n_rebuild_tensor_v2\n((").into_bytes();
        expected.insert(0, 0x80);
        expected.extend(b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuM\x2c\x01tQ");
        expected.extend(b"K\0(K\x03K\x64t(K\x64K\x01t\x89");
        expected.extend(dict.as_bytes());
        expected.extend(b"tRu.");
        assert_eq!(bytes(&[entry], Precision::F32), expected);
    }

    #[test]
    fn numbers_take_the_shortest_form() {
        for (number, expected) in [
            (0, &b"K\0"[..]),
            (255, b"K\xff"),
            (256, b"M\0\x01"),
            (65_535, b"M\xff\xff"),
            (65_536, b"J\0\0\x01\0"),
            (0x7fff_ffff, b"J\xff\xff\xff\x7f"),
            (0x8000_0000, b"\x8a\x08\0\0\0\x80\0\0\0\0"),
        ] {
            let mut pickle = Pickle(vec![]);
            pickle.number(number);
            assert_eq!(pickle.0, expected, "{number}");
        }
    }
}
