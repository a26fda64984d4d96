//! Checks the import graph of `src`: modules import only what the design allows, and files have no import cycles.
//!
//! `ALLOWED` is the architecture. A change to it is a change of the design and needs a review.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each top-level module with the modules that it may import, in tests as well.
const ALLOWED: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("rng", &[]),
    ("names", &["error"]),
    ("json", &[]),
    ("device", &["error"]),
    ("transfer", &["device", "error"]),
    ("files", &["error"]),
    ("pack", &["error", "transfer"]),
    ("memory", &["device", "error"]),
    ("weights", &["error", "files", "names", "transfer"]),
    ("kernels", &["device", "rng", "transfer"]),
    ("layers", &["device", "error", "kernels", "rng", "transfer"]),
    ("generator", &["device", "error", "layers", "names", "rng"]),
    ("discriminator", &["device", "error", "json", "layers", "names", "rng"]),
    ("loss", &["device", "discriminator", "error", "json", "kernels", "metrics", "names"]),
    ("raster", &["device", "error", "names", "transfer"]),
    ("data", &["device", "error", "files", "json", "names", "raster", "transfer", "rng"]),
    ("metrics", &["device", "error", "names", "pytorch", "raster", "transfer", "rng", "weights"]),
    ("config", &["data", "discriminator", "error", "generator", "json", "loss", "metrics", "names"]),
    ("optim", &["config", "device", "error", "files", "kernels", "pack", "transfer"]),
    ("pytorch", &["device", "discriminator", "error", "files", "generator", "layers", "weights"]),
    ("report", &["error", "files"]),
    (
        "run",
        &[
            "config",
            "device",
            "discriminator",
            "error",
            "files",
            "generator",
            "metrics",
            "optim",
            "pack",
            "report",
            "transfer",
            "weights",
        ],
    ),
    (
        "translate",
        &[
            "config",
            "data",
            "device",
            "error",
            "generator",
            "layers",
            "memory",
            "pytorch",
            "files",
            "raster",
            "run",
            "transfer",
            "weights",
        ],
    ),
    (
        "train",
        &[
            "config",
            "data",
            "device",
            "discriminator",
            "error",
            "files",
            "generator",
            "layers",
            "loss",
            "memory",
            "metrics",
            "optim",
            "transfer",
            "report",
            "rng",
            "run",
        ],
    ),
    ("demo", &["data", "error"]),
    ("guide", &[]),
];

/// An import: the imported path from the crate's root, and whether it is a re-export.
struct Import {
    path: Vec<String>,
    is_reexport: bool,
}

#[test]
fn modules_import_only_what_the_design_allows() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let files = files();
    let is_module = |name: &String| files.keys().any(|module| module.first() == Some(name));
    let mut violations = BTreeSet::new();
    for (module, file) in &files {
        let Some(top) = module.first() else { continue }; // lib.rs
        let Some(permitted) = allowed.get(top.as_str()) else {
            panic!("{}: module `{top}` is not in the list", file.display())
        };
        for import in imports(module, file, &files) {
            let Some(target) = import.path.first() else { continue };
            if !is_module(target) {
                violations.insert(format!(
                    "{} imports `crate::{target}` from the root; name the module that defines it",
                    file.display()
                ));
            } else if target != top && !permitted.contains(&target.as_str()) {
                violations.insert(format!("{}: `{top}` may not import `{target}`", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
    for (top, _) in ALLOWED {
        assert!(is_module(&top.to_string()), "there is no module `{top}`");
    }
}

#[test]
fn files_have_no_import_cycles() {
    let files = files();
    let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, file) in files.iter().filter(|(module, _)| !module.is_empty()) {
        let is_folder = file.ends_with("mod.rs");
        for import in imports(module, file, &files) {
            // A re-export in a folder's mod.rs is not a use.
            if is_folder && import.is_reexport {
                continue;
            }
            let target = module_of(&import.path, &files);
            if target != *module && !target.is_empty() {
                edges.entry(module.clone()).or_default().insert(target);
            }
        }
    }
    let reach = |from: &Vec<String>| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.clone()];
        while let Some(next) = open.pop() {
            for target in edges.get(&next).into_iter().flatten() {
                if seen.insert(target.clone()) {
                    open.push(target.clone());
                }
            }
        }
        seen
    };
    let cyclic: Vec<String> =
        edges.keys().filter(|module| reach(module).contains(*module)).map(|m| m.join("::")).collect();
    assert!(cyclic.is_empty(), "files in import cycles: {cyclic:?}");
}

#[test]
fn the_library_does_not_print_or_read_the_environment() {
    for file in files().values() {
        let text = std::fs::read_to_string(file).unwrap();
        let tokens = tokens(&text);
        for pair in tokens.windows(2) {
            let is_printing = ["print", "println", "eprint", "eprintln", "dbg"].contains(&pair[0].as_str());
            assert!(!(is_printing && pair[1] == "!"), "{}: {}!", file.display(), pair[0]);
        }
        for path in tokens.windows(4).filter(|path| path[1] == ":" && path[2] == ":") {
            let is_environment =
                path[0] == "env" && ["var", "vars", "var_os", "args", "args_os"].contains(&path[3].as_str());
            assert!(!is_environment, "{}: env::{}", file.display(), path[3]);
        }
    }
}

#[test]
fn every_file_begins_with_a_doc_comment() {
    for file in files().values() {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with("//!") || file.ends_with("lib.rs"), "{}: no `//!` line", file.display());
    }
}

