//! `train --resume` and `--checkpoint`: changed settings, finished runs, earlier checkpoints, and files of a run that are
//! missing, damaged or somebody else's.

use std::path::Path;

use crate::program::{fails, finish, pix2pix, run, succeeds, text, told, wait_until};
use crate::support::write_pairs;

const SMALL: [&str; 8] = ["--data", "data", "--size", "16", "--base-channels", "2", "--patch", "16"];

/// Writes four pairs to train on and four to validate.
fn data(here: &Path) {
    for split in ["train", "val"] {
        write_pairs(&here.join("data").join(split), 4, 16);
    }
}

/// Trains a run in `run` of the folder, to the end.
fn trained(here: &Path, flags: &[&str]) {
    data(here);
    succeeds("train", here, &[&SMALL[..], &["--out", "run"], flags].concat());
}

#[test]
fn flags_that_differ_from_the_run_are_listed_with_both_values() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trained(here, &["--epochs", "2", "--save-steps", "3"]);
    let resume = ["--out", "run", "--resume"];
    let fixed = ["--seed", "5", "--l1-weight", "7", "--lr", "0.001"];
    let message = fails(1, "train", here, &[&resume[..], &fixed].concat());
    for part in
        ["training.seed: 0 in the run, 5 given", "loss.l1_weight: 100.0 in the run, 7.0 given", "--from"]
    {
        assert!(message.contains(part), "{message}");
    }
    let free = ["--lr", "0.001", "--batch-size", "2", "--epochs", "3"];
    let (status, shown, warnings) = told(run("train", here, &[&resume[..], &free].concat()));
    assert_eq!(status, 0, "{warnings}");
    for part in [
        "training.learning_rate: 0.0002 in the run, 0.001 given",
        "data.batch_size: 1 in the run, 2 given",
        "training.epochs: 2 in the run, 3 given",
    ] {
        assert!(warnings.contains(part), "{warnings}");
    }
    assert!(shown.contains("2 steps;"), "{shown}");
    // Within an epoch the batch size cannot change.
    succeeds("train", here, &[&resume[..], &["--epochs", "4", "--steps", "11"]].concat());
    let message = fails(1, "train", here, &[&resume[..], &["--batch-size", "1"]].concat());
    assert!(
        message.contains("data.batch_size: 2 in the run, 1 given")
            && message.contains("until the epoch ends"),
        "{message}"
    );
}

#[test]
fn a_finished_run_says_so_and_how_to_train_on() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trained(here, &["--epochs", "1", "--decay-epochs", "1"]);
    let shown = succeeds("train", here, &["--out", "run", "--resume"]);
    assert!(
        shown.contains("the run has finished, after 1 of --epochs and 1 of --decay-epochs")
            && shown.contains("--epochs N"),
        "{shown}"
    );
    let shown = succeeds("train", here, &["--out", "run", "--resume", "--steps", "8"]);
    assert!(shown.contains("run has 8 steps already") && shown.contains("--steps N"), "{shown}");
    let shown = succeeds("train", here, &["--out", "run", "--resume", "--epochs", "2"]);
    assert!(!shown.contains("finished") && shown.contains("4 steps;"), "{shown}");
    // A damaged export is written anew.
    for steps in [&[][..], &["--steps", "12"]] {
        std::fs::write(here.join("run/generator.safetensors"), "damaged").unwrap();
        let (status, _, warnings) =
            told(run("train", here, &[&["--out", "run", "--resume"], steps].concat()));
        assert!(status == 0 && warnings.contains("generator.safetensors: damaged"), "{warnings}");
        assert!(warnings.contains("written anew from the checkpoint"), "{warnings}");
        succeeds(
            "translate",
            here,
            &["--weights", "run", "--input", "data/val/0.png", "--output", "o.png", "--overwrite"],
        );
    }
}

