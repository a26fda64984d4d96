//! `study`: a killed study resumes and ends with the same numbers; budgets, metrics and errors.

use std::path::Path;
use std::process::{Child, Command, Output};

use serde_json::Value;

use crate::program::{self, pix2pix, wait_until, write_lpips};

/// Two objectives in one table, and a claim in both directions: one of the two must fail.
const TABLE: &str = r#"
title = "Two <ways>"
columns = ["l1", "sharpness", "lab_a", "mean_iou"]

[[variant]]
name = "L1"
config.loss = { gan_weight = 0.0 }
paper = { mean_iou = 0.11 }

[[variant]]
name = "middle"
patch = 70

[[variant]]
name = "L1+cGAN"
patch = 286

[[variant]]
name = "L1 by another name"
config = { loss.gan_weight = 0.0 }

[[claim]]
says = "one way"
metric = "l1"
higher = "L1"
lower = "L1+cGAN"

[[claim]]
says = "the other way"
metric = "l1"
higher = "L1+cGAN"
lower = "L1"

[[claim]]
says = "a run with itself"
metric = "l1"
higher = "L1+cGAN"
lower = "middle"
"#;

fn study(folder: &Path, arguments: &[&str]) -> Command {
    let size = ["--table", "table.toml", "--size", "32", "--base-channels", "4", "--seeds", "2"];
    pix2pix("study", folder, &[&size[..], arguments].concat())
}

fn finish(mut command: Command) -> Output {
    program::finish(command.spawn().unwrap())
}

fn results(out: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(out.join("results.json")).ok()?).ok()
}

/// Returns the runs without their durations.
fn runs(out: &Path) -> Vec<Value> {
    let mut runs = results(out).unwrap()["runs"].as_array().unwrap().clone();
    runs.iter_mut().for_each(|run| drop(run.as_object_mut().unwrap().remove("seconds")));
    runs
}

/// Kills the child as soon as `is_time` returns true, or after it has ended.
fn kill_once(mut child: Child, is_time: impl Fn() -> bool) {
    wait_until("the moment to kill", || is_time() || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts the study in `out` and kills it twice: after one run is finished, and within another run, between its first
/// checkpoint and its last. Returns whether both kills came in time; a fast machine may finish before the second.
fn was_killed_twice(folder: &Path, out: &Path, arguments: &[&str]) -> bool {
    let count = || results(out).map_or(0, |all| all["runs"].as_array().unwrap().len());
    kill_once(study(folder, arguments).spawn().unwrap(), || count() > 0);
    let is_inside = || {
        let folders = std::fs::read_dir(out.join("runs")).unwrap().flatten();
        let mut names = folders.map(|entry| entry.path());
        names.any(|run| {
            let is_reader = run.file_name().unwrap().to_string_lossy().starts_with("reader");
            run.join("checkpoints").join("step-000000800").exists() && !is_reader && count() < 3
        })
    };
    kill_once(study(folder, arguments).spawn().unwrap(), is_inside);
    (1..4).contains(&count())
}

#[test]
fn a_study_that_is_killed_resumes_and_ends_with_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table.toml"), TABLE).unwrap();
    let whole = finish(study(folder.path(), &["--steps", "1200", "--out", "whole"]));
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));

    let torn = (1..=3).map(|attempt| format!("torn-{attempt}")).find(|out| {
        was_killed_twice(folder.path(), &folder.path().join(out), &["--steps", "1200", "--out", out])
    });
    let torn = torn.expect("one of three studies is killed before its end");
    let (arguments, out) = (["--steps", "1200", "--out", &torn], folder.path().join(&torn));
    let ended = finish(study(folder.path(), &arguments));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(runs(&out), runs(&folder.path().join("whole")));

    check_results(&out);
    check_page(&out);

    // Nothing is trained twice, which would change the recorded times, and nothing with other settings.
    let before = results(&out).unwrap()["runs"].clone();
    assert!(finish(study(folder.path(), &arguments)).status.success());
    assert_eq!(results(&out).unwrap()["runs"], before);
    let other = finish(study(folder.path(), &["--steps", "1201", "--out", &torn]));
    let message = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(1) && message.contains("other settings"), "{message}");
}

