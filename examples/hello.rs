//! Builds the paper's two networks with random weights, runs each once, and prints their sizes.
//!
//! It takes two seconds.
//!
//! ```text
//! cargo run --release --example hello
//!
//! U-Net           54413955 parameters  [1, 3, 256, 256] -> [1, 3, 256, 256]
//! 70x70 PatchGAN   2768705 parameters  [1, 3, 256, 256] twice -> [1, 1, 30, 30]
//! ```

use pix2pix::{DiscriminatorConfig, GeneratorConfig, Mode, Tensor, device};

fn main() {
    // A GPU if one is compiled in and present, else the CPU.
    let device = device::best();

    // The generator translates a condition of 3 channels into an image of 3 channels.
    let generator = GeneratorConfig::new(3, 3).init(&device);
    let input = Tensor::<4>::zeros([1, 3, 256, 256], &device);
    let output = generator.forward(input.clone(), Mode::PAPER);

    // The discriminator looks at condition and image together and gives one logit for each patch.
    let config = DiscriminatorConfig::new(3, 3);
    let discriminator = config.init(&device);
    let logits = discriminator.forward(input.clone(), output.clone(), Mode::PAPER);

    let count = generator.parameter_count();
    println!("U-Net           {count} parameters  {:?} -> {:?}", input.dims(), output.dims());
    let (side, count) = (config.receptive_field(), discriminator.parameter_count());
    println!("{side}x{side} PatchGAN   {count} parameters  {:?} twice -> {:?}", input.dims(), logits.dims());
}
