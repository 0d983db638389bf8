//! Where a received file ends: the names in done, error and acks, and the moves that take it there.

use std::cell::RefCell;
use std::collections::hash_map::Entry::Occupied;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::claim::derived;
use super::fs::{Dir, Fs, Result};
use crate::model::identifiers::ContentHash;
use crate::random::random_name;

/// The folder of refused files.
pub const ERROR: &str = "error";
/// The folder of receipts.
pub const ACKS: &str = "outbox/acks";
/// The folder of batches.
pub const REPORTS: &str = "outbox/reports";
/// Ends the name of a sidecar.
pub const SIDECAR: &str = ".error.json";
/// Ends the name of a receipt in HL7.
pub const RECEIPT: &str = ".ack";
/// Ends the name of any other receipt.
pub const OUTCOME: &str = ".outcome.json";

/// What the folders of a received file may take of a path, so that what is made of it can be reached by its whole path.
const FOLDER_BYTES: usize = 2_500;

/// So often a number is tried for a folder whose name is taken.
const NUMBERED_FOLDERS: u32 = 99;

/// So many folders are kept open: however many there are, the handles of the process do not run out.
const KEPT_OPEN: usize = 16;

/// Some folders below an owner that were opened lately, so that a group does not open each for each of its files.
#[derive(Debug, Default)]
pub struct OpenFolders {
    /// By the number of the owner's folder, and the path below it.
    open: RefCell<HashMap<(i32, OsString), Dir>>,
}

impl OpenFolders {
    /// The folder, opened; nothing where it is absent.
    pub fn find(&self, fs: &Fs, root: &Dir, folder: &Path) -> Result<Option<Dir>> {
        let key = (root.number(), folder.as_os_str().to_owned());
        if let Some(dir) = self.open.borrow().get(&key) {
            return Ok(Some(dir.clone()));
        }
        match fs.open_dir(root, folder) {
            Ok(dir) => {
                self.keep(key, &dir);
                Ok(Some(dir))
            }
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, key: (i32, OsString), dir: &Dir) {
        let mut open = self.open.borrow_mut();
        if open.len() >= KEPT_OPEN {
            open.clear();
        }
        open.insert(key, dir.clone());
    }

    /// The folder, opened; made where it is absent.
    pub fn make(&self, fs: &Fs, root: &Dir, folder: &Path) -> Result<Dir> {
        if let Some(dir) = self.find(fs, root, folder)? {
            return Ok(dir);
        }
        let dir = fs.make_dir(root, folder)?;
        self.keep((root.number(), folder.as_os_str().to_owned()), &dir);
        Ok(dir)
    }

    /// Whether something lies under this path below a folder.
    pub fn exists(&self, fs: &Fs, root: &Dir, path: &Path) -> Result<bool> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(true);
        };
        match self.find(fs, root, folder)? {
            Some(dir) => fs.exists(&dir, name),
            None => Ok(false),
        }
    }

    /// Moves a file below a folder, both names chosen before.
    ///
    /// A move may be repeated: with its file gone from the old name it counts as done. What somebody else has put
    /// under the new name stays, and the file gets the next number.
    pub fn move_file(&self, fs: &Fs, root: &Dir, from: &Path, to: &Path) -> Result<()> {
        let (from_dir, from_name) = self.parent(fs, root, from)?;
        let (to_dir, to_name) = self.parent(fs, root, to)?;
        let mut name = to_name.to_owned();
        for number in 2_u32.. {
            match fs.rename(&from_dir, from_name, &to_dir, &name) {
                Err(error) if error.is_absent() && !fs.exists(&from_dir, from_name)? => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    // Where renames are made of a link and a removal, the removal may be missing.
                    if fs.is_same_file(&from_dir, from_name, &to_dir, &name)? {
                        return fs.remove(&from_dir, from_name);
                    }
                    name = numbered(to_name, number);
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Moves content that is named by its hash: what lies under the new name already is the same.
    pub fn move_content(&self, fs: &Fs, root: &Dir, from: &Path, to: &Path) -> Result<()> {
        let (from_dir, from_name) = self.parent(fs, root, from)?;
        match self.exists(fs, root, to)? {
            true if fs.exists(&from_dir, from_name)? => fs.remove(&from_dir, from_name),
            true => Ok(()),
            false => self.move_file(fs, root, from, to),
        }
    }

    /// The folder of a path below an owner, opened, and the name in it.
    pub fn parent<'p>(&self, fs: &Fs, root: &Dir, path: &'p Path) -> Result<(Dir, &'p OsStr)> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let dir = self.make(fs, root, folder)?;
        Ok((dir, path.file_name().unwrap_or_default()))
    }

    /// Looks again at what is there: folders may have been moved and made anew.
    pub fn forget(&mut self) {
        self.open.borrow_mut().clear();
    }
}

/// The names that are given out, so that none is given twice before its file is there.
#[derive(Debug, Default)]
pub struct NameReservations {
    /// By the number of the owner's folder: for the group in hand.
    given: HashMap<i32, HashSet<OsString>>,
    /// The same for the group that is on its way to the disk.
    on_their_way: HashMap<i32, HashSet<OsString>>,
    /// The names of files that could not be moved into place yet: nothing lies there, and something is to.
    awaited: HashSet<(i32, OsString)>,
    /// What may lie where received files end, by the number of the owner's folder and the path below its inbox.
    occupied: HashMap<(i32, OsString), OccupiedNames>,
    /// The last number given for a name on a day, so that the ten-thousandth file of a name is named as fast as the
    /// second.
    numbers: HashMap<(i32, OsString), u32>,
}

/// The names that may lie in done, error and acks, without what is put after them: one listing is cheaper than asking
/// for five names per file. What is not among them is free; what is, may be gone again.
#[derive(Debug)]
struct OccupiedNames {
    day: String,
    names: HashSet<OsString>,
}

/// The number that sets files of the same name apart; the first has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedName {
    /// The folder below the inbox, kept below done, error and acks.
    pub folder: PathBuf,
    /// The name with its number.
    pub name: OsString,
}

