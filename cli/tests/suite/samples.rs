//! Files of microscopes and satellites: any type of samples, any number of channels, and pages.

use std::path::Path;

use pix2pix::data::{
    ImageArray, ImageLimits, Page, SampleType, Samples, load_array, page_count, write_arrays,
};

use crate::program::{fails, run, succeeds, told};

const SMALL: [&str; 8] = ["--size", "16", "--base-channels", "2", "--patch", "16", "--workers", "0"];

/// Returns a pattern of whole numbers from 0 to 4000.
fn pattern(seed: usize, channels: usize) -> Vec<u16> {
    let mut samples: Vec<u16> = (0..24 * 24 * channels)
        .map(|at| ((at / channels * 131 + at % channels * 977 + seed * 53) % 4001) as u16)
        .collect();
    (samples[0], samples[1]) = (0, 4000); // the range is that of every file
    samples
}

fn twelve_bits(seed: usize) -> ImageArray {
    ImageArray::new(Samples::U16(pattern(seed, 1)), [1, 24, 24])
}

/// Returns values from −2 to 6 that depend on those of [`twelve_bits`].
fn float(seed: usize) -> ImageArray {
    let values = pattern(seed, 1).into_iter().map(|v| f32::from(v) / 500.0 - 2.0).collect();
    ImageArray::new(Samples::F32(values), [1, 24, 24])
}

fn write(array: &ImageArray, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_arrays(std::slice::from_ref(array), path).unwrap();
}

fn read(path: &Path, page: usize) -> ImageArray {
    load_array(path, Page::Number(page), &ImageLimits::new(), |_| 0).unwrap().array
}

#[test]
fn grey_of_12_bits_becomes_floating_point_numbers_of_the_range_of_the_targets() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for split in ["train", "val"] {
        for index in 0..3 {
            write(&twelve_bits(index), &here.join(format!("data/{split}/A/{index}.tif")));
            write(&float(index), &here.join(format!("data/{split}/B/{index}.tif")));
        }
    }
    let arguments = ["--data", "data", "--out", "run", "--steps", "4", "--range", "0..4095"];
    let measured = ["--target-range", "measured"];
    let shown = succeeds("train", here, &[&SMALL[..], &arguments, &measured].concat());
    assert!(shown.contains("input: 1 channels of u16, from 0 to 4095"), "{shown}");
    assert!(shown.contains("target: 1 channels of f32, from -2 to 6"), "{shown}");

    // A stack gives a stack.
    write_arrays(&[twelve_bits(5), twelve_bits(6), twelve_bits(7)], here.join("stack.tif")).unwrap();
    let translate = ["--weights", "run", "--input", "stack.tif", "--mode", "image", "--output"];
    let output = run("translate", here, &[&translate[..], &["first.tif"]].concat());
    let (status, _, message) = told(output);
    assert!(status == 0 && message.contains("page 1 of 3 of stack.tif"), "{message}");
    assert_eq!(page_count(here.join("first.tif")).unwrap(), 1);
    succeeds("translate", here, &[&translate[..], &["all.tif", "--pages", "all"]].concat());
    assert_eq!(page_count(here.join("all.tif")).unwrap(), 3);
    let pages: Vec<ImageArray> = (0..3).map(|page| read(&here.join("all.tif"), page)).collect();
    assert_eq!(pages[0], read(&here.join("first.tif"), 0));
    assert!(pages[0] != pages[1]);
    for page in &pages {
        assert_eq!((page.samples.sample_type(), page.shape()), (SampleType::F32, [1, 24, 24]));
        let [low, high] = page.range().unwrap();
        assert!(-2.0 <= low && low < high && high <= 6.0, "{low} to {high}");
    }
    let message = fails(1, "translate", here, &[&translate[..], &["one.png"]].concat());
    assert!(message.contains("write them to .tif or .npy"), "{message}");
    succeeds("translate", here, &[&translate[..], &["one.npy"]].concat());
    assert_eq!(read(&here.join("one.npy"), 0), pages[0]);

    // The metrics are those of the values, and outputs have the type of the targets.
    let evaluate = ["--weights", "run", "--data", "data", "--output", "out"];
    assert!(succeeds("evaluate", here, &evaluate).contains("mean of 3"));
    assert_eq!(read(&here.join("out/2.tif"), 0).samples.sample_type(), SampleType::F32);

    // The run goes on with its ranges.
    let resumed = succeeds("train", here, &["--out", "run", "--resume", "--steps", "6"]);
    assert!(resumed.contains("2 steps"), "{resumed}");
}

