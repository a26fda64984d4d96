//! A façade: its layout, its label map, and the "photograph" painted from it.

use image::{Rgb, RgbImage, imageops};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::paint::{Color, hash, masonry, mix, noise, scale, tile};

/// Draws pair `index` of the set `seed`: label map and photograph, `size`×`size` pixels each.
///
/// The result depends only on the arguments.
///
/// # Examples
/// ```
/// let (labels, photograph) = pix2pix::demo::pair(0, 0, 64);
/// assert_eq!((labels.dimensions(), photograph.dimensions()), ((64, 64), (64, 64)));
/// ```
pub fn pair(seed: u64, index: u64, size: u32) -> (RgbImage, RgbImage) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    let facade = Facade::draw(&mut rng);
    let class = |x, y| facade.parts.iter().rfind(|(_, area)| area.contains(x, y)).map_or(SKY, |part| part.0);
    let label = |x, y| facade.label(class(x, y));
    // In small images a glazing bar is narrower than a pixel, so they need more samples per pixel.
    let samples = if size <= 128 { 4 } else { 2 };
    let photograph = rasterize(size * samples, |x, y| facade.color(x, y).map(|v| (v * 255.0) as u8));
    (rasterize(size, label), imageops::thumbnail(&photograph, size, size))
}

fn rasterize(side: u32, color: impl Fn(f32, f32) -> [u8; 3]) -> RgbImage {
    let unit = |at: u32| (at as f32 + 0.5) / side as f32;
    RgbImage::from_fn(side, side, |x, y| Rgb(color(unit(x), unit(y))))
}

/// A class, by its colour on the label map. [`Facade::label`] shades it where one class has several colours.
type Class = [u8; 3];
const SKY: Class = [0, 0, 170];
const NEIGHBOUR: Class = [120, 0, 170];
const GROUND: Class = [110, 110, 110];
const WALL: Class = [0, 70, 255];
const ROOF: Class = [255, 60, 0];
const TRIM: Class = [0, 255, 255];
const WINDOW: Class = [0, 160, 60];
const SHUTTER: Class = [255, 255, 0];
const BALCONY: Class = [170, 255, 85];
const DOOR: Class = [255, 160, 0];
const SHOP: Class = [170, 0, 0];

/// Later parts cover earlier ones.
type Parts = Vec<(Class, Area)>;
const WHITE: Color = [0.97, 0.96, 0.93];
const DARK: Color = [0.11, 0.12, 0.15];
const LAMP: Color = [1.0, 0.84, 0.5];

/// A box in units of the image's side, with y pointing down. Its top may be round, or narrower by `slope` at both ends.
#[derive(Clone, Copy, Default)]
struct Area {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
    arched: bool,
    slope: f32,
}

impl Area {
    fn new(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self { left, top, right, bottom, ..Self::default() }
    }

    fn inset(&self, by: f32) -> Self {
        let Self { left, top, right, bottom, .. } = *self;
        Self { left: left + by, top: top + by, right: right - by, bottom: bottom - by, ..*self }
    }

    /// Returns the position of a point within the box: (0, 0) is the top left corner, (1, 1) the bottom right.
    fn local(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - self.left) / (self.right - self.left), (y - self.top) / (self.bottom - self.top))
    }

    fn contains(&self, x: f32, y: f32) -> bool {
        let radius = (self.right - self.left) / 2.0;
        let (dx, dy) = ((x - self.left - radius).abs(), (self.top + radius - y).max(0.0));
        let reach = || if self.arched { dx.hypot(dy) } else { dx + self.slope * (1.0 - self.local(x, y).1) };
        dx < radius && (self.top..self.bottom).contains(&y) && reach() < radius
    }
}

struct Facade {
    parts: Parts,
    /// Indices of the colours of wall, accent, sky and roof.
    shades: [u8; 4],
    front: Area,
    wall: Color,
    /// The blocks of the wall: length, height, width of the joint, variation of brightness.
    bond: [f32; 4],
    frame: Color,
    accent: Color,
    roof: Color,
    sky: (Color, Color),
    salt: u32,
}

