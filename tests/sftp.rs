//! A real SFTP server in front of the daemon: hospitals upload, fetch and delete, each in a chroot of its own, made as
//! the README says ("SFTP").
//!
//! It needs root, since it makes users, and OpenSSH (Debian: openssh-server, openssh-client). Where one of these is
//! missing it says so and tests nothing. The server listens on the loopback interface only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{document, patient, session, siu};

const SETTLE: Duration = Duration::from_millis(800);
const PATIENCE: Duration = Duration::from_secs(30);
const TOOLS: [&str; 5] = [
    "/usr/sbin/sshd",
    "/usr/bin/sftp",
    "/usr/bin/ssh-keygen",
    "/usr/sbin/useradd",
    "/usr/bin/setpriv",
];
/// An upload of 100 Kbit/s, one request after the other: 100 kB take many times as long as files take to settle.
const SLOWLY: [&str; 6] = ["-l", "100", "-B", "16384", "-R", "1"];

/// What is done, in words, and what does it.
type Case = (&'static str, fn(&mut World));

#[test]
fn hospitals_upload_and_fetch_through_a_real_server() {
    if let Some(missing) = missing() {
        println!("skipped: SFTP is tested only with {missing}");
        return;
    }
    let mut world = World::new();
    world.start();
    let cases: [Case; 12] = [
        ("a plain upload", plain),
        ("rename after upload", renamed),
        ("a slow upload", slow),
        ("a client that keeps its file open", kept_open),
        ("an aborted upload of a document in XML", aborted_xml),
        ("an aborted upload in HL7", aborted_hl7),
        ("an aborted upload under a temporary name", aborted_part),
        ("an existing name", overwritten),
        ("50 at once", fifty_at_once),
        ("a batch and receipts are fetched and deleted", fetched),
        ("a file that only its owner may read", private),
        ("what a hospital may not do", forbidden),
    ];
    for (name, case) in cases {
        let begun = Instant::now();
        case(&mut world);
        world.check();
        println!("{name}: {:.1} s", begun.elapsed().as_secs_f32());
    }
    support::figure("uploads", world.sent.len() as u64);
}

fn plain(world: &mut World) {
    for who in 0..2 {
        let content = adt(&format!("PLAIN{who}"));
        world.put(who, "plain.hl7", &content);
        assert!(world.receipt(who, "plain.hl7.ack").contains("MSA|AA"));
    }
    world.succeeds(0, "mkdir inbox/sub\nmkdir inbox/sub/folder");
    world.put(0, "sub/folder/below.hl7", &adt("BELOW"));
    let receipt = world.receipt(0, "sub/folder/below.hl7.ack");
    assert!(receipt.contains("MSA|AA"), "{receipt}");
}

fn renamed(world: &mut World) {
    let local = world.local("renamed.hl7", &adt("RENAMED"));
    world.succeeds(
        0,
        &format!(
            "put {local} inbox/renamed.part\n!sleep 3\nrename inbox/renamed.part inbox/renamed.hl7"
        ),
    );
    world.sent.push((0, adt("RENAMED")));
    assert!(world.receipt(0, "renamed.hl7.ack").contains("MSA|AA"));
    assert!(!world.outbox(0, "acks/renamed.part.ack").exists());
}

fn slow(world: &mut World) {
    let content = large("SLOW", 80_000);
    let mut client = world.uploading(0, "slow.hl7", &content);
    sleep(SETTLE * 3);
    assert!(client.try_wait().unwrap().is_none(), "it is too fast");
    assert!(!world.outbox(0, "acks/slow.hl7.ack").exists());
    assert!(wait(&mut client).success());
    world.sent.push((0, content));
    let receipt = world.receipt(0, "slow.hl7.ack");
    assert!(receipt.contains("MSA|AA"), "{receipt}");
    let documents = world.list("documents");
    let size = documents.iter().find(|row| row["ipp"] == "SLOW").unwrap()["size"].as_u64();
    assert_eq!(size, Some(80_000));
}

fn kept_open(world: &mut World) {
    let content = large("OPEN", 60_000);
    let mut client = world.uploading(0, "open.hl7", &content);
    wait_for("the first bytes", || world.arrived(0) > 0);
    signal(&client, "-STOP");
    sleep(SETTLE * 5);
    assert!(world.arrived(0) < content.len() as u64);
    assert!(!world.outbox(0, "acks/open.hl7.ack").exists());
    signal(&client, "-CONT");
    assert!(wait(&mut client).success());
    world.sent.push((0, content));
    let receipt = world.receipt(0, "open.hl7.ack");
    assert!(receipt.contains("MSA|AA"), "{receipt}");
}

/// Half a document is no XML: it is refused, and the whole one taken in when it comes.
fn aborted_xml(world: &mut World) {
    let document = fs::read_to_string("fixtures/cda/meeting.xml").unwrap();
    let filling = format!("<!--{}--></ClinicalDocument>", " ".repeat(60_000));
    let content = document.replace("</ClinicalDocument>", &filling);
    world.abort(0, "cut.xml", &content);
    let receipt = world.receipt(0, "cut.xml.outcome.json");
    assert!(receipt.contains("malformed"), "{receipt}");
    world.sent_in_part(0, "error/cut.xml", &content);
    world.put(0, "cut.xml", &content);
    let receipt = world.receipt(0, "cut.2.xml.outcome.json");
    assert!(!receipt.contains("malformed"), "{receipt}");
}

/// A message cut within its document is refused, and the whole one taken in when it comes.
fn aborted_hl7(world: &mut World) {
    world.put(0, "patient.hl7", &adt("CUT"));
    assert!(world.receipt(0, "patient.hl7.ack").contains("MSA|AA"));
    let content = large("CUT", 60_000).replace(&adt("CUT"), "");
    world.abort(0, "cut.hl7", &content);
    let receipt = world.receipt(0, "cut.hl7.ack");
    assert!(receipt.contains("bad-base64"), "{receipt}");
    world.sent_in_part(0, "error/cut.hl7", &content);
    world.put(0, "cut.hl7", &content);
    let receipt = world.receipt(0, "cut.2.hl7.ack");
    assert!(receipt.contains("MSA|AA"), "{receipt}");
}

/// Under a temporary name, what was cut off stays where it is until its sender writes it anew.
fn aborted_part(world: &mut World) {
    let content = large("PART", 60_000);
    world.abort(0, "again.part", &content);
    sleep(SETTLE * 3);
    assert!(world.folder(0).join("inbox/again.part").is_file());
    let local = world.local("again.part", &content);
    world.succeeds(
        0,
        &format!("put {local} inbox/again.part\nrename inbox/again.part inbox/again.hl7"),
    );
    world.sent.push((0, content));
    assert!(world.receipt(0, "again.hl7.ack").contains("MSA|AA"));
}

/// A name that was taken in may come again; one that still settles is replaced by its sender.
fn overwritten(world: &mut World) {
    world.put(0, "same.hl7", &adt("SAME1"));
    assert!(world.receipt(0, "same.hl7.ack").contains("SAME1"));
    world.put(0, "same.hl7", &adt("SAME2"));
    assert!(world.receipt(0, "same.2.hl7.ack").contains("SAME2"));

    let first = world.local("first", &adt("REPLACED"));
    let second = world.local("second", &adt("SAME3"));
    world.succeeds(
        0,
        &format!("put {first} inbox/same.hl7\nput {second} inbox/same.hl7"),
    );
    world.sent.push((0, adt("SAME3")));
    assert!(world.receipt(0, "same.3.hl7.ack").contains("SAME3"));
    // The same message again is no new one.
    world.put(0, "same.hl7", &adt("SAME3"));
    assert!(world.receipt(0, "same.4.hl7.ack").contains("MSA|AA"));
    let patients = world.list("patients");
    let known = |ipp: &str| patients.iter().filter(|row| row["ipp"] == ipp).count();
    assert_eq!((known("REPLACED"), known("SAME3")), (0, 1));
}

fn fifty_at_once(world: &mut World) {
    let uploads: Vec<(usize, String, String)> = (0..50)
        .map(|number| {
            let who = number % 2;
            (
                who,
                format!("many-{}.hl7", number / 2),
                adt(&format!("MANY{number}")),
            )
        })
        .collect();
    let clients: Vec<Child> = uploads
        .iter()
        .enumerate()
        .map(|(number, (who, name, content))| {
            let local = world.local(&format!("many-{number}"), content);
            world.client(*who, &format!("put {local} inbox/{name}"), &[])
        })
        .collect();
    for mut client in clients {
        assert!(wait(&mut client).success(), "{}", world.log("sshd"));
    }
    for (who, name, content) in uploads {
        world.sent.push((who, content));
        assert!(
            world
                .receipt(who, &format!("{name}.ack"))
                .contains("MSA|AA")
        );
    }
    let known = world.list("patients");
    let of_many = |row: &&Value| row["ipp"].as_str().unwrap().starts_with("MANY");
    assert_eq!(known.iter().filter(of_many).count(), 50);
}

fn fetched(world: &mut World) {
    let sessions = world.local("sessions.csv", &session("S-1", "2031-04-08", "PATHWAY-1"));
    world.command(&["session", "import", &sessions]);
    let message = siu("S12", "C-1", "PLAIN0", "20250401120000", "20310408");
    world.put(0, "case.hl7", &message);
    assert!(world.receipt(0, "case.hl7.ack").contains("MSA|AA"));
    let id = world.facilities[0].clone();
    world.command(&["complete", &id, "C-1", "--decision", "Chirurgie", "--force"]);

    world.put(0, "q1.retrieve", "");
    let batch = world.outbox(0, "reports/q1.xml");
    wait_for("the batch", || batch.is_file());
    let to = world.dir.path().join("local/fetched");
    fs::create_dir(&to).unwrap();
    world.succeeds(
        0,
        &format!(
            "get outbox/reports/q1.xml {0}/\nget outbox/acks/case.hl7.ack {0}/\nget outbox/acks/sub/folder/below.hl7.ack {0}/",
            to.display()
        ),
    );
    let text = fs::read_to_string(to.join("q1.xml")).unwrap();
    assert_eq!(text.matches("<content>").count(), 1, "{text}");
    let receipt = fs::read_to_string(to.join("case.hl7.ack")).unwrap();
    assert!(receipt.contains("MSA|AA"), "{receipt}");
    // The other hospital has no report.
    world.put(1, "q1.retrieve", "");
    let other = world.outbox(1, "reports/q1.xml");
    wait_for("the other batch", || other.is_file());
    assert!(!fs::read_to_string(other).unwrap().contains("<content>"));

    // Deleting is a right of its own.
    let delete = "rm outbox/reports/q1.xml\nrm outbox/acks/case.hl7.ack";
    world.fails(0, "rm outbox/reports/q1.xml");
    for folder in ["reports", "acks"] {
        let folder = world.outbox(0, folder);
        fs::set_permissions(folder, Permissions::from_mode(0o2770)).unwrap();
    }
    world.succeeds(0, delete);
    assert!(!batch.exists());
    // Folders that are made below have the rights of the one above.
    world.succeeds(0, "mkdir inbox/later");
    world.put(0, "later/x.hl7", &adt("LATER"));
    world.receipt(0, "later/x.hl7.ack");
    world.succeeds(0, "rm outbox/acks/later/x.hl7.ack");
    // What left once does not leave again.
    world.put(0, "q2.retrieve", "");
    let batch = world.outbox(0, "reports/q2.xml");
    wait_for("the second batch", || batch.is_file());
    assert!(!fs::read_to_string(batch).unwrap().contains("<content>"));
}

/// Some clients give the file the rights that it has at home. It is refused, and its sender told why.
fn private(world: &mut World) {
    let local = world.local("private.hl7", &adt("PRIVATE"));
    fs::set_permissions(&local, Permissions::from_mode(0o600)).unwrap();
    world.succeeds(0, &format!("put {local} inbox/private.hl7"));
    world.sent.push((0, adt("PRIVATE")));
    wait_for("a sidecar", || {
        world
            .folder(0)
            .join("error/private.hl7.error.json")
            .is_file()
    });
    let sidecar = fs::read_to_string(world.folder(0).join("error/private.hl7.error.json")).unwrap();
    assert!(sidecar.contains("unreadable"), "{sidecar}");
    // Its sender sees it there, with the reason.
    let to = world.dir.path().join("local");
    world.succeeds(
        0,
        &format!("get error/private.hl7.error.json {}/", to.display()),
    );
}

fn forbidden(world: &mut World) {
    let local = world.local("x.hl7", &adt("X"));
    let other = &world.facilities[1];
    for command in [
        "ls work".to_owned(),
        "ls done".to_owned(),
        format!("put {local} x.hl7"),
        format!("put {local} done/x.hl7"),
        format!("put {local} error/x.hl7"),
        format!("put {local} work/x.hl7"),
        format!("put {local} outbox/x.hl7"),
        "rename error/cut.xml inbox/cut.xml".to_owned(),
        "rmdir inbox".to_owned(),
        "ln -s /work inbox/link".to_owned(),
        "ln inbox/again.part inbox/again.hl7".to_owned(),
        format!("ls ../{other}"),
        format!("ls {}", world.folder(1).display()),
        "get .rcpspool/../../../rcpspool.toml".to_owned(),
    ] {
        world.fails(0, &command);
    }
    // A shell is not to be had.
    let shell = world.ssh("ssh", 0, "-p").arg("id").output().unwrap();
    assert!(!String::from_utf8_lossy(&shell.stdout).contains("uid="));

    // Even without the chroot, the rights of the folders keep it out.
    let user = format!("sftp-{}", world.facilities[0]);
    let mut closed = Vec::new();
    for folder in ["journal", "store", "documents", "desk", "status"] {
        closed.push(world.spool().join(folder));
    }
    for folder in [
        "inbox",
        "outbox",
        "outbox/acks",
        "outbox/reports",
        "error",
        "work",
        "done",
    ] {
        closed.push(world.folder(1).join(folder));
    }
    for folder in ["work", "done"] {
        closed.push(world.folder(0).join(folder));
    }
    for folder in closed {
        assert!(folder.is_dir(), "{}", folder.display());
        let listed = as_user(&user)
            .args(["--init-groups", "ls"])
            .arg(&folder)
            .output()
            .unwrap();
        assert!(!listed.status.success(), "{}", folder.display());
    }
    let own = as_user(&user)
        .args(["--init-groups", "ls"])
        .arg(world.folder(0).join("inbox"))
        .output()
        .unwrap();
    assert!(
        own.status.success(),
        "the test of the rights itself is wrong"
    );
}

/// A spool with two hospitals, their users, and a server.
struct World {
    /// Below a folder that only root writes to, as chroots must be.
    dir: tempfile::TempDir,
    facilities: [String; 2],
    daemon_user: String,
    group: String,
    port: u16,
    server: Option<Child>,
    daemon: Option<Child>,
    /// What was uploaded whole: by which hospital, and the content.
    sent: Vec<(usize, String)>,
    clients: std::cell::Cell<usize>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rcpspool-sftp-")
            .tempdir_in("/var/lib")
            .unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let id = std::process::id();
        let mut world = Self {
            dir,
            facilities: [format!("a{id}"), format!("b{id}")],
            daemon_user: format!("rcpspool{id}"),
            group: format!("rcpsftp{id}"),
            port: 0,
            server: None,
            daemon: None,
            sent: Vec::new(),
            clients: std::cell::Cell::new(0),
        };
        world.make_users();
        world.set_up();
        world.serve();
        world
    }

    fn make_users(&self) {
        let home = self.spool().display().to_string();
        run(
            "useradd",
            &[
                "--system",
                "--user-group",
                "--home-dir",
                &home,
                &self.daemon_user,
            ],
        );
        run("groupadd", &["--system", &self.group]);
        for (who, facility) in self.facilities.iter().enumerate() {
            let home = self.folder(who).display().to_string();
            let user = format!("sftp-{facility}");
            let arguments = [
                "--system",
                "--user-group",
                "--groups",
                &self.group,
                "--no-create-home",
                "--home-dir",
                &home,
                "--shell",
                "/usr/sbin/nologin",
                "--password",
                "*",
                &user,
            ];
            run("useradd", &arguments);
        }
    }

    /// The folders, with the rights and owners that `setup` gives.
    fn set_up(&self) {
        let path = self.dir.path();
        for folder in ["keys", "local", "run", "bin"] {
            fs::create_dir(path.join(folder)).unwrap();
        }
        fs::copy(env!("CARGO_BIN_EXE_rcpspool"), self.program()).unwrap();
        let mut config = format!(
            "spool = {:?}\n[intake]\nsettle = \"{}ms\"\nrescan = \"1s\"\nmin_free = \"1KiB\"\n[reports]\nevery = \"off\"\n",
            self.spool(),
            SETTLE.as_millis()
        );
        for facility in &self.facilities {
            config.push_str(&format!("[[facility]]\nid = \"{facility}\"\n"));
        }
        fs::write(path.join("rcpspool.toml"), config).unwrap();
        run(
            "chown",
            &[
                &format!("{0}:{0}", self.daemon_user),
                path.join("run").to_str().unwrap(),
            ],
        );
        let said = self.command(&["setup", "--owner", &self.daemon_user]);
        for facility in &self.facilities {
            assert!(said.contains(&format!("sftp-{facility}")), "{said}");
        }
        assert!(!said.contains("has no user"), "{said}");
    }

    /// The server, with the very file that is shipped.
    fn serve(&mut self) {
        let path = self.dir.path();
        let key = |name: &str| path.join(name).display().to_string();
        for name in ["host", "client"] {
            run(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", &key(name)],
            );
        }
        for facility in &self.facilities {
            let user = path.join("keys").join(format!("sftp-{facility}"));
            fs::copy(key("client.pub"), user).unwrap();
        }
        let shipped = fs::read_to_string("fixtures/sftp/rcpspool.conf").unwrap();
        let keys = format!("{}/", path.join("keys").display());
        let block = shipped
            .replace(
                "Match Group rcpspool-sftp",
                &format!("Match Group {}", self.group),
            )
            .replace("/etc/ssh/rcpspool/", &keys);
        assert!(block.contains(&self.group) && block.contains(&keys));
        fs::write(path.join("rcpspool.conf"), block).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        self.port = free.local_addr().unwrap().port();
        drop(free);
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nMaxStartups 100\n\
             Subsystem sftp internal-sftp\nInclude {}\n",
            self.port,
            key("host"),
            path.join("rcpspool.conf").display()
        );
        fs::write(path.join("sshd_config"), config).unwrap();
        let host = fs::read_to_string(key("host.pub")).unwrap();
        fs::write(
            path.join("known_hosts"),
            format!("[127.0.0.1]:{} {host}", self.port),
        )
        .unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let log = File::create(path.join("local/sshd.log")).unwrap();
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(path.join("sshd_config"))
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
        wait_for("the server", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    fn start(&mut self) {
        let log = File::create(self.dir.path().join("local/daemon.log")).unwrap();
        let child = as_user(&self.daemon_user)
            .args([
                "--clear-groups",
                "--inh-caps=+lease",
                "--ambient-caps=+lease",
            ])
            .arg(self.program())
            .arg("--config")
            .arg(self.dir.path().join("rcpspool.toml"))
            .arg("run")
            .env("RUNTIME_DIRECTORY", self.dir.path().join("run"))
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
        wait_for("the socket", || {
            let daemon = self.daemon.as_mut().unwrap();
            let ended = daemon.try_wait().unwrap();
            let log = self.dir.path().join("local/daemon.log");
            assert!(
                ended.is_none(),
                "{}",
                fs::read_to_string(log).unwrap_or_default()
            );
            let mut entries = fs::read_dir(self.dir.path().join("run")).unwrap();
            entries.any(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .ends_with(".sock")
            })
        });
    }

    /// Stops the daemon and looks: nothing lost, nothing doubled, and `verify` finds nothing.
    fn check(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        signal(&daemon, "-TERM");
        assert!(wait(&mut daemon).success(), "{}", self.log("daemon"));
        self.command(&["verify"]);
        for who in 0..2 {
            let mut found = Vec::new();
            for folder in ["inbox", "work", "done", "error"] {
                for entry in walkdir::WalkDir::new(self.folder(who).join(folder)) {
                    let entry = entry.unwrap();
                    let name = entry.file_name().to_string_lossy();
                    let is_ours = name.starts_with('.') || name.ends_with(".error.json");
                    if entry.file_type().is_file() && !is_ours {
                        assert!(
                            folder == "done" || folder == "error",
                            "{} was left behind",
                            entry.path().display()
                        );
                        found.push(fs::read_to_string(entry.path()).unwrap());
                    }
                }
            }
            let sent = self.sent.iter().filter(|(by, _)| *by == who);
            let mut sent: Vec<&String> = sent.map(|(_, content)| content).collect();
            found.sort();
            sent.sort();
            let differ = || {
                let first = |content: &String| content.chars().take(60).collect::<String>();
                let names =
                    |contents: Vec<&String>| contents.into_iter().map(first).collect::<Vec<_>>();
                format!(
                    "{:?}\n{:?}",
                    names(sent.clone()),
                    names(found.iter().collect())
                )
            };
            assert!(sent.iter().copied().eq(found.iter()), "{}", differ());
        }
        self.start();
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn folder(&self, who: usize) -> PathBuf {
        self.spool().join("facilities").join(&self.facilities[who])
    }

    fn outbox(&self, who: usize, below: &str) -> PathBuf {
        self.folder(who).join("outbox").join(below)
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("bin/rcpspool")
    }

    fn log(&self, of: &str) -> String {
        let path = self.dir.path().join("local").join(format!("{of}.log"));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// A command of the program, by root; what it printed.
    fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.program())
            .arg("--config")
            .arg(self.dir.path().join("rcpspool.toml"))
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.dir.path().join("run"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn list(&self, what: &str) -> Vec<Value> {
        serde_json::from_str(&self.command(&["list", what, "--json"])).unwrap()
    }

    /// A file as the hospital has it at home.
    fn local(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join("local").join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn ssh(&self, program: &str, who: usize, port: &str) -> Command {
        let path = self.dir.path();
        let mut command = Command::new(program);
        command
            .args(["-q", "-F", "/dev/null", port, &self.port.to_string(), "-i"])
            .arg(path.join("client"))
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                path.join("known_hosts").display()
            ))
            .args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
            .arg("-o")
            .arg(format!("User=sftp-{}", self.facilities[who]))
            .arg("127.0.0.1");
        command
    }

    fn client(&self, who: usize, commands: &str, options: &[&str]) -> Child {
        let number = self.clients.replace(self.clients.get() + 1);
        let batch = self.local(&format!("batch-{number}"), &format!("{commands}\n"));
        // Options come before the host.
        let template = self.ssh("sftp", who, "-P");
        let mut command = Command::new("sftp");
        command
            .args(options)
            .args(["-b", &batch])
            .args(template.get_args());
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .current_dir(self.dir.path().join("local"))
            .spawn()
            .unwrap()
    }

    fn does(&self, who: usize, commands: &str) -> Output {
        let mut client = self.client(who, commands, &[]);
        wait(&mut client);
        client.wait_with_output().unwrap()
    }

    fn succeeds(&self, who: usize, commands: &str) {
        let output = self.does(who, commands);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{commands}: {said}\n{}",
            self.log("sshd")
        );
    }

    /// The server refuses it; a connection that fails is no refusal.
    fn fails(&self, who: usize, command: &str) {
        let output = self.does(who, &format!("pwd\n{command}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(
            !said.contains("Connection closed"),
            "{command}: {said}\n{}",
            self.log("sshd")
        );
    }

    /// Uploads a file whole.
    fn put(&mut self, who: usize, name: &str, content: &str) {
        let local = self.local("put", content);
        self.succeeds(who, &format!("put {local} inbox/{name}"));
        self.sent.push((who, content.to_owned()));
    }

    /// Begins to upload a file, slowly.
    fn uploading(&self, who: usize, name: &str, content: &str) -> Child {
        let local = self.local("uploading", content);
        self.client(who, &format!("put {local} inbox/{name}"), &SLOWLY)
    }

    /// Begins to upload a file and loses the connection in the midst.
    fn abort(&self, who: usize, name: &str, content: &str) {
        let mut client = self.uploading(who, name, content);
        wait_for("the first bytes", || self.arrived(who) > 0);
        assert!(self.arrived(who) < content.len() as u64);
        client.kill().unwrap();
        client.wait().unwrap();
    }

    /// How many bytes there are of what is being uploaded.
    fn arrived(&self, who: usize) -> u64 {
        let folders = ["inbox", "work"].map(|folder| self.folder(who).join(folder));
        let files = folders.iter().flat_map(walkdir::WalkDir::new).flatten();
        let files = files.filter(|entry| {
            entry.file_type().is_file() && !entry.file_name().to_string_lossy().starts_with('.')
        });
        files
            .filter_map(|entry| Some(entry.metadata().ok()?.len()))
            .sum()
    }

    /// What lies there is the beginning of what was to be sent.
    fn sent_in_part(&mut self, who: usize, path: &str, whole: &str) {
        let part = fs::read_to_string(self.folder(who).join(path)).unwrap();
        assert!(!part.is_empty() && part.len() < whole.len() && whole.starts_with(&part));
        self.sent.push((who, part));
    }

    fn receipt(&self, who: usize, name: &str) -> String {
        let path = self.outbox(who, "acks").join(name);
        wait_for(name, || path.is_file());
        fs::read_to_string(path).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}\n{}", self.log("sshd"), self.log("daemon"));
        }
        for child in [&mut self.daemon, &mut self.server].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for facility in &self.facilities {
            let _ = Command::new("userdel")
                .arg(format!("sftp-{facility}"))
                .output();
        }
        let _ = Command::new("userdel").arg(&self.daemon_user).output();
        let _ = Command::new("groupdel").arg(&self.group).output();
    }
}

/// What the test needs and does not find.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root".to_owned());
    }
    let absent: Vec<&str> = TOOLS
        .into_iter()
        .filter(|tool| !Path::new(tool).exists())
        .collect();
    (!absent.is_empty()).then(|| absent.join(", "))
}

fn adt(ipp: &str) -> String {
    patient(ipp, "20250401120000", "0612345678")
}

/// A patient, and a document of so many bytes for it.
fn large(ipp: &str, size: usize) -> String {
    let content = "%PDF-1.4\n".to_owned() + &"x".repeat(size - 9);
    adt(ipp) + &document(ipp, "20250401120001", ipp, &content)
}

/// A command as this user; the groups are still to be said.
fn as_user(user: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user]);
    command
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
}

fn signal(child: &Child, signal: &str) {
    run("kill", &[signal, &child.id().to_string()]);
}

/// Waits for a process, but not for ever.
fn wait(child: &mut Child) -> std::process::ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "a process does not end");
        sleep(Duration::from_millis(20));
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(20));
    }
}
