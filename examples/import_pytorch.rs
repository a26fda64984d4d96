//! Loads a generator of the PyTorch original, runs it, and exports it for PyTorch.
//!
//! It takes a second. Without an argument it loads a small ResNet of this crate's tests.
//!
//! ```text
//! cargo run --release --example import_pytorch
//! cargo run --release --example import_pytorch latest_net_G.pth
//!
//! Resnet { blocks: 1 }, 1 -> 1 channels, 585 parameters
//! [1, 1, 64, 64] -> [1, 1, 64, 64]
//! written: back.safetensors
//! ```
//!
//! In Python, `net.load_state_dict(safetensors.torch.load_file("back.safetensors"))` loads the exported file. The
//! commands `pix2pix import` and `pix2pix export` do the same.

use pix2pix::pytorch::{self, Import};
use pix2pix::{Mode, Result, Tensor, device};

fn main() -> Result<()> {
    let device = device::best();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/resnet_dropout.pth");
    let path = std::env::args().nth(1).unwrap_or_else(|| default.to_owned());

    // The architecture is inferred from the names and shapes in the file.
    let generator = Import::open(path)?.generator(&device)?;
    let config = generator.config();
    println!(
        "{:?}, {} -> {} channels, {} parameters",
        config.backbone,
        config.input_channels,
        config.output_channels,
        generator.parameter_count()
    );

    // Height and width must be multiples of `size_multiple`; a `Translator` pads other images.
    let side = 64.max(config.size_multiple());
    let input = Tensor::<4>::zeros([1, config.input_channels, side, side], &device);
    let output = generator.forward(input.clone(), Mode::RUNNING); // PyTorch's `.eval()`
    println!("{:?} -> {:?}", input.dims(), output.dims());

    pytorch::save(&pytorch::generator_state(&generator)?, "back.safetensors")?;
    println!("written: back.safetensors");
    Ok(())
}