impl Facade {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let [arched, shutters] = [0.4, 0.35].map(|odds| rng.random_bool(odds));
        let (left, right) = (rng.random_range(0.0..0.15), rng.random_range(0.85..1.0));
        let front = Area::new(left, rng.random_range(0.13..0.27), right, 0.94);
        let mut parts = vec![
            (SKY, Area::new(0.0, 0.0, 1.0, 1.0)),
            (NEIGHBOUR, Area::new(0.0, rng.random_range(0.2..0.6), left, 1.0)),
            (NEIGHBOUR, Area::new(right, rng.random_range(0.2..0.6), 1.0, 1.0)),
            (GROUND, Area::new(0.0, front.bottom, 1.0, 1.0)),
        ];
        add_roof(&mut parts, rng, front);
        add_floors(&mut parts, rng, front, arched, shutters);
        let course = 0.054;
        let walls = [
            [[0.6, 0.2, 0.13], [0.75, 0.4, 0.2], [0.42, 0.2, 0.19]],
            [[0.74, 0.66, 0.5], [0.56, 0.56, 0.56], [0.66, 0.54, 0.44]],
            [[1.0, 0.88, 0.5], [0.98, 0.7, 0.56], [0.72, 0.9, 0.95]],
        ];
        let bonds = [
            [course * 2.2, course, 0.25, 0.25],
            [course * 3.4, course * 1.8, 0.15, 0.2],
            [1.0, 1.0, 0.0, 0.0], // plaster
        ];
        let accents = [[0.14, 0.36, 0.26], [0.55, 0.13, 0.12], [0.15, 0.27, 0.48]];
        let roofs = [[0.66, 0.28, 0.18], [0.38, 0.4, 0.45]];
        let skies = [
            ([0.3, 0.6, 0.95], [0.78, 0.91, 1.0]),
            ([0.62, 0.5, 0.74], [1.0, 0.82, 0.6]),
            ([0.8, 0.83, 0.88], [0.94, 0.95, 0.96]),
        ];
        let wall = if shutters { rng.random_range(3..9) } else { rng.random_range(0..9) };
        let [accent, sky, roof] = [3, 3, 2].map(|count| rng.random_range(0..count));
        Self {
            parts,
            shades: [wall, accent, sky, roof].map(|shade| shade as u8),
            front,
            wall: walls[wall / 3][wall % 3],
            bond: bonds[wall / 3],
            frame: pick(rng, &[[0.42, 0.27, 0.16], [0.3, 0.33, 0.36]]),
            accent: accents[accent],
            roof: roofs[roof],
            sky: skies[sky],
            salt: rng.random_range(0..1 << 30),
        }
    }

    /// Returns the label map's colour for a class. It encodes the shade, where one class has several.
    fn label(&self, class: Class) -> [u8; 3] {
        let [wall, accent, sky, roof] = self.shades;
        let [r, g, b] = class;
        match class {
            WALL => [110 * (wall / 3), g + 70 * (wall % 3), b],
            SHUTTER | DOOR | SHOP => [r, g, 120 * accent],
            SKY => [r, 60 * sky, b],
            ROOF => [r, g, 160 * roof],
            _ => class,
        }
    }

    /// Returns the photograph's colour at a point.
    fn color(&self, x: f32, y: f32) -> Color {
        let grain = 0.12 * (hash(x.to_bits() as i32, y.to_bits() as i32, self.salt) - 0.5);
        let light = 1.08 + grain - 0.4 * ((x - 0.5).powi(2) + (y - 0.5).powi(2));
        let mut shaded = false;
        for (salt, (class, area)) in (self.salt..).zip(self.parts.iter().rev()) {
            if let Some(color) = area.contains(x, y).then(|| self.paint(*class, area, salt, x, y)).flatten() {
                let dim = shaded && !matches!(*class, SKY | NEIGHBOUR);
                return scale(color, if dim { light * 0.5 } else { light });
            }
            // The sun is at the left; parts that stand out cast shadows.
            shaded |= matches!(*class, ROOF | TRIM | BALCONY | SHUTTER) && area.contains(x - 0.016, y - 0.02);
        }
        DARK
    }

    /// Returns the photograph's colour at a point of a part, or `None` where the part is open.
    fn paint(&self, class: Class, area: &Area, salt: u32, x: f32, y: f32) -> Option<Color> {
        let ((u, v), width) = (area.local(x, y), area.right - area.left);
        let trim = scale(mix(self.wall, WHITE, 0.65), 1.1 - 0.2 * v);
        Some(match class {
            SKY => mix(mix(self.sky.0, self.sky.1, y / 0.5), WHITE, 2.4 * noise(x, y * 2.0, 6.0, salt) - 1.4),
            NEIGHBOUR if (u - 0.5).abs() * width < 0.03 && (v * 5.0).fract() > 0.4 => [0.4, 0.42, 0.5],
            NEIGHBOUR => [0, 1, 2].map(|c| 0.16 + 0.1 * hash(c, 0, salt)),
            GROUND => masonry([0.3, 0.3, 0.32], [0.14; 3], [0.11, 0.03, 0.1, 0.2], salt, x, y),
            // Courses begin at the corner of the front, so that the label map determines where they are.
            WALL => {
                let (x, y) = (x - self.front.left, y - self.front.top);
                masonry(self.wall, mix(self.wall, [0.85, 0.8, 0.72], 0.6), self.bond, self.salt, x, y)
            }
            ROOF => masonry(self.roof, scale(self.roof, 0.5), [0.05, 0.042, 0.22, 0.4], salt, x, y),
            TRIM if width > 0.5 && v > 0.5 && (x / 0.036).fract() < 0.45 => scale(trim, 0.6),
            TRIM => trim,
            SHUTTER => scale(self.accent, 0.65 + 0.75 * (y / 0.026).fract()),
            BALCONY if v > 0.84 => trim,
            BALCONY if v > 0.1 && (u * (width / 0.03).round()).fract() > 0.42 => return None,
            BALCONY => DARK,
            WINDOW => self.window(area, salt, x, y),
            DOOR if v < 0.25 => self.window(&Area { bottom: area.top + 0.1, ..*area }, salt, x, y),
            DOOR if (u - 0.16).abs() < 0.08 && (v - 0.66).abs() < 0.04 => LAMP,
            DOOR if (u - 0.5).abs() < 0.3 && (v * 2.7).fract() < 0.7 => scale(self.accent, 0.5 + 0.4 * v),
            DOOR => scale(self.accent, 1.15),
            _ => self.shop(area, salt, x, y),
        })
    }

    fn window(&self, area: &Area, salt: u32, x: f32, y: f32) -> Color {
        let random = |n| hash(n, 0, salt);
        let glass = area.inset(0.013);
        let (u, v) = glass.local(x, y);
        let bar = (u - 0.5).abs() * (glass.right - glass.left) < 0.006 || (v - 0.36).abs() < 0.04;
        if !glass.contains(x, y) || bar {
            return scale(self.frame, 1.0 - 0.15 * v);
        }
        let glare = ((v * 0.7 - u + random(0)) * 1.6).rem_euclid(1.0) < 0.35;
        let mirror = mix(mix(self.sky.0, self.sky.1, 0.5), DARK, if glare { 0.5 } else { 0.8 } + 0.2 * v);
        let pane = if random(1) < 0.12 { mix(LAMP, [0.8, 0.52, 0.22], v) } else { mirror };
        let drawn = (random(2) - 0.6).max(0.0) * (1.2 - 0.5 * v);
        let cloth = (u - 0.5).abs() > 0.5 - drawn * 0.6 || v < random(3) - 0.6;
        let recess = if glass.contains(x - 0.012, y - 0.016) { 1.0 } else { 0.6 };
        scale(mix(pane, WHITE, if cloth { 0.6 + 0.1 * (u * 40.0).sin() } else { 0.0 }), recess)
    }

    fn shop(&self, area: &Area, salt: u32, x: f32, y: f32) -> Color {
        let (u, v) = area.local(x, y);
        let (across, above, goods) = tile(x, y, 0.036, 0.05, salt);
        match v {
            0.05..0.15 if across > 0.3 => LAMP,
            ..0.2 | 0.9.. => scale(self.accent, 0.75),
            ..0.46 => scale(if (x / 0.06).fract() < 0.5 { self.accent } else { WHITE }, 1.35 - 1.1 * v),
            _ if !(0.05..0.95).contains(&u) => scale(self.frame, 0.85),
            0.62.. if across > 0.25 && above > 0.3 => [goods, 0.5, (goods * 7.0).fract()],
            _ => mix(LAMP, DARK, if v < 0.54 { 0.9 } else { 0.35 + 0.4 * hash(0, 0, salt) }),
        }
    }
}