#[test]
fn arrays_of_any_number_of_channels_are_trained_on_without_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for index in 0..3 {
        let input = Samples::I16(pattern(index, 5).into_iter().map(|v| v as i16 - 2000).collect());
        write(&ImageArray::new(input, [5, 24, 24]), &here.join(format!("data/A/{index}.npy")));
        let target = Samples::U16(pattern(index, 2));
        write(&ImageArray::new(target, [2, 24, 24]), &here.join(format!("data/B/{index}.npy")));
    }
    let arguments = ["--data", "data", "--out", "run", "--steps", "2", "--val-fraction", "0.3"];
    let shown = succeeds("train", here, &[&SMALL[..], &arguments].concat());
    assert!(shown.contains("input: 5 channels of i16, from -2000 to 2000"), "{shown}");
    assert!(shown.contains("target: 2 channels of u16, from 0 to 65535"), "{shown}");
    succeeds("translate", here, &["--weights", "run", "--input", "data/A", "--output", "out"]);
    let output = read(&here.join("out/1.npy"), 0);
    assert_eq!((output.samples.sample_type(), output.shape()), (SampleType::U16, [2, 24, 24]));
    // Files of other channels are named.
    write(&twelve_bits(1), &here.join("grey.tif"));
    let message =
        fails(1, "translate", here, &["--weights", "run", "--input", "grey.tif", "--output", "x.tif"]);
    assert!(message.contains("grey.tif: it has 1 channels, and the network takes 5"), "{message}");
}

#[test]
fn pages_are_channels_or_pairs_of_their_own_and_never_dropped_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for index in 0..2 {
        for (side, seed) in [("A", 0), ("B", 10)] {
            let path = here.join(format!("data/{side}/{index}.tif"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_arrays(&[0, 1, 2, 3].map(|page| twelve_bits(index + page + seed)), path).unwrap();
        }
    }
    let train = |out: &str, more: &[&str]| {
        let arguments = [&SMALL[..], &["--data", "data", "--out", out, "--steps", "2"], more].concat();
        let (status, shown, message) = told(run("train", here, &arguments));
        assert_eq!(status, 0, "{message}");
        (shown, message)
    };
    let (shown, message) = train("first", &[]);
    assert!(shown.contains("2 pairs to train on"), "{shown}");
    assert!(message.contains("4 files with several pages") && message.contains("page 1 of 4"), "{message}");
    assert!(message.contains("reach only") && message.contains("--range measured"), "{message}");
    let (shown, message) = train("all", &["--pages", "all"]);
    assert!(shown.contains("8 pairs to train on") && !message.contains("page 1"), "{shown} {message}");
    let (shown, _) = train("channels", &["--pages", "channels", "--range", "measured"]);
    assert!(shown.contains("2 pairs to train on"), "{shown}");
    assert!(shown.contains("input: 4 channels of u16, from 0 to"), "{shown}");
    succeeds("translate", here, &["--weights", "channels", "--input", "data/A/0.tif", "--output", "out.tif"]);
    assert_eq!(read(&here.join("out.tif"), 0).shape(), [4, 24, 24]);
    // A stack whose partner has another number of pages is named.
    write(&twelve_bits(0), &here.join("data/B/1.tif"));
    let more = ["--data", "data", "--out", "other", "--pages", "all"];
    let message = fails(1, "train", here, &[&SMALL[..], &more].concat());
    assert!(message.contains("1.tif: it has 1 pages") && message.contains("has 4"), "{message}");
}
