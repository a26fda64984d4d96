//! Translates an image with a trained generator, in three modes.
//!
//! It needs the run of the example `train` and takes two seconds.
//!
//! ```text
//! cargo run --release --example translate
//!
//! runs/demo/labels.png -> runs/demo/paper.png
//! runs/demo/labels.png -> runs/demo/image.png
//! runs/demo/labels.png -> runs/demo/running.png
//! ```
//!
//! The command `pix2pix translate` does the same for whole folders.

use pix2pix::{Mode, Result, Translator, demo, device};

fn main() -> Result<()> {
    // A run folder, a weights file, or a file of the PyTorch original.
    let translator = Translator::load("runs/demo", &device::best())?;

    // A label map that is not in the training set, with a side three times as long as in training.
    let input = "runs/demo/labels.png";
    let (labels, _) = demo::pair(1, 0, 192);
    labels.save(input).expect("runs/demo can be written");

    let modes = [
        ("paper", Mode::PAPER.with_noise(7)), // dropout on, as in the paper; another seed gives another output
        ("image", Mode::IMAGE),               // dropout off, normalised by the statistics of the image
        ("running", Mode::RUNNING),           // dropout off, normalised by the running statistics
    ];
    for (name, mode) in modes {
        let output = format!("runs/demo/{name}.png");
        let photograph = translator.clone().with_mode(mode).translate_file(input)?;
        photograph.save(&output).expect("runs/demo can be written");
        println!("{input} -> {output}");
    }
    Ok(())
}