impl NameReservations {
    /// Chooses the number of a received file: under the name it then has, and under each of the names made from it
    /// by `also` (paths below the owner's folder), nothing lies and nothing is to lie.
    pub fn choose(
        &mut self,
        fs: &Fs,
        folders: &OpenFolders,
        root: &Dir,
        received: &Path,
        day: &str,
        also: &dyn Fn(&NumberedName) -> Vec<PathBuf>,
    ) -> Result<NumberedName> {
        let folder = self.free_folder(fs, folders, root, received, day)?;
        let file_name = received.file_name().unwrap_or(OsStr::new("file"));
        let of_day = (
            root.number(),
            Path::new(day).join(received).into_os_string(),
        );
        let first = self.numbers.get(&of_day).copied().unwrap_or(1);
        for number in first.. {
            let named = NumberedName {
                folder: folder.clone(),
                name: numbered(file_name, number),
            };
            let mut wanted = also(&named);
            wanted.push(named.below(ERROR, ""));
            let lies_elsewhere = [
                done(day, &named),
                named.below(ERROR, SIDECAR),
                named.below(ACKS, RECEIPT),
                named.below(ACKS, OUTCOME),
            ];
            let occupied = self.occupied(fs, folders, root, day, &folder)?;
            let mut may_be_taken = Vec::new();
            for path in wanted.iter().chain(&lies_elsewhere) {
                if occupied.names.contains(bare(path)) {
                    may_be_taken.push(path.as_path());
                }
            }
            if !self.any_given(root, &wanted)
                && !self.any_given(root, &lies_elsewhere)
                && !self.any_awaited(root, &wanted)
                && !self.any_awaited(root, &lies_elsewhere)
                && !any_lies(fs, folders, root, &may_be_taken)?
            {
                if number > 1 {
                    self.numbers.insert(of_day, number);
                }
                let occupied = self.occupied(fs, folders, root, day, &folder)?;
                for path in wanted.iter().chain(&lies_elsewhere) {
                    if !occupied.names.contains(bare(path)) {
                        occupied.names.insert(bare(path).to_owned());
                    }
                }
                self.keep_folder(fs, folders, root, day, &folder)?;
                // The other names are made from these, and nobody else makes such; a sidecar's may be that of a file.
                wanted.push(named.below(ERROR, SIDECAR));
                self.give(root, wanted);
                return Ok(named);
            }
        }
        Ok(NumberedName {
            folder,
            name: derived(file_name, &random_name(), ""),
        })
    }

