//! How fast files are taken in, beside the bare file work that no such program can do without.
//!
//! `cargo bench --bench intake` has `once` take in 20,000 scheduling messages of about 900 bytes, their session in place,
//! in turn with a small program that only does the file work of the same groups (rename, open, read, `syncfs`, one
//! journal append and sync, rename), and once more with receipts. It prints the median of three rounds of each.
//! `FILES` and `FOLDER` in the environment set the number of files and where the spool is made.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const GROUP: usize = 256;
const ROUNDS: usize = 3;

fn main() {
    let count = std::env::var("FILES")
        .ok()
        .and_then(|text| text.parse().ok());
    let count = count.unwrap_or(20_000);
    let (mut bare, mut product, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
    // What a run leaves is removed only at the end: the file system would free it during the next run.
    let folder = folder();
    for round in 1..=ROUNDS {
        let part = |name: &str| folder.path().join(format!("{name}-{round}"));
        bare.push(bare_rate(&part("bare"), count));
        product.push(product_rate(&part("product"), count, "off"));
        receipts.push(product_rate(&part("receipts"), count, "each"));
        println!(
            "round {round}: bare {:.0}, rcpspool {:.0}, with receipts {:.0} files/s",
            bare[round - 1],
            product[round - 1],
            receipts[round - 1]
        );
    }
    let (bare, product, receipts) = (median(bare), median(product), median(receipts));
    println!("median of {ROUNDS} rounds of {count} files:");
    println!("bare file work   {bare:>8.0} files/s");
    println!(
        "rcpspool         {product:>8.0} files/s  {:.2} of the bare work",
        product / bare
    );
    println!(
        "with receipts    {receipts:>8.0} files/s  {:.2} of the bare work",
        receipts / bare
    );
}

/// A message like the documentation's, about 900 bytes long.
fn message(number: usize) -> String {
    [
        format!("MSH|^~\\&|AXIGATE|AXIGATE|||20250401154719||SIU^S12^SIU_S12|{number}|P|2.5|||||FR|UTF-8|FRA"),
        format!("SCH|{number}|{number}||||RCP_IHU^RCP -Infertilité|||15|Min|^^^20250408165500^20250408171000|||||||||10003425302^MANSION ADM^Fredéric ^^^^^^^L^^^RPPS|||||PLANNED"),
        "TQ1|1|||||15^Min|20250408165500|20250408171000|R".to_owned(),
        format!("PID|||{number}^^^^PI||TEST^TEST^^^M.^^L||19501104000000|M||||||||||||||||||||||N||PROV"),
        "PV1|1|O|8154||||||||||||||||".to_owned(),
        "RGS|1".to_owned(),
        "AIS|1||RCP_IHU^RCP -Infertilité|20250408165500|0|Min|15|Min".to_owned(),
        "AIL|1||8154^^^67d443f1bdfe7d0fb1eabdd4^^^^^67d441a5bdfe7d0fb1eaad51|||20250408165500|0|Min|15|Min".to_owned(),
        "AIP|1||10100094977^Infertilité -^CO^^^^^^^L^^^RPPS|||20250408165500|||15|Min".to_owned(),
        format!("NTE|1||{}", "x".repeat(160)),
    ]
    .join("\r")
}

const SESSION: &str = "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n\
    S-1,RCP,2025-04-08,14:00,67d443f1bdfe7d0fb1eabdd4,,,,,planned\n";

fn folder() -> tempfile::TempDir {
    match std::env::var_os("FOLDER") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        // Beside the program: on a disk, where the system's folder for temporary files may lie in memory.
        None => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
    }
}

fn drop_files(inbox: &Path, count: usize) -> Vec<PathBuf> {
    fs::create_dir_all(inbox).unwrap();
    let names: Vec<PathBuf> = (0..count)
        .map(|number| format!("m{number:06}.hl7").into())
        .collect();
    for (number, name) in names.iter().enumerate() {
        fs::write(inbox.join(name), message(number)).unwrap();
    }
    rustix::fs::syncfs(File::open(inbox).unwrap()).unwrap();
    names
}

fn bare_rate(folder: &Path, count: usize) -> f64 {
    let path = |name: &str| folder.join(name);
    let names = drop_files(&path("inbox"), count);
    for name in ["work", "done"] {
        fs::create_dir(path(name)).unwrap();
    }
    let mut journal = File::create(path("journal")).unwrap();
    let start = Instant::now();
    for group in names.chunks(GROUP) {
        let mut lines = Vec::new();
        for name in group {
            fs::rename(path("inbox").join(name), path("work").join(name)).unwrap();
            let mut bytes = Vec::new();
            File::open(path("work").join(name))
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            lines.extend_from_slice(&bytes);
        }
        rustix::fs::syncfs(&journal).unwrap();
        journal.write_all(&lines).unwrap();
        journal.sync_data().unwrap();
        for name in group {
            fs::rename(path("work").join(name), path("done").join(name)).unwrap();
        }
    }
    count as f64 / start.elapsed().as_secs_f64()
}

fn product_rate(folder: &Path, count: usize, acks: &str) -> f64 {
    fs::create_dir(folder).unwrap();
    let spool = folder.join("spool");
    let config = folder.join("bench.toml");
    let text = format!(
        "spool = {spool:?}\n[intake]\nacks = {acks:?}\nsettle = \"0s\"\nmin_free = \"0B\"\n[[facility]]\nid = \"demo\"\n"
    );
    fs::write(&config, text).unwrap();
    assert_eq!(once(&config)["accepted"], 0);
    fs::write(spool.join("desk/inbox/sessions.csv"), SESSION).unwrap();
    assert_eq!(once(&config)["accepted"], 1);
    drop_files(&spool.join("facilities/demo/inbox"), count);
    let start = Instant::now();
    let totals = once(&config);
    let rate = count as f64 / start.elapsed().as_secs_f64();
    assert_eq!(totals["accepted"], count);
    rate
}

/// What `once` says it did.
fn once(config: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_rcpspool"))
        .arg("--config")
        .arg(config)
        .args(["once", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