/// Returns the files of `src` by module path. The path of `lib.rs` is empty.
fn files() -> BTreeMap<Vec<String>, PathBuf> {
    fn walk(folder: &Path, module: &[String], found: &mut BTreeMap<Vec<String>, PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                walk(&path, &[module, &[name]].concat(), found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let own = if name == "mod" || name == "lib" { vec![] } else { vec![name] };
                let clash = found.insert([module, &own].concat(), path.clone());
                assert!(clash.is_none(), "{}: use `name/mod.rs` for a module with children", path.display());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut found);
    assert!(found.len() > 50);
    found
}

/// Returns the longest prefix of a path that is a module.
fn module_of(path: &[String], files: &BTreeMap<Vec<String>, PathBuf>) -> Vec<String> {
    (0..=path.len())
        .rev()
        .map(|end| path[..end].to_vec())
        .find(|prefix| files.contains_key(prefix))
        .unwrap_or_default()
}

/// Returns every path in a file that begins with `crate`, `super`, `self` or a child module, from the crate's root.
fn imports(module: &[String], file: &Path, files: &BTreeMap<Vec<String>, PathBuf>) -> Vec<Import> {
    let tokens = tokens(&std::fs::read_to_string(file).unwrap());
    let mut found = vec![];
    let mut inline = vec![]; // the brace depth at which each inline module begins
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|began| *began < depth + 1);
            }
            "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                inline.push(depth + 1);
                depth += 1;
                at += 2;
            }
            "use" => {
                let end = (at..tokens.len()).find(|end| tokens[*end] == ";").unwrap_or(tokens.len());
                let is_reexport = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                for path in expand(&tokens[at + 1..end]) {
                    found.extend(
                        absolute(&path, module, inline.len(), files).map(|path| Import { path, is_reexport }),
                    );
                }
                at = end;
            }
            _ if is_name(&tokens[at]) && !(at >= 2 && tokens[at - 1] == ":" && tokens[at - 2] == ":") => {
                let mut path = vec![tokens[at].clone()];
                while at + 3 < tokens.len()
                    && tokens[at + 1] == ":"
                    && tokens[at + 2] == ":"
                    && is_name(&tokens[at + 3])
                {
                    path.push(tokens[at + 3].clone());
                    at += 3;
                }
                if path.len() > 1 {
                    let path = absolute(&path, module, inline.len(), files);
                    found.extend(path.map(|path| Import { path, is_reexport: false }));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Returns a path from the crate's root, or `None` for a path into another crate.
fn absolute(
    path: &[String],
    module: &[String],
    inline: usize,
    files: &BTreeMap<Vec<String>, PathBuf>,
) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let supers = path.iter().take_while(|segment| *segment == "super").count();
            let up = supers.saturating_sub(inline);
            Some([&module[..module.len().saturating_sub(up)], &path[supers..]].concat())
        }
        child => {
            let child = [module, &[child.to_owned()]].concat();
            files.contains_key(&child).then(|| [module, path].concat())
        }
    }
}

