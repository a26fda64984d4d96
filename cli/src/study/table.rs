//! The tables of a study: variants of one configuration, read from TOML.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use pix2pix::{Backbone, Condition, DiscriminatorConfig, Pix2PixConfig};
use serde::{Deserialize, Serialize};

/// The default tables of a study.
const PAPER_TABLES: [(&str, &str); 4] = [
    ("objective.toml", include_str!("../../study/objective.toml")),
    ("generator.toml", include_str!("../../study/generator.toml")),
    ("patch.toml", include_str!("../../study/patch.toml")),
    ("colour.toml", include_str!("../../study/colour.toml")),
];

/// One table: variants to compare, and claims about them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) about: String,
    /// Names of metrics.
    pub(crate) columns: Vec<String>,
    #[serde(rename = "variant")]
    pub(crate) variants: Vec<Variant>,
    #[serde(rename = "claim", default)]
    pub(crate) claims: Vec<Claim>,
}

/// A row of a table: changes of the study's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Changed fields, as in `config.json`.
    #[serde(default)]
    config: serde_json::Value,
    /// Another architecture of the generator, with the depth of the study's.
    #[serde(default)]
    backbone: Option<Shape>,
    /// Side of the discriminator's patches, or the widest that fits if images are too small for it.
    #[serde(default)]
    patch: Option<usize>,
    /// The paper's values of the metrics, by name.
    #[serde(default)]
    pub(crate) paper: std::collections::BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Shape {
    Unet,
    EncoderDecoder,
}

/// A claim that a metric is higher for one variant than for another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    pub(crate) says: String,
    pub(crate) metric: String,
    pub(crate) higher: String,
    pub(crate) lower: String,
}

impl Table {
    /// Reads tables from files, or returns the default tables if there are no files.
    pub(crate) fn all(files: &[impl AsRef<Path>]) -> Result<Vec<Self>> {
        if files.is_empty() {
            return PAPER_TABLES.iter().map(|(name, text)| Self::parse(Path::new(name), text)).collect();
        }
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            Self::parse(path, &text)
        };
        files.iter().map(|path| read(path.as_ref())).collect()
    }

    /// Replaces the names of metrics that an earlier version named otherwise.
    fn with_current_names(mut self) -> Self {
        let claims = self.claims.iter_mut().map(|claim| &mut claim.metric);
        for name in self.columns.iter_mut().chain(claims) {
            *name = current_name(name).to_owned();
        }
        for variant in &mut self.variants {
            let paper = std::mem::take(&mut variant.paper).into_iter();
            variant.paper = paper.map(|(name, value)| (current_name(&name).to_owned(), value)).collect();
        }
        self
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let table: Self = toml::from_str(text).with_context(|| path.display().to_string())?;
        let table = table.with_current_names();
        for claim in &table.claims {
            for name in [&claim.higher, &claim.lower] {
                if !table.variants.iter().any(|variant| variant.name == *name) {
                    bail!("{}: a claim names `{name}`, which is not a variant of this table", path.display());
                }
            }
        }
        if let Some(name) = table.columns.iter().find(|name| super::score::column(name).is_none()) {
            bail!("{}: the column `{name}` is not a metric", path.display());
        }
        Ok(table)
    }
}

/// Returns the current name of a metric that an earlier version named otherwise.
pub(crate) fn current_name(metric: &str) -> &str {
    match metric {
        "ssim" => "ssim_signed",
        _ => metric,
    }
}

impl Variant {
    /// Returns the study's configuration with this variant's changes.
    pub(crate) fn configure(&self, base: &Pix2PixConfig) -> Result<Pix2PixConfig> {
        let mut config = match &self.config {
            serde_json::Value::Null => base.clone(),
            changes => base.with_overrides(changes)?,
        };
        if let (Some(shape), Backbone::Unet { depth }) = (self.backbone, config.generator.backbone) {
            config.generator.backbone = match shape {
                Shape::Unet => Backbone::Unet { depth },
                Shape::EncoderDecoder => Backbone::EncoderDecoder { depth },
            };
        }
        if let Some(patch) = self.patch {
            config.discriminator.layers = layers(patch, &config.discriminator)?;
            let size = config.data.crop_size.height;
            while config.discriminator.patch_map_size([size; 2]).is_none() && config.discriminator.layers > 0
            {
                config.discriminator.layers -= 1;
            }
        }
        config.validate()?;
        Ok(config)
    }

    /// Describes the difference between the variant's patch and that of its configuration, which images may limit.
    pub(crate) fn note(&self, config: &Pix2PixConfig) -> Option<String> {
        let seen = config.discriminator.receptive_field();
        let is_less = self.patch.is_some_and(|patch| patch > seen);
        is_less.then(|| format!("at {} pixels the widest is {seen}×{seen}", config.data.crop_size))
    }
}

