//! Weights files: safetensors whose metadata carries the whole configuration, so that a file explains itself.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, TensorData};
use safetensors::serialize;
use safetensors::tensor::{Dtype, Metadata, TensorView};

use crate::read_back::read_back;
use crate::{Error, Result, Tensor};

/// The name of a generator's weights file in a run folder.
pub(crate) const GENERATOR_FILE: &str = "generator.safetensors";
/// The name of the weights file of the generator with the best score.
pub(crate) const BEST_FILE: &str = "generator-best.safetensors";
/// The most bytes of a header: a small file must not make the program take much memory.
const LONGEST_HEADER: u64 = 1 << 24;
/// The metadata entry that holds the configuration as JSON.
const CONFIG: &str = "pix2pix.config";
/// The field of that JSON object that holds the checksum of all tensors, in eight hexadecimal digits: one entry of
/// metadata keeps the file's bytes a function of its contents, as the order of several is not.
const CHECKSUM: &str = "crc32c";

/// Parameters by name, with their shapes.
pub(crate) type Named = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes a module's parameters and its run's configuration, whole or not at all.
pub(crate) fn save<M: Module>(module: &M, config: &str, path: &Path) -> Result<()> {
    write(&collect(module), &[], Some(config), path)
}

/// Writes parameters, and zeros of 64 bits under the names of `counters`.
pub(crate) fn write(named: &Named, counters: &[String], config: Option<&str>, path: &Path) -> Result<()> {
    let tensors = named.iter().map(|(name, (shape, values))| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        (name, Dtype::F32, shape.clone(), bytes)
    });
    let tensors = tensors.chain(counters.iter().map(|name| (name, Dtype::I64, vec![], vec![0; 8])));
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, kind, shape, bytes)| {
        TensorView::new(*kind, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views =
        views.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| Error::corrupt(path, error))?;
    let sum = tensors.iter().map(|(name, _, _, bytes)| checksum(name, bytes)).fold(0, u32::wrapping_add);
    let metadata = config.map(|config| HashMap::from([(CONFIG.to_owned(), sealed(config, sum))]));
    let file = serialize(views, metadata).map_err(|error| Error::corrupt(path, error))?;
    crate::files::write_atomically(path, &file)
}

/// One tensor's part of the checksum, in which the parts of all are added up: whatever their order in the file.
fn checksum(name: &str, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), bytes)
}

/// The configuration, a JSON object over several lines, with the checksum as one more field.
fn sealed(config: &str, sum: u32) -> String {
    match config.trim_end().strip_suffix('}') {
        Some(fields) => format!("{},\n  \"{CHECKSUM}\": \"{sum:08x}\"\n}}", fields.trim_end()),
        None => config.to_owned(),
    }
}

/// What was sealed: the configuration, and the checksum if there is one.
fn unsealed(text: &str) -> (String, Option<&str>) {
    let sealed = text.rsplit_once(&format!(",\n  \"{CHECKSUM}\": \""));
    match sealed.and_then(|(fields, end)| Some((fields, end.strip_suffix("\"\n}")?))) {
        Some((fields, sum)) => (format!("{fields}\n}}"), Some(sum)),
        None => (text.to_owned(), None),
    }
}

/// The configuration that a file carries; `None` if it is no weights file of this crate.
pub(crate) fn config(path: &Path) -> Result<Option<String>> {
    let mut start = [0; 9];
    let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
    let length = file.read(&mut start).map_err(|error| Error::io(path, error))?;
    // A safetensors file begins with the length of its header and the brace that opens it.
    if length < start.len() || start[8] != b'{' {
        return Ok(None);
    }
    Ok(Header::read(path)?.config().map(|config| unsealed(&config).0))
}

