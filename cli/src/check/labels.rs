//! Recognises label maps by their colours, and writes the palette.

use std::collections::HashMap;

use image::RgbImage;

use super::signature::MAX_COLOURS;

/// The largest distance of a channel from a class's colour in a label map with JPEG noise.
const RADIUS: i32 = 20;
/// The largest distance of a channel that JPEG leaves in even areas.
const NOISE: i32 = 9;
/// The smallest part of the pixels of a label map that lie in even areas.
const MIN_PURITY: f64 = 0.6;
/// The smallest part of the pixels that makes a colour among JPEG noise a class.
const MIN_SHARE: f64 = 0.004;
/// The largest number of classes.
const MAX_CLASSES: usize = 40;

/// The colours of one half over the pairs of a split.
#[derive(Clone, Debug, Default)]
pub(crate) struct Colours {
    /// Pixels by exact colour; emptied when there are too many colours.
    exact: HashMap<[u8; 3], u64>,
    is_many: bool,
    /// Pixels by the upper 5 bits of each channel, with the sums of the channels.
    coarse: HashMap<u16, [u64; 4]>,
}

/// What the colours of one half say.
#[derive(Clone, Debug)]
pub(crate) struct Palette {
    pub(crate) colours: Vec<[u8; 3]>,
    /// Whether other colours surround those of the classes, as JPEG makes them.
    pub(crate) has_noise: bool,
}

impl Colours {
    /// Adds an image and returns the number of its colours, up to a limit.
    pub(crate) fn add(&mut self, image: &RgbImage) -> usize {
        let mut exact: HashMap<[u8; 3], u64> = HashMap::new();
        let mut at = 0;
        let pixels: &[u8] = image.as_raw();
        // Runs of equal pixels are common in label maps.
        while at < pixels.len() {
            let colour = [pixels[at], pixels[at + 1], pixels[at + 2]];
            let start = at;
            while at < pixels.len() && pixels[at..at + 3] == colour {
                at += 3;
            }
            let count = ((at - start) / 3) as u64;
            let bin = colour.iter().fold(0u16, |bin, level| bin << 5 | u16::from(level >> 3));
            let sums = self.coarse.entry(bin).or_default();
            sums[3] += count;
            for (sum, level) in sums.iter_mut().zip(colour) {
                *sum += count * u64::from(level);
            }
            if exact.len() < MAX_COLOURS {
                *exact.entry(colour).or_default() += count;
            }
        }
        let distinct = exact.len();
        if !self.is_many {
            for (colour, count) in exact {
                *self.exact.entry(colour).or_default() += count;
            }
            self.limit();
        }
        distinct
    }

