//! Decoding, augmentation and batching of pairs of 256 pixels, by file type and workers: `{type}/{workers} workers`.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::{Rgb, RgbImage};
use pix2pix::data::{DataConfig, EpochCursor, PairedFolder};

const PAIRS: u32 = 64;

fn data(criterion: &mut Criterion) {
    let Some((_, device)) = support::devices().into_iter().next() else { return };
    let mut group = criterion.benchmark_group("data");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(PAIRS)));
    for kind in ["jpg", "png"] {
        let folder = tempfile::tempdir().expect("temporary folders can be created");
        for index in 0..PAIRS {
            let wave =
                |x: u32, y: u32| ((f64::from(x * (index + 3) + y * 7) * 0.02).sin() * 127.0 + 128.0) as u8;
            let pair = RgbImage::from_fn(512, 256, |x, y| Rgb([wave(x, y), wave(y, x), (x ^ y) as u8]));
            pair.save(folder.path().join(format!("{index}.{kind}"))).expect("the folder is writable");
        }
        for workers in [0, 1, 2, 4] {
            let config = DataConfig::new().with_workers(workers);
            let pairs = PairedFolder::open(folder.path(), &config).expect("the pairs exist");
            let mut epoch = 0;
            group.bench_function(format!("{kind}/{workers} workers"), |bencher| {
                bencher.iter(|| {
                    epoch += 1;
                    pairs
                        .batches(EpochCursor::new(epoch, 0), &device)
                        .for_each(|batch| drop(batch.expect("the pair is valid")));
                });
            });
        }
    }
}

criterion_group!(benches, data);
criterion_main!(benches);
