//! Label maps of `train`: reads the palette of `--labels`, and warns of label maps that are read as images.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use pix2pix::data::{LabelClass, LabelKind, Labels, PairedFolder};
use serde::Deserialize;

use super::options::Options;
use crate::output::note;

/// The pairs whose inputs are examined for ids.
const EXAMINED: usize = 16;

/// Returns the label maps of `--labels` and `--classes`, if they are given.
pub(super) fn labels(options: &Options) -> Result<Option<Labels>> {
    match (options.labels.as_deref(), options.classes) {
        (None, _) => Ok(None),
        (Some("ids"), Some(count)) => {
            Ok(Some(Labels::ids(count).map_err(|error| anyhow!("--classes: {error}"))?))
        }
        (Some("ids"), None) => bail!(
            "--labels ids: the number of classes is not known; add --classes with the highest id plus 1, or name a \
             palette file with `kind = \"ids\"`"
        ),
        (Some(_), Some(_)) => {
            bail!("--classes: the palette lists the classes; use it with `--labels ids`, or leave it out")
        }
        (Some(file), None) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("--labels: {file}"))?;
            Ok(Some(parse(&text).with_context(|| file.to_owned())?))
        }
    }
}

/// A palette file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaletteFile {
    #[serde(default)]
    kind: LabelKind,
    class: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    id: Option<u16>,
    #[serde(alias = "colour")]
    color: Option<Color>,
}

#[derive(Deserialize)]
#[serde(try_from = "ColorText")]
struct Color([u8; 3]);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a colour is [0, 85, 255] with levels from 0 to 255, or \"#0055ff\" with hexadecimal digits"
)]
enum ColorText {
    Levels([u8; 3]),
    Hexadecimal(String),
}

impl TryFrom<ColorText> for Color {
    type Error = String;

    fn try_from(text: ColorText) -> std::result::Result<Self, String> {
        let text = match text {
            ColorText::Levels(levels) => return Ok(Self(levels)),
            ColorText::Hexadecimal(text) => text,
        };
        let digits = text
            .strip_prefix('#')
            .filter(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, r, g, b] = number
            .ok_or_else(|| format!("`{text}` is not a colour; write it as \"#0055ff\" or [0, 85, 255]"))?
            .to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

/// Parses a palette file. A class without an id has its place in the list as its id.
fn parse(text: &str) -> Result<Labels> {
    let PaletteFile { kind, class } = toml::from_str(text)?;
    let classes = (0u16..).zip(class).map(|(place, Entry { name, id, color })| {
        let id = id.unwrap_or(place);
        let color = match (color, kind) {
            (Some(Color(color)), _) => color,
            (None, LabelKind::Ids) => Labels::color(id),
            (None, _) => bail!(
                "class `{name}`: it has no color; add one, or write `kind = \"ids\"` at the top if the images hold ids"
            ),
        };
        Ok(LabelClass::new(name, id, color))
    });
    Ok(Labels::new(kind, classes.collect::<Result<_>>()?)?)
}

/// Warns if the inputs look like ids of classes, which are nearly black as images.
pub(super) fn warn_of_ids(options: &Options, pairs: &PairedFolder) {
    if pairs.config().labels.is_some() || options.data.is_none() {
        return;
    }
    // Training reports files that cannot be read.
    let found = (0..pairs.len().min(EXAMINED)).map(|index| pairs.input_class_ids(index).ok().flatten());
    let Some(found) = found.collect::<Option<Vec<_>>>() else { return };
    let mut ids: Vec<u16> = found.into_iter().flatten().collect();
    ids.sort_unstable();
    ids.dedup();
    note!("{}", warning(pairs.path(0), &ids));
}

fn warning(path: &Path, ids: &[u16]) -> String {
    let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let remedy = match ids.last() {
        Some(last) if usize::from(*last) < 2 * ids.len() + 16 => {
            format!("add `--labels ids --classes {}` (the highest id of all files plus 1)", last + 1)
        }
        _ => "name a palette file with `kind = \"ids\"` that lists them in --labels".to_owned(),
    };
    format!(
        "warning: the inputs look like ids of classes and are nearly black as images ({} and others hold only the \
         levels {list}); if they are, {remedy}",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::one_line;

    #[test]
    fn a_palette_names_colours_in_either_form() {
        let labels = parse(
            "[[class]]\nname = \"wall\"\ncolor = [0, 0, 170]\n[[class]]\nname = \"window\"\ncolor = \"#0055ff\"\n",
        );
        let classes =
            vec![LabelClass::new("wall", 0, [0, 0, 170]), LabelClass::new("window", 1, [0, 85, 255])];
        assert_eq!(labels.unwrap(), Labels::new(LabelKind::Colors, classes.clone()).unwrap());
        let inline =
            "class = [{ name = \"wall\", colour = \"#0000aa\" }, { name = \"window\", color = \"#0055FF\" }]";
        assert_eq!(parse(inline).unwrap().classes, classes);
        let ids = parse("kind = \"ids\"\n[[class]]\nname = \"void\"\nid = 255\n[[class]]\nname = \"road\"")
            .unwrap();
        let classes = ids.classes.iter().map(|class| (class.name.as_str(), class.id));
        assert_eq!(
            (ids.kind, classes.collect::<Vec<_>>()),
            (LabelKind::Ids, vec![("void", 255), ("road", 1)])
        );
    }

    #[test]
    fn mistakes_in_a_palette_name_the_line_and_the_column() {
        let message = |text: &str| one_line(&parse(text).unwrap_err());
        let class = |rest: &str| message(&format!("[[class]]\nname = \"wall\"\n{rest}"));
        for (message, line, words) in [
            (class("color = [0, 0]"), 3, "a colour is [0, 85, 255]"),
            (class("color = [0, 0, 256]"), 3, "a colour is [0, 85, 255]"),
            (class("color = \"blue\""), 3, "`blue` is not a colour"),
            (class("color = \"0055ff\""), 3, "`0055ff` is not a colour"),
            (class("color = \"#+055ff\""), 3, "is not a colour"),
            (class("size = 3"), 3, "unknown field `size`"),
            (class("id = -1"), 3, "-1"),
            (message("kind = \"names\"\nclass = []"), 1, "unknown variant `names`"),
            (message("[[class]]\ncolor = [0, 0, 0]"), 1, "missing field `name`"),
            (message("classes = 3"), 1, "unknown field `classes`"),
            (message("[[class]"), 1, ""),
        ] {
            let place = format!("TOML parse error at line {line}, column");
            assert!(message.contains(&place) && message.contains(words), "{message}");
        }
        assert!(class("").contains("class `wall`: it has no color"), "{}", class(""));
        assert!(message("class = []").contains("the list of classes is empty"), "{}", message("class = []"));
        let twice = class("id = 1\ncolor = [0, 0, 0]\n[[class]]\nname = \"door\"\ncolor = [1, 0, 0]");
        assert!(twice.contains("the classes `wall` and `door` have the id 1"), "{twice}");
    }
}