    /// Adds the colours of other images.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.is_many |= other.is_many;
        for (colour, count) in &other.exact {
            *self.exact.entry(*colour).or_default() += count;
        }
        self.limit();
        for (bin, sums) in &other.coarse {
            let own = self.coarse.entry(*bin).or_default();
            for (own, sum) in own.iter_mut().zip(sums) {
                *own += sum;
            }
        }
    }

    fn limit(&mut self) {
        if self.exact.len() > MAX_COLOURS {
            self.is_many = true;
        }
        if self.is_many {
            self.exact = HashMap::new();
        }
    }

    /// Returns the palette if the images are label maps: a few colours cover nearly all pixels.
    pub(crate) fn palette(&self) -> Option<Palette> {
        let total: u64 = self.coarse.values().map(|sums| sums[3]).sum();
        if !self.is_many && (2..=MAX_CLASSES).contains(&self.exact.len()) {
            let mut colours: Vec<_> = self.exact.keys().copied().collect();
            colours.sort_unstable();
            let is_apart = |a: &[u8; 3], b: &[u8; 3]| distance(*a, *b) > NOISE;
            if colours.windows(2).all(|pair| is_apart(&pair[0], &pair[1])) {
                return Some(Palette { colours, has_noise: false });
            }
        }
        let bins = self.coarse.values().map(|s| ([0, 1, 2].map(|c| (s[c] / s[3].max(1)) as u8), s[3]));
        let mut bins: Vec<([u8; 3], u64)> = bins.collect();
        bins.sort_unstable_by_key(|(colour, count)| (std::cmp::Reverse(*count), *colour));
        // The colour of each class, all pixels near it, and those very near it.
        let mut classes: Vec<([u8; 3], u64, u64)> = Vec::new();
        for (colour, count) in bins {
            match classes.iter_mut().position(|class| distance(class.0, colour) <= RADIUS) {
                Some(at) => {
                    classes[at].1 += count;
                    classes[at].2 += if distance(classes[at].0, colour) <= NOISE { count } else { 0 };
                }
                None if classes.len() < MAX_CLASSES => classes.push((colour, count, count)),
                None => {}
            }
        }
        classes.retain(|class| class.2 as f64 > MIN_SHARE * total as f64);
        let core: u64 = classes.iter().map(|class| class.2).sum();
        let largest = classes.iter().map(|class| class.2).max().unwrap_or(0);
        // One colour may be a white background: the others must be as pure.
        let part = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
        let purity = [part(core, total), part(core - largest, total - largest)];
        let is_map =
            (2..=MAX_CLASSES).contains(&classes.len()) && purity.iter().all(|part| *part > MIN_PURITY);
        let colours = classes.into_iter().map(|class| class.0).collect();
        is_map.then_some(Palette { colours, has_noise: true })
    }

    /// Returns those of `colours` that more than 1 in 10,000 pixels have.
    pub(crate) fn present(&self, colours: &[[u8; 3]]) -> Vec<[u8; 3]> {
        let total: u64 = self.coarse.values().map(|sums| sums[3]).sum();
        let mut counts = vec![0u64; colours.len()];
        let mut add = |colour: [u8; 3], count: u64| {
            let nearest = colours.iter().enumerate().min_by_key(|(_, class)| distance(**class, colour));
            if let Some((at, class)) = nearest
                && distance(*class, colour) <= RADIUS
            {
                counts[at] += count;
            }
        };
        if self.is_many {
            self.coarse.values().for_each(|s| add([0, 1, 2].map(|c| (s[c] / s[3].max(1)) as u8), s[3]));
        } else {
            self.exact.iter().for_each(|(colour, count)| add(*colour, *count));
        }
        let is_present = |(_, count): &(&[u8; 3], u64)| *count * 10_000 > total;
        colours.iter().zip(counts).filter(is_present).map(|(colour, _)| *colour).collect()
    }
}

/// Returns the largest difference of a channel.
fn distance(a: [u8; 3], b: [u8; 3]) -> i32 {
    (0..3).map(|c| (i32::from(a[c]) - i32::from(b[c])).abs()).max().unwrap_or(0)
}

impl Palette {
    /// Returns whether the only colours are two greys, as in drawings of edges.
    pub(crate) fn is_drawing(&self) -> bool {
        self.colours.len() == 2 && self.colours.iter().all(|[r, g, b]| r.max(g).max(b) - r.min(g).min(b) < 16)
    }

    /// Returns the palette as the TOML that `--labels` reads.
    pub(crate) fn toml(&self) -> String {
        let class = |(at, [r, g, b]): (usize, &[u8; 3])| {
            format!("[[class]]\nname = \"class{at}\"\ncolor = [{r}, {g}, {b}]\n")
        };
        self.colours.iter().enumerate().map(class).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn few_colours_are_a_palette_and_noise_around_them_is_told() {
        let classes = [[0u8, 0, 170], [255, 60, 0], [110, 110, 110]];
        let clean = RgbImage::from_fn(32, 32, |x, _| Rgb(classes[x as usize / 11]));
        let mut colours = Colours::default();
        assert_eq!(colours.add(&clean), 3);
        let palette = colours.palette().unwrap();
        assert_eq!((palette.colours.len(), palette.has_noise), (3, false));
        assert!(palette.toml().starts_with("[[class]]\nname = \"class0\"\ncolor = [0, 0, 170]\n"));
        let mut colours = Colours::default();
        colours.add(&RgbImage::from_fn(32, 32, |x, y| {
            Rgb(classes[x as usize / 11]
                .map(|level| level.saturating_add((y % 8) as u8).saturating_sub((x % 5) as u8)))
        }));
        let palette = colours.palette().unwrap();
        assert_eq!((palette.colours.len(), palette.has_noise), (3, true));
        let mut colours = Colours::default();
        colours.add(&RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 4, y as u8 * 4, (x * y % 256) as u8])));
        assert!(colours.palette().is_none());
    }
}