#[test]
fn any_checkpoint_is_translated_evaluated_exported_and_branched_from() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trained(here, &["--epochs", "3", "--save-every", "1", "--keep", "9"]);
    let bytes = |file: &str| std::fs::read(here.join(file)).unwrap();
    let export = |checkpoint: &[&str], output: &str| {
        succeeds("export", here, &[&["--weights", "run", "--output", output][..], checkpoint].concat());
        bytes(output)
    };
    let plain = export(&[], "plain.safetensors");
    let latest = ["--checkpoint", "latest", "--discriminator", "d.safetensors"];
    assert!(export(&latest, "latest.safetensors") == plain);
    let first = export(&["--checkpoint", "step-4"], "first.safetensors");
    assert!(first != plain);
    let flags = ["--weights", "run", "--checkpoint", "step-4"];
    for checkpoint in ["step-4", "best"] {
        let output = format!("{checkpoint}.png");
        let flags = [
            "--weights",
            "run",
            "--checkpoint",
            checkpoint,
            "--input",
            "data/val/0.png",
            "--output",
            &output,
        ];
        succeeds("translate", here, &[&flags[..], &["--mode", "image"]].concat());
    }
    succeeds("evaluate", here, &[&flags[..], &["--data", "data"]].concat());
    let from = ["--from", "run", "--from-discriminator", "run", "--checkpoint", "step-4"];
    let branch = ["--data", "data", "--size", "32", "--out", "branch", "--steps", "0", "--seed", "3"];
    succeeds("train", here, &[&from[..], &branch].concat());
    succeeds("export", here, &["--weights", "branch", "--output", "branch.safetensors"]);
    assert!(bytes("branch.safetensors") == first);

    let message =
        fails(1, "export", here, &["--weights", "run", "--output", "e.pth", "--checkpoint", "step-5"]);
    assert!(
        message.contains(
            "--checkpoint: `step-5` is not in run, which has latest, best, step-4, step-8, step-12"
        ),
        "{message}"
    );
    let given = "run/checkpoints/step-000000004";
    for weights in [given, &format!("{given}/generator.bpk")] {
        let message = fails(1, "export", here, &["--weights", weights, "--output", "e.pth"]);
        assert!(message.contains("add `--checkpoint step-000000004` to the run folder run"), "{message}");
    }
    let message = fails(
        1,
        "export",
        here,
        &["--weights", "plain.safetensors", "--output", "e.pth", "--checkpoint", "best"],
    );
    assert!(message.contains("plain.safetensors is not a run folder"), "{message}");
}

#[test]
fn a_run_without_its_configuration_takes_that_of_the_checkpoint_and_a_damaged_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trained(here, &["--epochs", "1"]);
    let config = here.join("run/config.json");
    let whole = std::fs::read(&config).unwrap();
    std::fs::write(&config, &whole[..whole.len() / 2]).unwrap();
    let message = fails(1, "train", here, &["--out", "run", "--resume", "--epochs", "2"]);
    assert!(message.contains("run/config.json") && message.contains("or remove it"), "{message}");
    std::fs::remove_file(&config).unwrap();
    let (status, shown, warnings) = told(run("train", here, &["--out", "run", "--resume", "--epochs", "2"]));
    assert!(status == 0 && warnings.contains("run/config.json: it is missing"), "{warnings}");
    assert!(shown.contains("4 steps;") && config.is_file(), "{shown}");
}

#[test]
fn a_folder_of_somebody_else_is_not_trained_in() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    data(here);
    for (name, flags) in [
        ("index.html", &SMALL[..]),
        ("config.json", &SMALL[..]),
        ("samples/epoch-0007.png", &SMALL[..]),
        ("tensorboard/events", &SMALL[..]),
        ("data/train/0000.png", &["--size", "16", "--base-channels", "2", "--patch", "16"][..]),
    ] {
        let file = here.join("theirs").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "somebody's").unwrap();
        for resume in [&[][..], &["--resume"]] {
            let message =
                fails(1, "train", here, &[flags, &["--out", "theirs", "--steps", "1"], resume].concat());
            assert!(message.contains(name.split('/').next().unwrap()), "{message}");
            assert!(message.contains("theirs") && message.contains("another"), "{message}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"somebody's");
        std::fs::remove_dir_all(here.join("theirs")).unwrap();
    }
}

#[test]
#[cfg(unix)]
fn a_run_whose_checkpoints_are_not_mounted_is_not_started_anew() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trained(here, &["--epochs", "1"]);
    let metrics = std::fs::read(here.join("run/metrics.jsonl")).unwrap();
    std::fs::rename(here.join("run/checkpoints"), here.join("disk")).unwrap();
    std::os::unix::fs::symlink(here.join("unmounted"), here.join("run/checkpoints")).unwrap();
    for flags in [&["--resume"][..], &["--resume", "--preset", "paper"], &[]] {
        let message = fails(1, "train", here, &[&SMALL[..], &["--out", "run"], flags].concat());
        assert!(message.contains("run/checkpoints"), "{message}");
    }
    assert!(std::fs::read(here.join("run/metrics.jsonl")).unwrap() == metrics);
    assert!(here.join("run/samples/epoch-0001.png").is_file());
    std::fs::rename(here.join("disk"), here.join("unmounted")).unwrap();
    let shown = succeeds("train", here, &["--out", "run", "--resume", "--epochs", "2"]);
    assert!(shown.contains("4 steps;"), "{shown}");
}