/// Reads a weights file.
///
/// Every parameter goes straight from the file into its own memory: no second copy, as of a whole file that is read
/// first, and no mapped memory, which dies with the program when somebody shortens the file.
pub(crate) fn load(path: &Path) -> Result<Named> {
    let mut header = Header::read(path)?;
    let mut named = Named::new();
    let mut sum = 0u32;
    // In the order of the file.
    for name in header.metadata.offset_keys() {
        let Some(info) = header.metadata.info(&name) else { continue };
        let (kind, shape) = (info.dtype, info.shape.clone());
        let length = info.data_offsets.1 - info.data_offsets.0;
        if kind == Dtype::F32 {
            let mut values = vec![0.0; length / size_of::<f32>()];
            header.take(bytemuck::cast_slice_mut(&mut values))?;
            sum = sum.wrapping_add(checksum(&name, bytemuck::cast_slice(&values)));
            if cfg!(target_endian = "big") {
                values
                    .iter_mut()
                    .for_each(|value: &mut f32| *value = f32::from_bits(value.to_bits().swap_bytes()));
            }
            named.insert(name, (shape, values));
            continue;
        }
        let mut bytes = vec![0; length];
        header.take(&mut bytes)?;
        sum = sum.wrapping_add(checksum(&name, &bytes));
        let kind = match kind {
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I64 => continue, // PyTorch's counters, which nothing reads
            other => {
                let problem = format!("`{name}` holds {other:?}, not floating-point numbers");
                return Err(Error::corrupt(path, problem));
            }
        };
        let data = TensorData::from_bytes_vec(bytes, shape.clone(), kind).convert::<f32>();
        let values = data.try_into_vec().map_err(|error| Error::corrupt(path, format!("{error:?}")))?;
        named.insert(name, (shape, values));
    }
    // Files of others have none.
    match header.config().as_deref().and_then(|config| unsealed(config).1) {
        Some(expected) if expected != format!("{sum:08x}") => {
            Err(Error::corrupt(path, "the checksum of its weights differs"))
        }
        _ => Ok(named),
    }
}

/// What stands at the beginning of a safetensors file, and the file behind it.
struct Header<'a> {
    path: &'a Path,
    file: File,
    metadata: Metadata,
}

impl<'a> Header<'a> {
    fn read(path: &'a Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
        let whole = file.metadata().map_err(|error| Error::io(path, error))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| Error::corrupt(path, error))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER || length > whole {
            return Err(Error::corrupt(path, format!("its header claims {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|error| Error::corrupt(path, error))?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| Error::corrupt(path, error))?;
        // The lengths that the header claims are what memory is taken for, so they must be the file's.
        let claimed = metadata.data_len() as u64;
        if claimed != whole - 8 - length {
            let problem =
                format!("its header claims {claimed} bytes of data, but there are {}", whole - 8 - length);
            return Err(Error::corrupt(path, problem));
        }
        Ok(Self { path, file, metadata })
    }

    fn config(&self) -> Option<String> {
        self.metadata.metadata().as_ref()?.get(CONFIG).cloned()
    }

    /// The next bytes of the file.
    fn take(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|error| Error::io(self.path, error))
    }
}

/// The module with the given parameters, all of which must fit; `key` tells what a parameter is called among them.
///
/// # Errors
/// [`Error::Weights`] with every parameter that is missing, unexpected or of another shape.
pub(crate) fn apply<M: Module>(
    module: M,
    named: Named,
    path: &Path,
    key: impl Fn(&str) -> String,
) -> Result<M> {
    let mut mapper = Apply { names: Names::default(), key, named, missing: vec![], mismatched: vec![] };
    let module = module.map(&mut mapper);
    let unexpected: Vec<String> = mapper.named.into_keys().collect();
    if unexpected.is_empty() && mapper.missing.is_empty() && mapper.mismatched.is_empty() {
        return Ok(module);
    }
    Err(Error::Weights {
        path: path.to_owned(),
        missing: mapper.missing,
        unexpected,
        mismatched: mapper.mismatched,
    })
}

/// A module's parameters by name.
pub(crate) fn collect<M: Module>(module: &M) -> Named {
    let mut collector = Collect::default();
    module.visit(&mut collector);
    collector.named
}

/// The shapes of a module's parameters by name, none of which is drawn for it.
pub(crate) fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut collector = Shapes::default();
    module.visit(&mut collector);
    collector.shapes
}

/// The path to the current parameter. The variants of an enum are left out: a network has one of them.
#[derive(Default)]
struct Names(Vec<Option<String>>);

impl Names {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_owned()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn path(&self) -> String {
        self.0.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

#[derive(Default)]
struct Collect {
    names: Names,
    named: Named,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims().to_vec();
        self.named.insert(self.names.path(), (shape, read_back(value)));
    }
}

#[derive(Default)]
struct Shapes {
    names: Names,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.shapes.insert(self.names.path(), param.lazy_shape().as_slice().to_vec());
    }
}

struct Apply<K> {
    names: Names,
    key: K,
    named: Named,
    missing: Vec<String>,
    mismatched: Vec<String>,
}

impl<K: Fn(&str) -> String> ModuleMapper for Apply<K> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = (self.key)(&self.names.path());
        let Some((found, values)) = self.named.remove(&path) else {
            self.missing.push(path);
            return param;
        };
        let shape = param.lazy_shape();
        if shape.as_slice() != found.as_slice() {
            self.mismatched.push(format!("{path} (network {:?}, file {found:?})", shape.as_slice()));
            return param;
        }
        let device = param.lazy_device();
        let id = param.id;
        param.transform_for_load(Tensor::from_data(TensorData::new(values, found), &device), id)
    }
}