fn add_roof(parts: &mut Parts, rng: &mut ChaCha8Rng, front: Area) {
    let Area { left, top: eaves, right, .. } = front;
    let (top, width) = (rng.random_range(0.03..eaves - 0.08), right - left);
    let x = left + rng.random_range(0.15..0.75) * width;
    parts.push((WALL, Area::new(x, top - 0.03, x + 0.08, eaves)));
    let (slope, dormers) = pick(rng, &[(0.03, 2), (0.12, 3), (width / 2.0, 0), (0.1, 0)]);
    if rng.random_bool(0.75) {
        parts.push((ROOF, Area { slope, ..Area::new(left - 0.02, top, right + 0.02, eaves) }));
        for n in 0..dormers {
            let x = left + width * (n as f32 + 0.5) / dormers as f32;
            let dormer = Area::new(x - 0.05, eaves - 0.1, x + 0.05, eaves);
            parts.extend([(TRIM, dormer), (WINDOW, dormer.inset(0.016))]);
        }
    }
    let cornice = Area::new(left - 0.02, eaves, right + 0.02, eaves + rng.random_range(0.03..0.05));
    parts.extend([(WALL, front), (TRIM, cornice)]);
}

fn add_floors(parts: &mut Parts, rng: &mut ChaCha8Rng, front: Area, arched: bool, shutters: bool) {
    let Area { left, top, right, bottom: street, .. } = front;
    let floors = rng.random_range(2..5);
    let bays = floors + rng.random_range(0..2);
    let (bay, storey) = ((right - left) / bays as f32, (street - top - 0.05) / floors as f32);
    let door = rng.random_range(0..bays);
    let [shop, bands] = [0.4, 0.5].map(|odds| rng.random_bool(odds));
    let (balconies, surround) = (pick(rng, &[0.0, 0.0, 0.4, 1.0]), pick(rng, &[0.0, 0.016]));
    let tall = rng.random_range(0.58..0.7) * storey;
    let wide = (rng.random_range(0.46..0.6) * bay).min(0.7 * tall) * if shutters { 0.85 } else { 1.0 };
    for (floor, n) in (0..floors).flat_map(|floor| (0..bays).map(move |n| (floor, n))) {
        let (base, x) = (street - storey * floor as f32, left + bay * (n as f32 + 0.5));
        let (sill, side) = (base - (storey - tall) * 0.45, wide / 2.0);
        let opening = Area { arched, ..Area::new(x - side, sill - tall, x + side, sill) };
        if n == 0 && floor > 0 && (bands || shop && floor == 1) {
            parts.push((TRIM, Area::new(left, base - 0.012, right, base + 0.014)));
        }
        if floor == 0 && n == door {
            let door = Area { bottom: street, ..opening };
            parts.extend([(TRIM, Area { bottom: street, ..door.inset(-0.016) }), (DOOR, door)]);
        } else if floor == 0 && shop {
            parts.push((SHOP, Area::new(x - bay / 2.0, street - storey * 0.88, x + bay / 2.0, street)));
        } else if floor > 0 && rng.random_bool(balconies) {
            let reach = (bay * 0.5 - 0.012).min(wide * 0.8);
            let balcony = Area::new(x - reach, base - 0.42 * storey, x + reach, base - 0.02);
            parts.extend([(WINDOW, opening), (BALCONY, balcony)]);
        } else {
            let leaves = Area::new(x - wide * 0.92, sill - tall, x + wide * 0.92, sill);
            let around = if shutters { (SHUTTER, leaves) } else { (TRIM, opening.inset(-surround)) };
            let ledge = Area::new(x - side - 0.018, sill, x + side + 0.018, sill + 0.02);
            parts.extend([around, (TRIM, ledge), (WINDOW, opening)]);
        }
    }
}

fn pick<T: Copy>(rng: &mut ChaCha8Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())]
}