    /// The same; where the system refuses the names of the folders, the file ends outside of them.
    pub fn choose_any(
        &mut self,
        fs: &Fs,
        folders: &OpenFolders,
        root: &Dir,
        received: &Path,
        day: &str,
        also: &dyn Fn(&NumberedName) -> Vec<PathBuf>,
    ) -> Result<NumberedName> {
        match self.choose(fs, folders, root, received, day, also) {
            Err(error) if error.is_in_the_way() && received.parent() != Some(Path::new("")) => {
                let name = received.file_name().unwrap_or(OsStr::new("file"));
                let name = derived(name, &hash_of(received), "");
                self.choose(fs, folders, root, Path::new(&name), day, also)
            }
            chosen => chosen,
        }
    }

    /// The folder of a received file, each part with a number where done, error or acks has a file, or anything else
    /// that is no folder, under its name: a facility may send `a`, which is refused, and then `a/x.hl7`.
    fn free_folder(
        &self,
        fs: &Fs,
        folders: &OpenFolders,
        root: &Dir,
        received: &Path,
        day: &str,
    ) -> Result<PathBuf> {
        let mut free = PathBuf::new();
        let above = received.parent().unwrap_or(Path::new(""));
        for part in &fitting(above) {
            let mut folder = free.join(part);
            let mut number = 1;
            while !self.may_be_folder(fs, folders, root, &folder, day)? {
                number += 1;
                let name = match number {
                    ..=NUMBERED_FOLDERS => numbered(part, number),
                    // Nobody can have guessed this one.
                    _ => derived(part, &format!(".{}", random_name()), ""),
                };
                folder = free.join(name);
                if number > NUMBERED_FOLDERS {
                    break;
                }
            }
            free = folder;
        }
        Ok(free)
    }

    /// Whether a path below the inbox is free, or a folder, in done, error and acks.
    fn may_be_folder(
        &self,
        fs: &Fs,
        folders: &OpenFolders,
        root: &Dir,
        folder: &Path,
        day: &str,
    ) -> Result<bool> {
        let in_error = Path::new(ERROR).join(folder);
        let with_bare_name = in_error.with_file_name(bare(folder));
        let above = [format!("done/{day}"), ERROR.to_owned(), ACKS.to_owned()];
        let places = above.map(|above| Path::new(&above).join(folder));
        // Every file that is given a name has it, or what it is made from, in `error`.
        if self.any_given(root, &[in_error, with_bare_name]) || self.any_awaited(root, &places) {
            return Ok(false);
        }
        for place in &places {
            match folders.find(fs, root, place) {
                Err(error) if error.is_in_the_way() => return Ok(false),
                other => other?,
            };
        }
        Ok(true)
    }

    /// No file gets the name of a folder that was chosen.
    fn keep_folder(
        &mut self,
        fs: &Fs,
        folders: &OpenFolders,
        root: &Dir,
        day: &str,
        folder: &Path,
    ) -> Result<()> {
        for folder in folder.ancestors() {
            if let (Some(above), Some(_)) = (folder.parent(), folder.file_name()) {
                let occupied = self.occupied(fs, folders, root, day, above)?;
                occupied.names.insert(bare(folder).to_owned());
            }
        }
        Ok(())
    }

    /// Chooses a free name in one folder: `q1.xml`, else `q1.2.xml`, and so on.
    pub fn choose_in(
        &mut self,
        fs: &Fs,
        folders: &OpenFolders,
        root: &Dir,
        folder: impl AsRef<Path>,
        name: &OsStr,
    ) -> Result<PathBuf> {
        let folder = folder.as_ref();
        for number in 1_u32.. {
            let path = folder.join(numbered(name, number));
            let wanted = std::slice::from_ref(&path);
            if !self.any_given(root, wanted)
                && !self.any_awaited(root, wanted)
                && !any_lies(fs, folders, root, &[&path])?
            {
                let of_root = self.occupied.iter_mut();
                for (_, occupied) in of_root.filter(|((number, _), _)| *number == root.number()) {
                    occupied.names.insert(bare(&path).to_owned());
                }
                self.give(root, vec![path.clone()]);
                return Ok(path);
            }
        }
        Ok(folder.join(derived(name, &random_name(), "")))
    }

    /// The files are in place, or will not be: their names are looked up on the disk again.
    pub fn forget(&mut self) {
        self.given.clear();
        self.on_their_way.clear();
        if self.numbers.len() > 100_000 {
            self.numbers.clear();
        }
    }

    /// The group in hand is on its way to the disk, and another begins.
    pub fn turn(&mut self) {
        self.on_their_way = std::mem::take(&mut self.given);
    }

    /// The group on its way has landed: its names are looked up on the disk again.
    pub fn landed(&mut self) {
        self.on_their_way.clear();
    }

