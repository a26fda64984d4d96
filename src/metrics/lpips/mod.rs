//! LPIPS (Zhang et al. 2018, version 0.1): the distance of two images by the features of a network.

mod backbone;
mod files;

use std::path::Path;

use burn::tensor::{Device, Tensor};

use self::backbone::Backbone;
pub use self::backbone::LpipsNetwork;
use super::fidelity::assert_same_shape;
use crate::device;
use crate::error::Result;
use crate::transfer::upload;

/// The constants of the first layer: an image x in `[-1, 1]` becomes (x − shift)/scale in each channel.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// What is added to the length of a feature vector before the division by it.
const EPSILON: f64 = 1e-10;

/// The learned perceptual distance LPIPS (Zhang et al. 2018), with AlexNet or SqueezeNet.
///
/// The weights are not part of this crate. They are those of the Python package `lpips`, version 0.1;
/// [the guide](crate::guide::study) says where they are. It says nothing about a network that was trained on it.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Tensor, device, metrics::Lpips};
///
/// let device = device::best();
/// let lpips = Lpips::load(&["alexnet.pth", "alex.pth"], &device)?;
/// let image = || Tensor::<4>::zeros([1, 3, 64, 64], &device);
/// let distance = lpips.distance(image(), image()); // [1], 0 for equal images
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Debug)]
pub struct Lpips {
    backbone: Backbone,
    /// The weights of the channels of each map of features, `[1, C, 1, 1]`.
    heads: Vec<Tensor<4>>,
    device: Device,
}

impl Lpips {
    /// Loads the weights of the network and of the heads from one or several files: safetensors or, with the feature
    /// `pth`, PyTorch's `.pth`. The names tell which network it is.
    ///
    /// The names are torchvision's (`features.0.weight`) or those of the package's whole module
    /// (`net.slice1.0.weight`), and the package's for the heads (`lin0.model.1.weight`). Other tensors, as those of
    /// torchvision's classifiers, are not read.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be read; [`Error::Checkpoint`](crate::Error::Checkpoint) if it
    /// is damaged, or two tensors have the same name; [`Error::Weights`](crate::Error::Weights) if a parameter is
    /// missing or has another shape; [`Error::Argument`](crate::Error::Argument) if there is no file;
    /// [`Error::Device`](crate::Error::Device) if the device computes wrongly.
    pub fn load(files: &[impl AsRef<Path>], device: &Device) -> Result<Self> {
        device::check(device)?;
        let (network, mut named) = files::read(files)?;
        let device = device.clone().without_autodiff();
        let heads = network.channels().into_iter().enumerate().map(|(index, channels)| {
            let head = named.remove(&files::head(index)).expect("the names and shapes are checked");
            upload(head.1, [1, channels, 1, 1], &device)
        });
        let heads = heads.collect();
        Ok(Self { backbone: Backbone::new(network, &mut named, &device), heads, device })
    }

    /// Returns the network whose weights were loaded.
    pub fn network(&self) -> LpipsNetwork {
        self.backbone.network
    }

    /// Returns the smallest height and width of an image: 31 pixels with AlexNet, 17 with SqueezeNet.
    pub fn min_size(&self) -> usize {
        self.backbone.network.min_size()
    }

    /// Returns the distance of each pair of images: 0 for equal images, lower is better. Images keep their size.
    ///
    /// # Shapes
    /// - `output`, `target`: `[N, 3, H, W]` in `[-1, 1]`
    /// - returns `[N]`, on the device of the weights
    ///
    /// # Panics
    /// If the shapes differ, if there are not 3 channels, or if height or width is below [`min_size`](Self::min_size).
    pub fn distance(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        assert_same_shape(&output, &target);
        let [n, channels, height, width] = output.dims();
        let least = self.min_size();
        assert!(
            channels == 3 && height.min(width) >= least,
            "`output` is {:?}; LPIPS with {} needs 3 channels and at least {least} pixels in height and width",
            output.dims(),
            self.network()
        );
        let both = [output, target].map(|images| images.inner().to_device(&self.device)).to_vec();
        let maps = self.backbone.features(scaled(Tensor::cat(both, 0)));
        let distances = maps.into_iter().zip(&self.heads).map(|(map, head)| {
            let map = normalised(map);
            let difference = map.clone().narrow(0, 0, n) - map.narrow(0, n, n);
            weighted(difference.square(), head.clone())
        });
        let sum = distances.reduce(|sum, distance| sum + distance);
        sum.expect("a network has maps of features")
    }
}

/// Moves and scales the channels of images as the networks expect it.
fn scaled(images: Tensor<4>) -> Tensor<4> {
    let constant = |values: [f32; 3]| upload::<4>(values.to_vec(), [1, 3, 1, 1], &images.device());
    let (shift, scale) = (constant(SHIFT), constant(SCALE));
    (images - shift) / scale
}