/// Returns the paths of a `use` tree.
fn expand(tree: &[String]) -> Vec<Vec<String>> {
    let Some(open) = tree.iter().position(|token| token == "{") else {
        let names = tree.iter().take_while(|token| *token != "as").filter(|token| is_name(token));
        return vec![names.cloned().collect()];
    };
    let prefix: Vec<String> = tree[..open].iter().filter(|token| is_name(token)).cloned().collect();
    let close = tree.iter().rposition(|token| token == "}").unwrap_or(tree.len());
    let (mut parts, mut depth) = (vec![vec![]], 0);
    for token in &tree[open + 1..close] {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if token == "," && depth == 0 {
            parts.push(vec![]);
        } else if let Some(part) = parts.last_mut() {
            part.push(token.clone());
        }
    }
    let parts = parts.iter().filter(|part| !part.is_empty()).flat_map(|part| expand(part));
    parts
        .map(|part| if part[..] == ["self"] { prefix.clone() } else { [prefix.clone(), part].concat() })
        .collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Returns the names and punctuation of Rust source, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| chars[at..].iter().take(what.len()).copied().eq(what.chars());
    let mut found = vec![];
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if starts(at, "//") {
            at = (at..chars.len()).find(|end| chars[*end] == '\n').unwrap_or(chars.len());
        } else if starts(at, "/*") {
            at = (at..chars.len()).find(|end| starts(*end, "*/")).map_or(chars.len(), |end| end + 2);
        } else if let Some(hashes) = raw_string(&chars[at..]) {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = at + 2 + hashes;
            at = (begin..chars.len()).find(|at| starts(*at, &end)).map_or(chars.len(), |at| at + end.len());
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' {
            // A character literal, or the quote of a lifetime.
            at += match chars.get(at + 1) {
                Some('\\') => {
                    (at + 3..chars.len()).find(|end| chars[*end] == '\'').map_or(1, |end| end + 1 - at)
                }
                Some(_) if chars.get(at + 2) == Some(&'\'') => 3,
                _ => 1,
            };
        } else if c.is_alphanumeric() || c == '_' {
            let end = (at..chars.len()).find(|end| !(chars[*end].is_alphanumeric() || chars[*end] == '_'));
            let end = end.unwrap_or(chars.len());
            found.push(chars[at..end].iter().collect());
            at = end;
        } else {
            if !c.is_whitespace() {
                found.push(c.to_string());
            }
            at += 1;
        }
    }
    found
}

/// Returns the number of `#` of a raw string that begins here, or `None` if none does.
fn raw_string(chars: &[char]) -> Option<usize> {
    let hashes = chars.strip_prefix(&['r'])?.iter().take_while(|c| **c == '#').count();
    (chars.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

#[test]
fn the_scanner_finds_every_kind_of_path() {
    let text = "pub(crate) use child::A; // crate::comment\nfn f() { crate::b::c(); let s = \"crate::text\"; 'x'; }\n\
                #[cfg(test)] mod tests { use super::super::d::{E, f::{self, G as H}}; fn g<'a>() { super::h() } }";
    let file = std::env::temp_dir().join(format!("layering-{}.rs", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let name = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let files = BTreeMap::from([(name(&["a", "child"]), PathBuf::new())]);
    let found: Vec<(String, bool)> = imports(&name(&["a"]), &file, &files)
        .into_iter()
        .map(|i| (i.path.join("::"), i.is_reexport))
        .collect();
    std::fs::remove_file(&file).unwrap();
    let expected = [
        ("a::child::A", true),
        ("b::c", false),
        ("d::E", false),
        ("d::f", false),
        ("d::f::G", false),
        ("a::h", false),
    ];
    assert_eq!(found, expected.map(|(path, is_reexport)| (path.to_owned(), is_reexport)));
}