    /// Keeps these names, each below the folder of this number, for files that are still to be moved there; those kept
    /// before are free again.
    pub fn await_at(&mut self, names: impl Iterator<Item = (i32, PathBuf)>) {
        self.awaited = names
            .map(|(root, path)| (root, path.into_os_string()))
            .collect();
    }

    /// Looks at the folders again before the next name is chosen: others may have put something there.
    pub fn look_again(&mut self) {
        self.occupied.clear();
    }

    fn occupied(
        &mut self,
        fs: &Fs,
        folders: &OpenFolders,
        root: &Dir,
        day: &str,
        folder: &Path,
    ) -> Result<&mut OccupiedNames> {
        let key = (root.number(), folder.as_os_str().to_owned());
        match self.occupied.entry(key) {
            Occupied(known) if known.get().day == day => Ok(known.into_mut()),
            entry => {
                let mut names = HashSet::new();
                for above in [&format!("done/{day}"), ERROR, ACKS] {
                    if let Some(dir) = folders.find(fs, root, &Path::new(above).join(folder))? {
                        let entries = fs.list(&dir)?.into_iter();
                        names.extend(entries.map(|entry| bare(entry.name.as_ref()).to_owned()));
                    }
                }
                let day = day.to_owned();
                Ok(entry.insert_entry(OccupiedNames { day, names }).into_mut())
            }
        }
    }

    fn any_awaited(&self, root: &Dir, paths: &[PathBuf]) -> bool {
        !self.awaited.is_empty()
            && paths.iter().any(|path| {
                let key = (root.number(), path.as_os_str().to_owned());
                self.awaited.contains(&key)
            })
    }

    fn any_given(&self, root: &Dir, paths: &[PathBuf]) -> bool {
        [&self.given, &self.on_their_way].into_iter().any(|names| {
            let of_root = names.get(&root.number());
            of_root.is_some_and(|names| paths.iter().any(|path| names.contains(path.as_os_str())))
        })
    }

    fn give(&mut self, root: &Dir, paths: Vec<PathBuf>) {
        let of_root = self.given.entry(root.number()).or_default();
        of_root.extend(paths.into_iter().map(PathBuf::into_os_string));
    }
}

fn any_lies(fs: &Fs, folders: &OpenFolders, root: &Dir, paths: &[&Path]) -> Result<bool> {
    for path in paths {
        if folders.exists(fs, root, path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first folders of a path that is too long, and a hash of it.
fn fitting(folder: &Path) -> PathBuf {
    if folder.as_os_str().len() <= FOLDER_BYTES {
        return folder.to_owned();
    }
    let hash = hash_of(folder);
    let mut cut = PathBuf::new();
    for part in folder {
        if cut.as_os_str().len() + part.len() + hash.len() + 2 > FOLDER_BYTES {
            break;
        }
        cut.push(part);
    }
    cut.join(hash)
}

fn hash_of(path: &Path) -> String {
    let hash = ContentHash::of(path.as_os_str().as_bytes());
    let (hash, _) = hash.as_str().split_at(16);
    format!("~{hash}")
}

/// A name without what is put after it for sidecars and receipts.
fn bare(path: &Path) -> &OsStr {
    let name = path.file_name().unwrap_or_default();
    let bytes = name.as_bytes();
    let bare = [SIDECAR, RECEIPT, OUTCOME]
        .iter()
        .find_map(|after| bytes.strip_suffix(after.as_bytes()));
    OsStr::from_bytes(bare.unwrap_or(bytes))
}

fn numbered(name: &OsStr, number: u32) -> OsString {
    match number {
        1 => derived(name, "", ""),
        number => derived(name, &format!(".{number}"), ""),
    }
}

impl NumberedName {
    /// The path of the file in this folder, with something after its name.
    pub fn below(&self, folder: &str, after: &str) -> PathBuf {
        Path::new(folder)
            .join(&self.folder)
            .join(derived(&self.name, "", after))
    }

    /// The path of its n-th message in `error/`, with something after its name.
    pub fn message(&self, number: usize, after: &str) -> PathBuf {
        Path::new(ERROR)
            .join(&self.folder)
            .join(derived(&self.name, &format!(".m{number}"), after))
    }
}

/// Where a file that was taken in goes on this day (`yyyy-mm-dd`).
pub fn done(day: &str, named: &NumberedName) -> PathBuf {
    Path::new("done")
        .join(day)
        .join(&named.folder)
        .join(&named.name)
}