/// Divides the feature vector of each pixel by its length.
fn normalised(map: Tensor<4>) -> Tensor<4> {
    let length = map.clone().square().sum_dim(1).sqrt();
    map / (length + EPSILON)
}

/// Sums squared differences `[N, C, H, W]` over channels with the weights of a head, and averages over pixels, `[N]`.
fn weighted(squares: Tensor<4>, head: Tensor<4>) -> Tensor<1> {
    let n = squares.dims()[0];
    (squares * head).sum_dim(1).mean_dim(3).mean_dim(2).reshape([n])
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::weights::{self, Named};

    /// Returns value `index` of tensor `tensor`, from −1 to 1, as in `tests/golden/lpips.py`.
    fn hashed(tensor: usize, index: usize) -> f64 {
        let mut x = ((tensor as u64) << 32 | index as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (x >> 40) as f64 / f64::from(1 << 24) * 2.0 - 1.0
    }

    /// Returns the computed weights of the network and of the heads.
    fn computed(network: LpipsNetwork) -> [Named; 2] {
        let parameters = network.parameters();
        let count = parameters.len();
        let fill = |tensor: usize, shape: Vec<usize>, value: &dyn Fn(f64) -> f64| {
            let values = shape.iter().product::<usize>();
            let values = (0..values).map(|index| value(hashed(tensor, index)) as f32).collect();
            (shape, values)
        };
        let of_network = parameters.into_iter().enumerate().map(|(tensor, (name, shape))| {
            let inputs: usize = shape[1..].iter().product();
            let scale = if shape.len() == 4 { (6.0 / inputs as f64).sqrt() } else { 0.05 };
            (name, fill(tensor, shape, &|u| scale * u))
        });
        let of_heads = network.channels().into_iter().enumerate().map(|(index, channels)| {
            (files::head(index), fill(count + index, vec![1, channels, 1, 1], &|u| 0.1 * u.abs()))
        });
        [of_network.collect(), of_heads.collect()]
    }

    fn written(folder: &Path, name: &str, named: &Named) -> PathBuf {
        let path = folder.join(name);
        weights::write(weights::named_entries(named), weights::Precision::F32, None, &path).unwrap();
        path
    }

    fn loaded(network: LpipsNetwork) -> Lpips {
        let folder = tempfile::tempdir().unwrap();
        let [of_network, of_heads] = computed(network);
        let files = [
            written(folder.path(), "network.safetensors", &of_network),
            written(folder.path(), "heads.safetensors", &of_heads),
        ];
        Lpips::load(&files, &device::cpu()).unwrap()
    }

    /// Returns two images of sin(a·i + b).
    fn wave([height, width]: [usize; 2], a: f64, b: f64) -> Tensor<4> {
        let values = (0..2 * 3 * height * width).map(|i| (a * i as f64 + b).sin() as f32).collect();
        upload(values, [2, 3, height, width], &device::cpu())
    }

    /// `tests/golden/lpips.py` prints the expected values.
    #[test]
    fn distances_agree_with_pytorch() {
        let cases = [
            (LpipsNetwork::Alex, [64, 64], [0.126_213_102, 0.124_343_779]),
            (LpipsNetwork::Alex, [50, 37], [0.102_211_111, 0.102_428_053]),
            (LpipsNetwork::Alex, [33, 95], [0.103_311_122, 0.102_654_736]),
            (LpipsNetwork::Squeeze, [64, 64], [0.096_209_473, 0.094_219_863]),
            (LpipsNetwork::Squeeze, [50, 37], [0.107_944_277, 0.107_631_389]),
            (LpipsNetwork::Squeeze, [33, 95], [0.087_018_917, 0.086_754_212]),
        ];
        for network in [LpipsNetwork::Alex, LpipsNetwork::Squeeze] {
            let lpips = loaded(network);
            assert_eq!(lpips.network(), network);
            for (_, size, expected) in cases.iter().filter(|(of, ..)| *of == network) {
                let (one, other) = (wave(*size, 0.37, 0.0), wave(*size, 0.11, 0.5));
                let found = lpips.distance(one.clone(), other).into_data().try_into_vec::<f32>().unwrap();
                for (found, expected) in found.into_iter().zip(expected) {
                    assert!((f64::from(found) - expected).abs() < 1e-6, "{found} is not {expected}");
                }
                let same = lpips.distance(one.clone(), one).into_data().try_into_vec::<f32>().unwrap();
                assert_eq!(same, [0.0, 0.0]);
            }
        }
    }

    #[test]
    fn a_single_map_agrees_with_pytorch() {
        // Value i is sin(0.7 i + 0.3) and sin(0.5 i + 0.3), in float64: 0.434846348.
        let map = |a: f64| {
            let values = (0..12).map(|i| (a * f64::from(i) + 0.3).sin() as f32).collect();
            normalised(upload(values, [1, 3, 2, 2], &device::cpu()))
        };
        let head = upload(vec![0.2, 0.5, 0.3], [1, 3, 1, 1], &device::cpu());
        let found = f64::from(weighted((map(0.7) - map(0.5)).square(), head).into_scalar::<f32>());
        assert!((found - 0.434_846_348).abs() < 1e-6, "{found}");
    }

    #[test]
    fn the_least_size_leaves_a_pixel_and_a_smaller_one_panics() {
        for network in [LpipsNetwork::Alex, LpipsNetwork::Squeeze] {
            let lpips = loaded(network);
            let of = |size| lpips.distance(wave([size, 40], 0.37, 0.0), wave([size, 40], 0.11, 0.5));
            let least = lpips.min_size();
            assert!(of(least).into_data().try_into_vec::<f32>().unwrap().iter().all(|d| *d > 0.0));
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| of(least - 1))).unwrap_err();
            let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            assert!(message.contains(&format!("at least {least} pixels")), "{message}");
        }
    }

    #[test]
    fn names_of_the_package_and_pth_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let [of_network, of_heads] = computed(LpipsNetwork::Squeeze);
        // The package's whole module, with buffers, and with every head twice.
        let mut whole = of_heads.clone();
        for (name, parameter) in &of_heads {
            whole.insert(name.replace("lin", "lins."), parameter.clone());
        }
        for (name, parameter) in &of_network {
            whole.insert(name.replace("features.", "net.slice3."), parameter.clone());
        }
        whole.insert("scaling_layer.shift".to_owned(), (vec![1, 3, 1, 1], SHIFT.to_vec()));
        let file = written(folder.path(), "whole.safetensors", &whole);
        let distance = |lpips: Lpips| {
            let size = [32, 32];
            lpips
                .distance(wave(size, 0.37, 0.0), wave(size, 0.11, 0.5))
                .into_data()
                .try_into_vec::<f32>()
                .unwrap()
        };
        let expected = distance(loaded(LpipsNetwork::Squeeze));
        assert_eq!(distance(Lpips::load(&[file], &device::cpu()).unwrap()), expected);
        if cfg!(feature = "pth") {
            let mut of_network = of_network.clone();
            of_network.insert("classifier.1.bias".to_owned(), (vec![10], vec![0.0; 10]));
            let files = ["squeezenet1_1.pth", "squeeze.pth"].map(|name| folder.path().join(name));
            crate::pytorch::save(&of_network, &files[0]).unwrap();
            crate::pytorch::save(&of_heads, &files[1]).unwrap();
            assert_eq!(distance(Lpips::load(&files, &device::cpu()).unwrap()), expected);
        }
    }

    #[test]
    fn errors_name_the_file_and_the_parameter() {
        let folder = tempfile::tempdir().unwrap();
        let [of_network, of_heads] = computed(LpipsNetwork::Alex);
        let network = written(folder.path(), "network.safetensors", &of_network);
        let heads = written(folder.path(), "heads.safetensors", &of_heads);
        let message = |files: &[&PathBuf]| Lpips::load(files, &device::cpu()).unwrap_err().to_string();

        assert!(message(&[]).contains("files: there is none"), "{}", message(&[]));
        let alone = message(&[&network]);
        assert!(alone.contains("network.safetensors") && alone.contains("lin0.model.1.weight"), "{alone}");
        let alone = message(&[&heads]);
        assert!(alone.contains("heads.safetensors") && alone.contains("features.0.weight"), "{alone}");
        let twice = message(&[&network, &network, &heads]);
        assert!(twice.contains("is in another file, too"), "{twice}");

        // The heads of the other network, and a tensor without values.
        let [_, other] = computed(LpipsNetwork::Squeeze);
        let other = written(folder.path(), "other.safetensors", &other);
        let wrong = message(&[&network, &other]);
        assert!(wrong.contains("other.safetensors") && wrong.contains("lin1.model.1.weight"), "{wrong}");
        let mut empty = of_network.clone();
        empty.insert("features.8.bias".to_owned(), (vec![0], vec![]));
        let empty = written(folder.path(), "empty.safetensors", &empty);
        let wrong = message(&[&empty, &heads]);
        assert!(wrong.contains("features.8.bias (network [256], file [0])"), "{wrong}");
        std::fs::write(&network, b"not a network").unwrap();
        assert!(message(&[&network, &heads]).contains("network.safetensors"));
    }
}
