//! The documents of the folder `docs`. Their code is compiled as documentation tests.
//!
//! A document ends with link definitions for readers of the files. In rustdoc the definitions of `docs/rustdoc/` come
//! first, and Markdown uses the first definition of a label: `links.md` leads to the items and pages of this
//! documentation, and `images.md` contains the images as data URIs, since rustdoc does not copy image files.

macro_rules! pages {
    ($($name:ident)*) => {$(
        #[cfg_attr(doc, doc = include_str!("../docs/rustdoc/links.md"))]
        #[cfg_attr(doc, doc = include_str!("../docs/rustdoc/images.md"))]
        #[doc = include_str!(concat!("../docs/", stringify!($name), ".md"))]
        pub mod $name {}
    )*};
}

pages! { getting_started data training tasks study inference pytorch architecture design benchmarks gpu }

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// Returns the labels and targets of a document's link definitions.
    fn definitions(text: &str) -> Vec<(&str, &str)> {
        text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).collect()
    }

    /// Returns the README and the documents of the folder `docs`.
    fn documents() -> Vec<PathBuf> {
        let mut found = vec![root().join("README.md")];
        for entry in fs::read_dir(root().join("docs")).expect("the folder exists") {
            let path = entry.expect("the folder can be read").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
        found
    }

    #[test]
    fn link_definitions_name_files_and_have_a_counterpart_in_rustdoc() {
        let rustdoc = ["links.md", "images.md"]
            .map(|name| fs::read_to_string(root().join("docs/rustdoc").join(name)).expect("the file exists"));
        let known: Vec<&str> =
            rustdoc.iter().flat_map(|text| definitions(text)).map(|(label, _)| label).collect();
        for path in documents() {
            let text = fs::read_to_string(&path).expect("the file exists");
            for (label, target) in definitions(&text) {
                let file = target.split('#').next().unwrap_or(target);
                let folder = path.parent().expect("a file has a folder");
                assert!(folder.join(file).exists(), "{}: [{label}] leads to {target}", path.display());
                assert!(known.contains(&label), "{}: docs/rustdoc does not define [{label}]", path.display());
            }
            assert!(!text.contains("](docs/"), "{}: an inline link does not work in rustdoc", path.display());
        }
    }

    #[test]
    fn images_in_rustdoc_are_those_of_the_folder() {
        let text = fs::read_to_string(root().join("docs/rustdoc/images.md")).expect("the file exists");
        for (label, target) in definitions(&text) {
            let image = fs::read(root().join(format!("docs/{label}.webp"))).expect("the image exists");
            let expected = format!("data:image/webp;base64,{}", base64(&image));
            assert!(
                target == expected,
                "run: base64 -w0 docs/{label}.webp, and put the result into images.md"
            );
        }
    }

    /// Encodes `bytes` as base64 with padding.
    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let value = (0..3)
                .fold(0_usize, |value, i| (value << 8) | usize::from(chunk.get(i).copied().unwrap_or(0)));
            for i in 0..4 {
                let digit = DIGITS[(value >> (18 - 6 * i)) & 63];
                text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
            }
        }
        text
    }
}