#[test]
#[cfg(unix)]
fn no_output_is_written_through_a_link_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trained(here, &["--epochs", "1"]);
    std::fs::create_dir_all(here.join("in/sub")).unwrap();
    std::fs::copy(here.join("data/val/0.png"), here.join("in/sub/a.png")).unwrap();
    for (out, link) in [("translated", "sub"), ("paired", "train"), ("evaluated", "sub")] {
        let elsewhere = here.join(format!("elsewhere-{out}"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::create_dir(here.join(out)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, here.join(out).join(link)).unwrap();
        let (command, flags) = match out {
            "translated" => ("translate", &["--weights", "run", "--input", "in", "--half", "none"][..]),
            "paired" => ("pairs", &["--task", "grey", "--input", "in"][..]),
            _ => {
                // A second folder, so that the pairs are written below the folder that both share.
                std::fs::create_dir_all(here.join("in/other")).unwrap();
                std::fs::copy(here.join("data/val/0.png"), here.join("in/other/b.png")).unwrap();
                ("evaluate", &["--weights", "run", "--data", "in"][..])
            }
        };
        let message = fails(1, command, here, &[flags, &["--output", out]].concat());
        assert!(message.contains(&format!("{out}/{link}: this is a link")), "{message}");
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "{command}");
    }
}

#[test]
#[cfg(unix)]
fn a_run_whose_folder_is_renamed_stops_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    data(here);
    let flags = [&SMALL[..], &["--out", "run", "--epochs", "999999", "--save-every", "1"]].concat();
    let child = pix2pix("train", here, &flags).spawn().unwrap();
    wait_until("the first save", || here.join("run/checkpoints/step-000000004").exists());
    std::fs::rename(here.join("run"), here.join("moved")).unwrap();
    let (status, _, message) = told(finish(child));
    assert_eq!(status, 1);
    assert!(message.contains("run: this folder was renamed"), "{message}");
    assert!(!here.join("run").exists(), "something was written under the old name");
    let weights = ["--weights", "moved", "--input", "data/val/0.png", "--output", "o.png"];
    succeeds("translate", here, &weights);
    let next = ["--out", "moved", "--resume", "--epochs", "1"];
    let (status, _, message) = told(run("train", here, &next));
    assert!(status == 0 && message.contains("training.epochs: 999999 in the run, 1 given"), "{message}");
}

#[test]
#[cfg(target_os = "linux")]
fn where_threads_cannot_be_started_an_error_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "ulimit -v 400000; RAYON_NUM_THREADS=1000 exec \"$0\" pairs --task grey --input . --output out";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_pix2pix")]).current_dir(folder.path());
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = finish(shell.spawn().unwrap());
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: cannot start threads; allow more"), "{message}");
}

#[test]
#[cfg(target_os = "linux")]
fn where_the_threads_of_devices_cannot_be_started_an_error_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -v 250000; RAYON_NUM_THREADS=1 exec \"$0\" train --out run --size 32 --base-channels 2 \
                  --steps 1 --backend flex --devices 256 --batch-size 256";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_pix2pix")]).current_dir(folder.path());
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = finish(shell.spawn().unwrap());
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("devices: the threads of 255 more devices cannot start"), "{message}");
}

#[test]
#[cfg(target_os = "linux")]
fn without_sys_no_program_of_the_path_is_run() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let lscpu = here.join("lscpu");
    std::fs::write(&lscpu, format!("#!/bin/sh\ntouch {}\necho -\n", here.join("witness").display())).unwrap();
    std::fs::set_permissions(&lscpu, std::fs::Permissions::from_mode(0o755)).unwrap();
    data(here);
    let unshared = |script: &str| {
        let mut unshare = std::process::Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_pix2pix")]);
        let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
        unshare.args(SMALL).args(["--out", "run", "--steps", "1"]).env("PATH", path).current_dir(here);
        unshare.output()
    };
    if !unshared("mount -t tmpfs none /sys").is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this system does not let a test mount a folder over /sys");
        return;
    }
    let (status, _, message) =
        told(unshared("mount -t tmpfs none /sys && exec \"$0\" train \"$@\"").unwrap());
    assert!(!here.join("witness").exists(), "the program lscpu in PATH was run");
    assert_eq!(status, 1, "{message}");
    assert!(message.contains("/sys/devices/system/cpu") && message.contains("mount /sys"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}
