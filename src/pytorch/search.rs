//! Finds the networks in a file, whatever they are wrapped in: each lies under a prefix such as `state_dict.netG.`.

use std::collections::BTreeSet;

use super::state_dict::Shapes;
use super::styles;

/// The beginnings of the names in the outermost level of a U-Net.
const UNET: [&str; 3] = ["model.model.0.", "model.model.1.", "model.model.3."];

/// The prefixes of the networks in a file, each empty or with a dot at its end.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Networks {
    pub(super) generators: BTreeSet<String>,
    pub(super) discriminators: BTreeSet<String>,
}

impl Networks {
    /// Finds the networks among tensors of these names and shapes.
    pub(super) fn find(shapes: &Shapes) -> Self {
        let mut found = Self::default();
        for name in shapes.keys() {
            found.generators.extend(unet(name).map(str::to_owned));
        }
        for (name, shape) in shapes {
            let kernel = shape.get(2..).unwrap_or_default();
            if let Some(prefix) = prefix_of(name, "model.1.weight")
                && kernel == [7, 7]
            {
                found.generators.insert(prefix.to_owned());
            }
            if kernel.len() == 2 {
                found.generators.extend(of_another_implementation(name).map(str::to_owned));
            }
            for [first, second] in styles::DISCRIMINATORS {
                if let Some(prefix) = prefix_of(name, first)
                    && shapes.contains_key(&format!("{prefix}{second}"))
                    && !shapes.contains_key(&format!("{prefix}deconv1.weight"))
                {
                    found.discriminators.insert(prefix.to_owned());
                }
            }
            // Networks of PyTorch's DCGAN example: a norm follows the first layer of a generator.
            if let Some(prefix) = prefix_of(name, "main.0.weight")
                && kernel == [4, 4]
                && shapes.contains_key(&format!("{prefix}main.3.weight"))
                && !shapes.contains_key(&format!("{prefix}main.2.weight"))
            {
                found.generators.insert(prefix.to_owned());
            }
            for (first, second) in [
                ("model.0.weight", "model.2.weight"),
                ("net.0.weight", "net.2.weight"),
                ("main.0.weight", "main.2.weight"),
                // With spectral normalisation:
                ("model.0.weight_orig", "model.2.weight_orig"),
                ("net.0.weight_orig", "net.2.weight_orig"),
            ] {
                if let Some(prefix) = prefix_of(name, first)
                    && kernel.len() == 2
                    && shapes.get(&format!("{prefix}{second}")).is_some_and(|shape| shape.len() == 4)
                {
                    found.discriminators.insert(prefix.to_owned());
                }
            }
        }
        found
    }

    /// Returns the name within the network of `prefix`, unless the tensor belongs to another network.
    pub(super) fn name_in<'a>(&self, prefix: &str, name: &'a str) -> Option<&'a str> {
        let all = self.generators.iter().chain(&self.discriminators);
        let is_inner = |other: &&String| other.len() > prefix.len() && name.starts_with(other.as_str());
        if all.clone().any(|other| is_inner(&other)) { None } else { name.strip_prefix(prefix) }
    }
}

/// Returns the prefix of the U-Net that a tensor belongs to.
fn unet(name: &str) -> Option<&str> {
    let starts = name.match_indices("model.model.").map(|(at, _)| at);
    // Matches may overlap: in `model.model.model.0.weight` the U-Net begins at the second `model`.
    let starts = starts.flat_map(|at| [at, at + "model.".len()]);
    let begins = |at: &usize| {
        (*at == 0 || name.as_bytes()[at - 1] == b'.')
            && name.get(*at..).is_some_and(|rest| UNET.iter().any(|start| rest.starts_with(start)))
    };
    starts.filter(begins).min().map(|at| &name[..at])
}

/// Returns the prefix of a generator of another implementation, of which the tensor is the first.
fn of_another_implementation(name: &str) -> Option<&str> {
    styles::GENERATORS.iter().find_map(|marker| prefix_of(name, marker))
}

/// Returns what stands before `end` in a name, if it is empty or ends with a dot.
fn prefix_of<'a>(name: &'a str, end: &str) -> Option<&'a str> {
    name.strip_suffix(end).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[(&str, &[usize])]) -> [Vec<String>; 2] {
        let shapes = names.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect();
        let Networks { generators, discriminators } = Networks::find(&shapes);
        [generators, discriminators].map(|set| set.into_iter().collect())
    }

    const CONV: &[usize] = &[8, 3, 4, 4];

    #[test]
    fn networks_are_found_below_any_prefix() {
        let names = [
            ("a.netG.module.model.model.0.weight", CONV),
            ("a.netG.module.model.model.1.model.1.weight", CONV),
            ("a.netG.module.model.model.1.model.3.model.1.weight", CONV),
            ("a.netD.model.0.weight", CONV),
            ("a.netD.model.2.weight", CONV),
            ("pixel.net.0.weight", &[8, 6, 1, 1]),
            ("pixel.net.2.weight", &[16, 8, 1, 1]),
            ("dcgan.netG.main.0.weight", CONV),
            ("dcgan.netG.main.3.weight", CONV),
            ("dcgan.netD.main.0.weight", CONV),
            ("dcgan.netD.main.2.weight", CONV),
            ("dcgan.netD.main.3.weight", &[8]),
            ("resnet.model.1.weight", &[8, 3, 7, 7]),
            ("resnet.model.4.weight", &[8, 3, 3, 3]),
            ("optimizer.state.0.exp_avg", CONV),
        ];
        let expected =
            [vec!["a.netG.module.", "dcgan.netG.", "resnet."], vec!["a.netD.", "dcgan.netD.", "pixel."]];
        assert_eq!(found(&names), expected.map(|set| set.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    }

    #[test]
    fn a_wrapper_may_be_called_model() {
        for prefix in ["", "model.", "model.model.", "my_model."] {
            let names = ["model.model.0.weight", "model.model.1.model.1.weight", "model.model.3.bias"];
            let names: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
            let names: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), CONV)).collect();
            assert_eq!(found(&names), [vec![prefix.to_owned()], vec![]], "{prefix}");
        }
    }

    #[test]
    fn tensors_of_other_networks_are_left_out() {
        let networks = Networks {
            generators: BTreeSet::from([String::new()]),
            discriminators: BTreeSet::from(["netD.".to_owned()]),
        };
        assert_eq!(networks.name_in("", "model.model.0.weight"), Some("model.model.0.weight"));
        assert_eq!(networks.name_in("", "netD.model.0.weight"), None);
        assert_eq!(networks.name_in("netD.", "netD.model.0.weight"), Some("model.0.weight"));
    }
}
