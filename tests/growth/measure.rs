//! Runs the program on a fresh spool, and reads what it took.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::{Dropped, Part};

/// A run that takes longer is ended, and counts as failed.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a run took.
pub(crate) struct Measured {
    /// Of the processor, user and system.
    pub seconds: f64,
    /// The most memory at once.
    pub peak_kb: u64,
    /// How much there was to read.
    pub input_bytes: u64,
    /// What did not end as it should.
    pub wrong: Vec<String>,
}

/// The memory that a run may take: that of a run without anything to do, a fixed amount for a group and its report,
/// a multiple of its input, which is read whole and of which the larger records are made, and what each of so many
/// holds until it is on the disk.
pub(crate) fn allowed_kb(part: &Part, idle: &Measured, count: usize, input_bytes: u64) -> u64 {
    idle.peak_kb + part.fixed_mb * 1024 + 6 * input_bytes / 1024 + part.held_kb * count as u64
}

/// Takes in what the part is taken in after, then measures the part.
pub(crate) fn measure(part: &Part, count: usize) -> Measured {
    // Where there is one, a file system in memory: the time that is measured is the processor's.
    let folder = match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let spool = folder.path().join("spool");
    let config = folder.path().join("rcpspool.toml");
    let text = format!(
        "spool = {spool:?}\n[intake]\nsettle = \"0s\"\nmin_free = \"1KiB\"\n[reports]\nevery = \"off\"\n\
         [[facility]]\nid = \"demo\"\nipp_oid = \"1.2.250.1.999.1\"\n{}",
        (part.settings)(count)
    );
    fs::write(&config, text).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command.arg("--config").arg(&config).args(arguments);
        command.env("RUNTIME_DIRECTORY", folder.path());
        command
    };
    for dropped in (part.before)(count) {
        drop_all(&spool, &dropped);
        let (ran, output) = watch(run(&["once", "--json"]));
        assert!(
            ran.wrong.is_empty(),
            "before {}: {:?}",
            part.name,
            ran.wrong
        );
        let totals: serde_json::Value = serde_json::from_str(&output).unwrap();
        let is_refused = totals["rejected"].as_u64() > Some(0);
        assert!(
            part.refused_before || !is_refused,
            "before {}: {output}; {}",
            part.name,
            first_refusal(&spool)
        );
    }
    let input = (part.input)(count);
    let input_bytes = input.iter().map(|file| file.content.len() as u64).sum();
    drop_all(&spool, &input);
    let (mut measured, output) = match (part.asks, part.checks, input.first()) {
        (Some(command), ..) => watch(run(command)),
        (None, true, Some(file)) => {
            let path = spool.join(&file.path);
            watch(run(&["check", "--json", path.to_str().unwrap()]))
        }
        _ => watch(run(&["once", "--json"])),
    };
    measured.input_bytes = input_bytes;
    let (word, expected) = (part.outcome.0, (part.outcome.1)(count));
    if part.asks.is_some() && output.lines().count() < expected {
        let start: String = output.chars().take(600).collect();
        let wrong = format!("with {count}, {expected} lines were to be printed; it says {start}");
        measured.wrong.push(wrong);
    } else if !part.checks && part.asks.is_none() && measured.wrong.is_empty() {
        let totals: serde_json::Value = serde_json::from_str(&output).unwrap_or_default();
        if totals[word].as_u64().unwrap_or_default() < expected as u64 {
            let first = first_refusal(&spool);
            measured.wrong.push(format!(
                "with {count}, {expected} were to be {word}; it says {output}; {first}"
            ));
        }
    }
    measured
}

fn drop_all(spool: &Path, files: &[Dropped]) {
    for file in files {
        let path = spool.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &file.content).unwrap();
    }
}

/// What the first sidecar says, to tell why something was refused.
fn first_refusal(spool: &Path) -> String {
    let sidecar = walkdir::WalkDir::new(spool)
        .into_iter()
        .filter_map(Result::ok)
        .find(|entry| entry.path().to_string_lossy().ends_with(".error.json"));
    let text = sidecar.and_then(|entry| fs::read_to_string(entry.path()).ok());
    text.unwrap_or_default().chars().take(600).collect()
}

/// Runs a command to its end. Its time is read once it has ended and before it is forgotten; its memory, which the
/// system forgets first, is looked at while it runs.
fn watch(mut command: Command) -> (Measured, String) {
    let output = tempfile::tempfile().unwrap();
    let errors = tempfile::tempfile().unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(errors.try_clone().unwrap())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let proc = Path::new("/proc").join(child.id().to_string());
    let start = Instant::now();
    let mut peak_kb = 0;
    let mut wrong = Vec::new();
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), options).unwrap().is_none() {
        if let Ok(status) = fs::read_to_string(proc.join("status")) {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok());
            peak_kb = peak_kb.max(peak.unwrap_or_default());
        }
        if start.elapsed() > PATIENCE {
            wrong.push(format!("ended after {PATIENCE:?}"));
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let seconds = processor_seconds(&fs::read_to_string(proc.join("stat")).unwrap());
    let status = child.wait().unwrap();
    if !status.success() && wrong.is_empty() {
        let text = read_all(errors);
        wrong.push(format!(
            "{status}: {}",
            text.chars().take(600).collect::<String>()
        ));
    }
    let measured = Measured {
        seconds,
        peak_kb,
        input_bytes: 0,
        wrong,
    };
    (measured, read_all(output))
}

fn read_all(mut file: fs::File) -> String {
    use std::io::{Read, Seek};
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

/// The time in a line of `/proc/PID/stat`, which is in hundredths of a second whatever the machine.
fn processor_seconds(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').unwrap().1;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next().unwrap().parse::<f64>().unwrap();
    (ticks() + ticks()) / 100.0
}