fn check_results(out: &Path) {
    let results = results(out).unwrap();
    assert_eq!(runs(out).len(), 4, "two configurations, two seeds: equal variants are trained once");
    for run in runs(out) {
        assert_eq!(run["steps"], 1200);
        for score in
            ["l1", "psnr", "ssim_unit", "sharpness", "lab_l", "lab_a", "lab_b", "pixel_accuracy", "mean_iou"]
        {
            assert!(run["scores"][score].as_f64().unwrap() > 0.0, "{score}: {run}");
        }
    }
    let (reader, outputs) = (&results["photographs"], &runs(out)[0]["scores"]);
    assert_eq!((reader["l1"].as_f64(), reader["sharpness"].as_f64()), (Some(0.0), Some(1.0)));
    assert!(reader["pixel_accuracy"].as_f64() > Some(0.3), "{reader}");
    assert!(outputs["sharpness"].as_f64() < Some(1.0), "L1 blurs: {outputs}");

    let table = &results["tables"][0];
    let row = |index: usize| &table["rows"][index];
    assert_eq!((&row(0)["seeds"], &row(0)["cells"][0][0]), (&Value::from(2), &row(3)["cells"][0][0]));
    assert_eq!(row(1)["job"], row(2)["job"]);
    assert!(row(1)["note"].is_null() && row(2)["note"] == "at 32 pixels the widest is 70×70", "{table}");
    assert_eq!(
        (&table["claims"][2]["is_void"], &table["claims"][2]["of"]),
        (&Value::from(true), &Value::from(0))
    );
    let l1 = |seed: usize| {
        runs(out).iter().filter(|run| run["job"] == row(0)["job"]).nth(seed).unwrap()["scores"]["l1"]
            .as_f64()
            .unwrap()
    };
    let (mean, deviation) = ((l1(0) + l1(1)) / 2.0, (l1(0) - l1(1)).abs() / 2f64.sqrt());
    for (cell, expected) in [(0, mean), (1, deviation)] {
        assert!((row(0)["cells"][0][cell].as_f64().unwrap() - expected).abs() < 1e-9);
    }
    let holds = |claim: usize| table["claims"][claim]["holds"].as_u64().unwrap();
    assert_eq!((holds(0) + holds(1), table["claims"][0]["of"].as_u64()), (2, Some(2)));
    // Row 1 and row 0 have the same seeds, in order; both claims test the same difference with other signs.
    let difference = &row(1)["differences"][0];
    let means = [0, 1].map(|row| table["rows"][row]["cells"][0][0].as_f64().unwrap());
    assert!((difference["mean"].as_f64().unwrap() - (means[1] - means[0])).abs() < 1e-9, "{difference}");
    assert_eq!((&difference["seeds"], &row(0)["differences"]), (&Value::from(2), &Value::Array(vec![])));
    let p_values = [0, 1].map(|claim| table["claims"][claim]["difference"]["p_value"].as_f64().unwrap());
    assert!((p_values[0] - p_values[1]).abs() < 1e-9 && p_values[0] > 0.0, "{p_values:?}");
    let interval: Vec<f64> = serde_json::from_value(row(0)["intervals"][0].clone()).unwrap();
    // The t distribution with one degree of freedom: 12.706 standard errors.
    let half = 12.706_204_736 * deviation / 2f64.sqrt();
    assert!((interval[0] - (mean - half)).abs() < 1e-6 && (interval[1] - (mean + half)).abs() < 1e-6);
}

