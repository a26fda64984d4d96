//! A generator of the PyTorch original, `.pth` or `.safetensors`, to a weights file of this crate, and back.
//!
//! ```text
//! cargo run --release --example import_pytorch -- --input latest_net_G.pth --output facades.safetensors
//! cargo run --release --example translate -- --weights facades.safetensors --input labels.png --output photo.png
//! cargo run --release --example import_pytorch -- --input latest_net_G.pth --discriminator latest_net_D.pth --output runs/more
//! cargo run --release --example import_pytorch -- --export --input runs/demo --output net_G.safetensors
//! cargo run --release --example import_pytorch -- --export --input runs/demo --output net_G.safetensors --discriminator net_D.safetensors
//! ```
//!
//! With a discriminator the import's output is a run folder, from which `Trainer::resume` goes on. Exported files are
//! for PyTorch: `net.load_state_dict(safetensors.torch.load_file("net_G.safetensors"))`.

mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pix2pix::{Pix2PixConfig, Result, Trainer, Translator, pytorch};

#[derive(Parser)]
#[command(about = "Brings a generator over from the PyTorch original, or takes one there")]
struct Options {
    /// A `.pth` or `.safetensors` of the PyTorch original; with --export, a run folder or weights file
    #[arg(long)]
    input: PathBuf,
    /// The discriminator that belongs to the generator; with --export, the file to write that of the run folder to
    #[arg(long)]
    discriminator: Option<PathBuf>,
    /// The file, or with --discriminator the run folder, to write
    #[arg(long)]
    output: PathBuf,
    /// Write safetensors with the names of the PyTorch original
    #[arg(long)]
    export: bool,
    #[command(flatten)]
    common: support::Common,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let device = options.common.device()?;
    if options.export {
        let translator = Translator::load(&options.input, &device)?;
        let state = pytorch::generator_state(translator.generator());
        pytorch::save(&state, &options.output)?;
        println!("{} tensors: {}", state.len(), options.output.display());
        if let Some(path) = &options.discriminator {
            let trainer = Trainer::resume(&options.input, &device)?;
            let state = pytorch::discriminator_state(trainer.discriminator());
            pytorch::save(&state, path)?;
            println!("{} tensors: {}", state.len(), path.display());
        }
        return Ok(());
    }
    let translator = Translator::load(&options.input, &device)?;
    let generator = translator.generator();
    println!("{:?}, {} parameters", generator.config().backbone, generator.parameter_count());
    match &options.discriminator {
        Some(path) => {
            let discriminator =
                pytorch::Import::open(path)?.discriminator_for(generator.config(), &device)?;
            println!("{:?}, {} parameters", discriminator.config(), discriminator.parameter_count());
            let Pix2PixConfig { loss, data, training, .. } = translator.config().clone();
            let generator = generator.clone();
            Trainer::from_networks(generator, discriminator, loss, data, training, &device)?
                .save(&options.output)?;
        }
        None => translator.save(&options.output)?,
    }
    println!("{}", options.output.display());
    Ok(())
}
