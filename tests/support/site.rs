//! A spool whose daemon runs as a process, watched from outside.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `nobody`, whom rights hold back as they do not hold back root.
pub const NOBODY: u32 = 65_534;

/// A site whose daemon and commands run as a user whom rights hold back: as the owner of `journal/`.
pub fn start_without_root(settings: &str, facilities: &[&str]) -> Site {
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o777);
    let journal = folder.path().join("spool/journal");
    fs::create_dir_all(&journal).unwrap();
    give(&folder.path().join("spool"));
    give(&journal);
    Site::start(folder, settings, facilities)
}

pub fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A running daemon with its spool; it ends with this.
pub struct Site {
    pub folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Site {
    /// Starts a daemon with these facilities, each given by its lines of configuration.
    pub fn start(folder: tempfile::TempDir, settings: &str, facilities: &[&str]) -> Self {
        let mut site = Self {
            folder,
            child: None,
        };
        site.configure(settings, facilities);
        site.run();
        site
    }

    pub fn configure(&self, settings: &str, facilities: &[&str]) {
        let spool = self.path("");
        let mut text = format!(
            "spool = {spool:?}\n[intake]\nsettle = \"100ms\"\nrescan = \"1s\"\n{settings}\n"
        );
        for facility in facilities {
            text.push_str(&format!("[[facility]]\n{facility}\n"));
        }
        fs::write(self.folder.path().join("rcpspool.toml"), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command
            .arg("--config")
            .arg(self.folder.path().join("rcpspool.toml"))
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.folder.path());
        command
    }

    /// Starts the daemon, which tells its log everything it tells anybody, and waits until it takes files in.
    pub fn run(&mut self) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let before = self.log().matches("taking files in").count();
        let mut command = self.command(&["run"]);
        command.env("RUST_LOG", "warn,rcpspool=trace").stderr(log);
        self.child = Some(command.spawn().unwrap());
        self.wait_for("the daemon", || {
            self.log().matches("taking files in").count() > before
        });
    }

    /// Ends the daemon; it must end well.
    pub fn end(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let start = Instant::now();
        loop {
            // It stays ours until it has ended, so that it is killed if it does not.
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if let Some(status) = ended {
                assert!(status.success(), "{status}: {}", self.log());
                self.child = None;
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "it does not end: {}",
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Lets the daemon have so many handles from now on.
    pub fn limit_handles(&self, most: u64) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        let limit = rustix::process::Rlimit {
            current: Some(most),
            maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).unwrap();
    }

    pub fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("spool").join(below)
    }

    pub fn inbox(&self, facility: &str) -> PathBuf {
        self.path("facilities").join(facility).join("inbox")
    }

    /// Puts a whole file into the inbox of a facility by a rename, so that it need not settle.
    pub fn send(&self, facility: &str, name: &str, content: impl AsRef<[u8]>) {
        let aside = self.folder.path().join("aside");
        fs::write(&aside, content).unwrap();
        fs::rename(aside, self.inbox(facility).join(name)).unwrap();
    }

    /// The receipt of a file, once it is there.
    pub fn receipt(&self, facility: &str, name: &str) -> String {
        let acks = self.path("facilities").join(facility).join("outbox/acks");
        let endings = [".ack", ".outcome.json"];
        let paths = endings.map(|ending| acks.join(format!("{name}{ending}")));
        self.wait_for(name, || paths.iter().any(|path| path.is_file()));
        let path = paths.iter().find(|path| path.is_file()).unwrap();
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    }

    /// Whether it still runs, and how much memory it had at most since it was last forgotten, in MiB.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap_or_else(|| panic!("the daemon has ended: {}", self.log()));
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes / 1024
    }

    pub fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    fn proc(&self, file: &str) -> PathBuf {
        let pid = self.child.as_ref().unwrap().id();
        Path::new("/proc").join(pid.to_string()).join(file)
    }

    /// Journal, store, documents and folders say the same; the daemon must have ended.
    pub fn assert_verified(&self) {
        assert!(self.child.is_none());
        let verified = self.command(&["verify"]).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stdout);
        assert!(
            said.contains("Everything is as the journal says."),
            "{said}{}",
            String::from_utf8_lossy(&verified.stderr)
        );
    }

    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "waited in vain for {what}: {}",
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
