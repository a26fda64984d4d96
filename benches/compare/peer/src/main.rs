//! One timing of rten, another runtime in pure Rust, for `benches/compare/run`: `peer FILE.onnx SIZE BATCH ROUNDS`.

use std::time::Instant;

use rten::Model;
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, size, batch, rounds] = &arguments[..] else {
        return Err("usage: peer FILE.onnx SIZE BATCH ROUNDS".into());
    };
    let (size, batch, rounds): (usize, usize, usize) = (size.parse()?, batch.parse()?, rounds.parse()?);
    let model = Model::load_file(file)?;
    let values: Vec<f32> = (0..batch * 3 * size * size).map(|i| (i as f32 * 0.37).sin()).collect();
    let images = NdTensor::from_data([batch, 3, size, size], values);
    let mut seconds = Vec::new();
    for _ in 0..rounds + 2 {
        let start = Instant::now();
        model.run_one(images.view().into(), None)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.drain(..2);
    seconds.sort_by(f64::total_cmp);
    println!("{{\"seconds\": {}}}", seconds[seconds.len() / 2]);
    Ok(())
}