fn check_page(out: &Path) {
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    for expected in [
        "Two &lt;ways&gt;",
        "Finished",
        "data:image/png;base64",
        "<polyline",
        "paper 0.11",
        "of 2</b>",
        "the same run at this size",
        "Difference from L1",
        "p = ",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    for foreign in ["http://", "https://", "src=\"runs", "<ways>", "<script"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn other_classes_give_new_metrics_without_new_training() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table.toml"), TABLE).unwrap();
    // With a single class, every prediction is right.
    std::fs::write(folder.path().join("one.toml"), r#"all = ["000000"]"#).unwrap();
    let out = folder.path().join("runs/study");
    let with = |arguments: &[&str]| {
        let output = finish(study(folder.path(), &[&["--steps", "3"], arguments].concat()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        runs(&out)
    };
    let before = with(&[]);
    let after = with(&["--palette", "one.toml"]);
    for (before, after) in before.iter().zip(&after) {
        assert!(before["scores"]["pixel_accuracy"].as_f64() < Some(1.0), "{before}");
        assert_eq!(after["scores"]["pixel_accuracy"].as_f64(), Some(1.0));
        assert_eq!(before["scores"]["l1"], after["scores"]["l1"], "the same generator");
    }
    assert_eq!(before, with(&[]), "and back");
}

#[test]
fn errors_name_the_mistake_in_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let message = |table: String| {
        std::fs::write(folder.path().join("table.toml"), table).unwrap();
        let output = finish(study(folder.path(), &["--steps", "1"]));
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (right, wrong, expected) in [
        ("gan_weight", "gan_wait", "gan_wait"),
        ("patch = 286", "patch = 71", "patch: 71 is not 1, 16, 34, 70"),
        ("higher = \"L1\"", "higher = \"L3\"", "`L3`, which is not a variant"),
        ("\"lab_a\"", "\"lab_x\"", "`lab_x` is not a metric"),
        ("[[claim]]", "[[claims]]", "table.toml"),
    ] {
        let message = message(TABLE.replace(right, wrong));
        assert!(message.starts_with("error: ") && message.contains(expected), "{message}");
    }
}

/// The columns of metrics by Inception and LPIPS.
const METRICS_OF_WEIGHTS: &str = r#""fid", "kid", "joint_kid", "joint_kid_p", "lpips_squeeze""#;

#[test]
fn inception_adds_metrics_to_finished_runs_or_needs_the_feature() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table.toml"), TABLE.replace("\"lab_a\"", METRICS_OF_WEIGHTS)).unwrap();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/inception.safetensors");
    let lpips = write_lpips(folder.path());
    let with = ["--steps", "3", "--inception", weights.to_str().unwrap(), "--lpips", &lpips[0], &lpips[1]];
    if cfg!(not(feature = "eval")) {
        let output = finish(study(folder.path(), &with));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && message.contains("--features eval"), "{message}");
        return;
    }
    let columns = |out: &Path| results(out).unwrap()["tables"][0]["columns"].to_string();
    let out = folder.path().join("runs/study");
    assert!(finish(study(folder.path(), &["--steps", "3"])).status.success());
    assert!(!columns(&out).contains("fid"), "a metric that no run has gets no column");
    let before = runs(&out);
    assert!(finish(study(folder.path(), &with)).status.success());
    for name in ["fid", "joint_kid_p", "lpips_squeeze"] {
        assert!(columns(&out).contains(name), "{name}");
    }
    for (before, after) in before.iter().zip(runs(&out)) {
        assert_eq!(before["scores"]["l1"], after["scores"]["l1"], "the same generator");
        let score = |name: &str| after["scores"][name].as_f64().unwrap_or(f64::NAN);
        assert!(score("fid") > 0.0 && score("kid").is_finite() && score("lpips_squeeze") > 0.0, "{after}");
        assert!(score("joint_kid").is_finite() && (0.001..=1.0).contains(&score("joint_kid_p")), "{after}");
    }
    // Without the weights, the metrics stay.
    let after = runs(&out);
    assert!(finish(study(folder.path(), &["--steps", "3"])).status.success());
    assert_eq!(runs(&out), after);
}

#[test]
fn results_of_an_earlier_version_keep_their_metrics_under_other_names() {
    let folder = tempfile::tempdir().unwrap();
    // The column `ssim` of a table of an earlier version, too.
    std::fs::write(
        folder.path().join("table.toml"),
        TABLE.replace("\"lab_a\"", "\"ssim\", \"kid_of_draws\""),
    )
    .unwrap();
    assert!(finish(study(folder.path(), &["--steps", "3"])).status.success());
    let out = folder.path().join("runs/study");
    let mut earlier = results(&out).unwrap();
    let signed = earlier["runs"][0]["scores"]["ssim_signed"].clone();
    assert!(signed.is_number());
    for run in earlier["runs"].as_array_mut().unwrap() {
        let scores = run["scores"].as_object_mut().unwrap();
        let old = scores.remove("ssim_signed").unwrap();
        scores.insert("ssim".to_owned(), old);
        scores.remove("ssim_unit");
        scores.insert("kid".to_owned(), 0.25.into());
        run["scored_by"] = "earlier".into();
    }
    std::fs::write(out.join("results.json"), earlier.to_string()).unwrap();
    assert!(finish(study(folder.path(), &["--steps", "3"])).status.success());
    for run in runs(&out) {
        let scores = &run["scores"];
        assert!(scores["ssim_unit"].is_number() && scores["ssim_signed"].is_number(), "{scores}");
        assert!(scores.get("ssim").is_none() && scores.get("kid").is_none(), "{scores}");
        assert_eq!(scores["kid_of_draws"], 0.25);
    }
    assert_eq!(results(&out).unwrap()["runs"][0]["scores"]["ssim_signed"], signed);
    let columns = results(&out).unwrap()["tables"][0]["columns"].to_string();
    assert!(columns.contains("ssim_signed") && columns.contains("kid_of_draws"), "{columns}");
}

#[test]
fn a_blind_page_hides_the_names_and_its_key_has_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table.toml"), TABLE).unwrap();
    let with = |rows: [&str; 2], seed: &str| {
        finish(study(folder.path(), &["--steps", "3", "--seed", seed, "--blind", rows[0], rows[1]]))
    };
    let output = with(["L1", "L1+cGAN"], "0");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join("runs/study").join(name)).unwrap();
    let page = read("blind.html");
    assert_eq!(page.matches("data:image/png;base64").count(), 3 * 20);
    // The images are long random texts, which could hold any of these words.
    let images = |part: &str| part.find('"').map_or(String::new(), |end| part[end..].to_owned());
    let text: String = page.split("data:image/png;base64").map(images).collect();
    for hidden in ["L1", "cGAN", "unet", ".png", "http", "middle"] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    let key: Value = serde_json::from_str(&read("blind-key.json")).unwrap();
    let pairs = key["pairs"].as_array().unwrap();
    let left = |name: &str| pairs.iter().filter(|pair| pair["left"] == name).count();
    assert_eq!((pairs.len(), left("L1"), left("L1+cGAN")), (20, 10, 10));
    assert!(pairs.iter().all(|pair| pair["left"] != pair["right"]));
    let (page_before, key_before) = (page, read("blind-key.json"));
    assert!(with(["L1", "L1+cGAN"], "0").status.success());
    assert_eq!((page_before, key_before), (read("blind.html"), read("blind-key.json")), "the same seed");

    let output = with(["L1", "L2"], "0");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && message.contains("--blind: `L2` is not a row"), "{message}");
}

#[test]
fn a_budget_sets_the_steps_and_skips_runs_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table.toml"), TABLE).unwrap();
    let steps_within = |minutes: &str, out: &str| {
        let output = finish(study(folder.path(), &["--budget", minutes, "--out", out]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let steps = results(&folder.path().join(out)).unwrap()["plan"]["steps"].as_u64().unwrap();
        (steps, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // 60 microseconds are too short for a step on any machine, and six seconds suffice for several.
    let (steps, shown) = steps_within("0.000001", "none");
    assert!(
        steps == 1 && shown.contains("no time for 2 runs of later seeds within 0.000001 minutes"),
        "{steps}: {shown}"
    );
    let runs = runs(&folder.path().join("none"));
    assert!(runs.len() == 2 && runs.iter().all(|run| run["steps"] == 1 && run["seed"] == 0));
    let (steps, shown) = steps_within("0.1", "some");
    assert!(steps > 1 && (steps < 400 || steps % 400 == 0), "whole epochs where one fits: {shown}");
}