/// Returns the side of patches in the paper's proportion, 70 of 256 pixels, but at least 16.
pub(crate) fn patch(size: usize) -> usize {
    match size {
        ..128 => 16,
        128..256 => 34,
        _ => 70,
    }
}

/// Returns the number of layers of a discriminator with patches of this side.
pub(crate) fn layers(patch: usize, config: &DiscriminatorConfig) -> Result<usize> {
    let sees = |layers: &usize| config.clone().with_layers(*layers).receptive_field() == patch;
    (0..=DiscriminatorConfig::MAX_LAYERS)
        .find(sees)
        .ok_or_else(|| anyhow!("patch: {patch} is not 1, 16, 34, 70, 142, 286 or 574"))
}

/// A configuration to train. Variants with equal configurations share one.
pub(crate) struct Job {
    /// The name of its run folders.
    pub(crate) slug: String,
    pub(crate) config: Pix2PixConfig,
}

/// A variant's job, by index, and its note.
pub(crate) type Assigned = (usize, Option<String>);

/// Returns each distinct configuration of the tables once, and for each table the jobs of its variants.
pub(crate) fn jobs(tables: &[Table], base: &Pix2PixConfig) -> Result<(Vec<Job>, Vec<Vec<Assigned>>)> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut rows = Vec::new();
    for table in tables {
        let mut row = Vec::new();
        for variant in &table.variants {
            let config = variant.configure(base)?;
            let known = jobs.iter().position(|job| job.config == config);
            let note = variant.note(&config);
            let job = known.unwrap_or_else(|| {
                jobs.push(Job { slug: slug(&config), config });
                jobs.len() - 1
            });
            row.push((job, note));
        }
        rows.push(row);
    }
    Ok((jobs, rows))
}

/// Returns the name and the job of the first row of this name, of any table.
pub(crate) fn named<'a>(
    name: &'a str,
    tables: &[Table],
    jobs: &'a [Job],
    rows: &[Vec<Assigned>],
) -> Result<(&'a str, &'a Job)> {
    let variants = tables.iter().zip(rows).flat_map(|(table, row)| table.variants.iter().zip(row));
    let found = variants.clone().find(|(variant, _)| variant.name == name);
    match found {
        Some((_, (job, _))) => Ok((name, &jobs[*job])),
        None => {
            let names: Vec<&str> = variants.map(|(variant, _)| variant.name.as_str()).collect();
            bail!("--blind: `{name}` is not a row of the tables; they have {}", names.join(", "))
        }
    }
}

/// Returns a folder name that is unique to a configuration within a study.
fn slug(config: &Pix2PixConfig) -> String {
    let (loss, discriminator) = (&config.loss, &config.discriminator);
    let mut parts = vec![match config.generator.backbone {
        Backbone::Unet { .. } => "unet".to_owned(),
        Backbone::EncoderDecoder { .. } => "encoder-decoder".to_owned(),
        Backbone::Resnet { blocks } => format!("resnet{blocks}"),
        other => other.to_string(),
    }];
    if loss.l1_weight > 0.0 {
        parts.push(format!("{:?}", loss.pixel).to_lowercase());
    }
    if loss.gan_weight > 0.0 {
        parts.push(if discriminator.condition == Condition::None { "gan" } else { "cgan" }.to_owned());
        parts.push(format!("patch{}", discriminator.receptive_field()));
    }
    // The checksum distinguishes configurations with equal words.
    let text = serde_json::to_string(config).expect("a configuration is numbers and names");
    format!("{}-{:08x}", parts.join("-"), checksum(&text))
}

/// Returns a checksum of a text (FNV-1a), the same on every machine.
pub(crate) fn checksum(text: &str) -> u32 {
    text.bytes().fold(0xcbf2_9ce4u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_tables_have_eleven_configurations() {
        let tables = Table::all(&[] as &[&Path]).unwrap();
        let (jobs, rows) = jobs(&tables, &Pix2PixConfig::paper()).unwrap();
        assert_eq!((jobs.len(), rows.len()), (11, 4));
    }

    #[test]
    fn the_table_of_structured_losses_has_nine_configurations() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("study/structured.toml");
        let tables = Table::all(&[path]).unwrap();
        let (jobs, rows) = jobs(&tables, &Pix2PixConfig::paper()).unwrap();
        assert_eq!((jobs.len(), rows[0].len()), (9, 9));
        let alone = jobs.iter().filter(|job| job.config.loss.l1_weight == 0.0).count();
        assert_eq!(alone, 4);
    }
}
