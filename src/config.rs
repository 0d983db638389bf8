//! The configuration: one TOML file, read whole and checked before anything is touched (interface.md 11).
//!
//! Every key has a default, which stands beside its name below; `config.example.toml` shows them all. What a
//! facility sets under `[facility.fields]` and the like is merged over the common tables here, so the rest of the
//! program asks only its [`Facility`]. Relative paths start at the directory that the program was started in.

mod error;
pub mod layout;
mod setting;

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs, io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use chrono_tz::Tz;
use rustix::fs::Access;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use toml::Spanned;

use crate::hl7::Position;
use crate::model::{document::ContentType, identifiers::FacilityId};

pub use error::ConfigError;
pub use setting::{
    Acks, CdaCaseId, Every, Format, Hl7Version, LeadField, RenewSetting, WithdrawSetting,
};

use error::ConfigText;
use layout::Layout;
use setting::{Region, Setting, SettingValue, quoted};

/// Looked for in the current directory where no file is named.
const HERE: &str = "rcpspool.toml";
/// Looked for next.
const SYSTEM: &str = "/etc/rcpspool/config.toml";

/// What runs: the spool, its facilities and the rules that hold for all of them (interface.md 11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder that holds everything, as written.
    pub spool: PathBuf,
    /// How files are taken in.
    pub intake: Intake,
    /// How long what is finished is kept.
    pub retention: Retention,
    /// The status page.
    pub status: Status,
    /// The hospitals, at least one, in the order of the file.
    pub facilities: Vec<Facility>,
    origin: Origin,
}

/// A hospital with its own folder and rules; what it does not set itself is taken from the common tables (interface.md 1, 11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    /// Names its folder and its population of keys.
    pub id: FacilityId,
    /// For people.
    pub name: String,
    /// Its address on reports, in one line.
    pub address: Option<String>,
    /// Its number in the register of establishments (FINESS), 9 characters.
    pub finess: Option<String>,
    /// How national phone numbers are read: ISO 3166, two letters.
    pub region: String,
    /// In which times without an offset are read and written.
    pub timezone: Tz,
    /// MSH-5 of reports.
    pub receiving_application: String,
    /// MSH-6 of reports.
    pub receiving_facility: String,
    /// Its folder: as written, else `<spool>/facilities/<id>`.
    pub dir: PathBuf,
    /// What MSH-4.1 must be, if anything (interface.md 10).
    pub api_key: Option<ApiKey>,
    /// Which `PI` in PID-3 is this facility's, and the authority in reports (interface.md 3, 8).
    pub ipp_authority: Option<String>,
    /// Whether a message whose IPP is of another authority is refused.
    pub strict_authority: bool,
    /// The root of this facility's IPP in a CDA (interface.md 5).
    pub ipp_oid: Option<String>,
    /// Where in a message the data are that nobody placed.
    pub fields: Fields,
    /// Reading CDA.
    pub cda: Cda,
    /// Reading documents.
    pub documents: Documents,
    /// Writing reports.
    pub reports: Reports,
}

/// Declares a table of settings once: its type, its defaults, what a file may give of it, and how it is shown.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $table:ident, given as $given:ident {
            $($(#[$key_doc:meta])* $key:ident: $type:ty = $default:expr,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $table {
            $($(#[$key_doc])* pub $key: $type,)+
        }

        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $given {
            $($key: Option<Spanned<SettingValue<$type>>>,)+
        }

        impl Default for $table {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $table {
            /// These settings, with what is given in their place.
            fn with(self, given: &$given) -> Self {
                Self { $($key: value(&given.$key, self.$key),)+ }
            }
        }

        impl fmt::Display for $table {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{} = {}", stringify!($key), self.$key.written())?;)+
                Ok(())
            }
        }
    };
}

table!(
    /// `[intake]`: how files are taken in.
    Intake, given as GivenIntake {
        /// How long a file must be unchanged before it is read.
        settle: Duration = Duration::from_secs(2),
        /// How often every inbox is looked through, whatever events say.
        rescan: Duration = Duration::from_secs(10),
        /// A message whose time is further ahead of ours is refused.
        future: Duration = Duration::from_secs(86_400),
        /// At most so many messages are put on disk together.
        group: usize = 256,
        /// A larger file is refused: bytes.
        max_file: u64 = 64 << 20,
        /// With less room, nothing more is taken in: bytes.
        min_free: u64 = 512 << 20,
        /// Names of files that are left alone.
        ignore: Vec<String> = texts(&[".*", "*.tmp", "*.part", "*.filepart", "*~"]),
        /// The versions of HL7 (MSH-12.1) that are read.
        versions: Vec<String> = texts(&["2.5", "2.5.1", "2.6", "2.7", "2.7.1"]),
        /// For what a receipt is written.
        acks: Acks = Acks::Each,
    }
);

table!(
    /// `[fields]`: where in a message the data are that nobody placed (interface.md 3, 4, 6).
    Fields, given as GivenFields {
        /// The patient's network id.
        network: Position = position("PV1", 3, 9),
        /// The patient's physician.
        physician: Position = position("PV1", 7, 0),
        /// The network id of a document.
        document_network: Position = position("MSH", 5, 1),
        /// The date of the session: the first of these that has a value.
        session_date: Vec<Position> = vec![position("SCH", 11, 4), position("TQ1", 7, 0), position("AIS", 4, 0)],
    }
);

table!(
    /// `[cda]`: reading CDA (interface.md 5).
    Cda, given as GivenCda {
        /// The document codes (LOINC) that schedule a case.
        document_codes: Vec<String> = texts(&["34794-8"]),
        /// Where the case id is: the first of these that is there.
        case_id: Vec<CdaCaseId> = vec![CdaCaseId::Order, CdaCaseId::SetId],
        /// The only root whose ids name a pathway or family; none: any id that a session knows.
        pathway_root: Option<String> = None,
        /// The root of network ids; none: no network is read.
        network_root: Option<String> = None,
    }
);

table!(
    /// `[documents]`: reading documents (interface.md 6).
    Documents, given as GivenDocuments {
        /// The kinds of content that are taken.
        types: Vec<ContentType> = vec![
            ContentType::Pdf,
            ContentType::Cda,
            ContentType::Jpeg,
            ContentType::Png,
            ContentType::Tiff,
            ContentType::Rtf,
            ContentType::Text,
        ],
        /// Where a case id is claimed.
        case_id: Vec<Position> = vec![position("TXA", 14, 1)],
        /// Where a case id may stand, among other orders.
        case_hint: Vec<Position> = vec![position("ORC", 2, 1), position("OBR", 2, 1)],
    }
);

table!(
    /// `[reports]`: writing reports (interface.md 8).
    Reports, given as GivenReports {
        /// When batches are written besides on request.
        every: Every = Every::Every(Duration::from_secs(300)),
        /// The message that carries a report.
        format: Format = Format::MdmT02,
        /// Its version of HL7.
        version: Hl7Version = Hl7Version::V2_5,
        /// MSH-3, TXA-12.2 and TXA-13.2.
        sending_application: String = "ROFIM".to_owned(),
        /// MSH-4.
        sending_facility: String = "ROFIM".to_owned(),
        /// Where the lead physician is put.
        lead: LeadField = LeadField::TXA_10,
        /// When an outdated report is made anew.
        renew: RenewSetting = RenewSetting::Desk,
        /// How the facility is told that a report which left does not hold any more.
        withdraw: WithdrawSetting = WithdrawSetting::NextVersion,
        /// The layout of the PDF.
        layout: Layout = Layout::default(),
    }
);

table!(
    /// `[retention]`: how long what is finished is kept.
    Retention, given as GivenRetention {
        /// Received files in `done/`.
        done: Duration = days(90),
        /// Batches and receipts in `outbox/`.
        outbox: Duration = days(30),
        /// The record of every change.
        journal: Duration = days(400),
    }
);

table!(
    /// `[status]`: the status page.
    Status, given as GivenStatus {
        /// Whether it shows names besides ids.
        names: bool = false,
    }
);

/// The file as it was written, before defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GivenConfig {
    spool: Option<Spanned<SettingValue<PathBuf>>>,
    intake: GivenIntake,
    fields: GivenFields,
    cda: GivenCda,
    documents: GivenDocuments,
    reports: GivenReports,
    retention: GivenRetention,
    status: GivenStatus,
    facility: Vec<Spanned<GivenFacility>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GivenFacility {
    id: Option<Spanned<SettingValue<FacilityId>>>,
    name: Option<Spanned<SettingValue<String>>>,
    address: Option<Spanned<SettingValue<Option<String>>>>,
    finess: Option<Spanned<SettingValue<Option<String>>>>,
    region: Option<Spanned<SettingValue<Region>>>,
    timezone: Option<Spanned<SettingValue<Tz>>>,
    receiving_application: Option<Spanned<SettingValue<String>>>,
    receiving_facility: Option<Spanned<SettingValue<String>>>,
    dir: Option<Spanned<SettingValue<PathBuf>>>,
    api_key_file: Option<Spanned<SettingValue<PathBuf>>>,
    ipp_authority: Option<Spanned<SettingValue<Option<String>>>>,
    strict_authority: Option<Spanned<SettingValue<bool>>>,
    ipp_oid: Option<Spanned<SettingValue<Option<String>>>>,
    fields: GivenFields,
    cda: GivenCda,
    documents: GivenDocuments,
    reports: GivenReports,
}

/// Where the configuration was written, for errors that show only when folders are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Origin {
    file: PathBuf,
    spool_line: Option<usize>,
    /// Of each facility, the line that decides its folder.
    facility_lines: Vec<usize>,
}

impl Config {
    /// Reads `--config FILE`, else `rcpspool.toml` here, else `/etc/rcpspool/config.toml`, else takes the defaults
    /// with one facility `demo` under `./spool` (interface.md 11).
    pub fn load(explicit: Option<&Path>) -> Result<Self, ConfigError> {
        match explicit {
            Some(file) => Self::load_first(&[file])?.ok_or_else(|| ConfigError {
                file: file.to_owned(),
                line: None,
                problem: "no such file: name one that exists, or leave --config out".to_owned(),
            }),
            None => Ok(Self::load_first(&[Path::new(HERE), Path::new(SYSTEM)])?
                .unwrap_or_else(|| Self::demo(Path::new("spool")))),
        }
    }

    /// Reads the first of these files that exists.
    fn load_first(files: &[&Path]) -> Result<Option<Self>, ConfigError> {
        for file in files {
            match fs::read_to_string(file) {
                Ok(text) => return Self::from_text(&text, file).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(ConfigError {
                        file: (*file).to_owned(),
                        line: None,
                        problem: format!(
                            "cannot be read as UTF-8 text ({error}): put it right, or name another file with --config"
                        ),
                    });
                }
            }
        }
        Ok(None)
    }

    /// Reads a configuration that stood in the file `origin`.
    pub fn from_text(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        let source = ConfigText { file: origin, text };
        let given: GivenConfig = toml::from_str(text).map_err(|error| source.refused(&error))?;
        given.check(&source)?;
        let mut config = Self {
            spool: value(&given.spool, PathBuf::from("spool")),
            intake: Intake::default().with(&given.intake),
            retention: Retention::default().with(&given.retention),
            status: Status::default().with(&given.status),
            facilities: Vec::new(),
            origin: Origin {
                file: origin.to_owned(),
                spool_line: given.spool.as_ref().map(|spool| source.line(&spool.span())),
                facility_lines: Vec::new(),
            },
        };
        // The folders of the facilities so far, and whose.
        let mut taken = BTreeMap::new();
        for facility in &given.facility {
            let deciding = [
                facility.as_ref().dir.as_ref().map(Spanned::span),
                facility.as_ref().id.as_ref().map(Spanned::span),
            ];
            let span = deciding.into_iter().flatten().next();
            let span = span.unwrap_or_else(|| facility.span());
            let facility = Facility::read(facility.as_ref(), &given, &config.spool, &source)?;
            let dir = config.check_apart(&facility, &taken, &source, &span)?;
            taken.insert(dir, config.facilities.len());
            config.origin.facility_lines.push(source.line(&span));
            config.facilities.push(facility);
        }
        Ok(config)
    }

    /// The defaults with one facility `demo`, under this spool.
    pub fn demo(spool: &Path) -> Self {
        Self {
            spool: spool.to_owned(),
            intake: Intake::default(),
            retention: Retention::default(),
            status: Status::default(),
            facilities: vec![Facility::demo(spool)],
            origin: Origin::default(),
        }
    }

    /// The facility of this id.
    pub fn facility(&self, id: &FacilityId) -> Option<&Facility> {
        self.facilities.iter().find(|facility| facility.id == *id)
    }

    /// Refuses a facility whose id or folder is another's, or whose folder holds or is part of the spool's own. Gives
    /// where its folder really is; `taken` has those of the facilities before it, with their places among them.
    fn check_apart(
        &self,
        new: &Facility,
        taken: &BTreeMap<PathBuf, usize>,
        source: &ConfigText<'_>,
        span: &std::ops::Range<usize>,
    ) -> Result<PathBuf, ConfigError> {
        let dir = real(&new.dir);
        let spool = real(&self.spool);
        let refuse = |problem: String| Err(source.error(span, problem));
        if self.facility(&new.id).is_some() {
            return refuse(format!(
                "there is already a facility `{}`: give this one an id of its own",
                new.id
            ));
        }
        let folder = new.dir.display();
        if spool.join("facilities").starts_with(&dir) {
            return refuse(format!(
                "the folder {folder} of facility `{}` holds the spool's own folders: give it one of its own",
                new.id
            ));
        }
        for own in SPOOL_FOLDERS {
            if dir.starts_with(spool.join(own)) {
                return refuse(format!(
                    "the folder {folder} of facility `{}` lies in the spool's {own}/: put it elsewhere",
                    new.id
                ));
            }
        }
        let above = dir.ancestors().find_map(|folder| taken.get(folder));
        // Paths below a folder come right after it.
        let next = taken.range(dir.clone()..).next();
        let below = next.filter(|(path, _)| path.starts_with(&dir));
        let nested = above.or(below.map(|(_, place)| place));
        if let Some(other) = nested.and_then(|place| self.facilities.get(*place)) {
            return refuse(format!(
                "the folder {folder} of facility `{}` is the same as, or nested with, the folder {} of `{}`: give each facility a folder of its own, beside the others",
                new.id,
                other.dir.display(),
                other.id
            ));
        }
        Ok(dir)
    }

    /// Whether every folder that everybody needs can be written to if it exists, and made if it does not; touches
    /// nothing. Without them nothing starts; a facility's folder that fails is set aside at the start, for itself.
    ///
    /// Only the folders that the program writes into are asked about: `setup` gives those above them to root.
    pub fn check_spool(&self) -> Result<(), ConfigError> {
        for folder in SPOOL_FOLDERS {
            if let Err(problem) = writable(&self.spool.join(folder)) {
                let problem = format!("{problem}, or change `spool`");
                return Err(self.error(self.origin.spool_line, problem));
            }
        }
        Ok(())
    }

    /// The same, with the folders of the facilities: for whoever asks whether all is as it should be (interface.md 11).
    pub fn check_folders(&self) -> Result<(), ConfigError> {
        self.check_spool()?;
        for (place, facility) in self.facilities.iter().enumerate() {
            for folder in FACILITY_FOLDERS {
                if let Err(problem) = writable(&facility.dir.join(folder)) {
                    let line = self.origin.facility_lines.get(place).copied();
                    let id = &facility.id;
                    let problem = format!("{problem}, or change `dir` of facility `{id}`");
                    return Err(self.error(line, problem));
                }
            }
        }
        Ok(())
    }

    fn error(&self, line: Option<usize>, problem: String) -> ConfigError {
        ConfigError {
            file: self.origin.file.clone(),
            line,
            problem,
        }
    }

    /// What would run, for `config check`: a configuration with every setting written out, defaults included.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_to(&mut text);
        text
    }

    fn write_to(&self, out: &mut String) -> fmt::Result {
        if self.origin.file.as_os_str().is_empty() {
            writeln!(out, "# no configuration file: these are the defaults")?;
        } else {
            writeln!(out, "# {}", self.origin.file.display())?;
        }
        writeln!(
            out,
            "spool = {}    # {}",
            self.spool.written(),
            state(&self.spool)
        )?;
        write!(out, "\n[intake]\n{}", self.intake)?;
        write!(out, "\n[retention]\n{}", self.retention)?;
        write!(out, "\n[status]\n{}", self.status)?;
        for facility in &self.facilities {
            write!(out, "\n[[facility]]\n{facility}")?;
        }
        Ok(())
    }
}

impl GivenConfig {
    /// Refuses values that are well written and yet would let nothing work.
    fn check(&self, source: &ConfigText<'_>) -> Result<(), ConfigError> {
        if self.facility.is_empty() {
            return Err(ConfigError {
                file: source.file.to_owned(),
                line: None,
                problem: "there is no facility: add a [[facility]] with its id".to_owned(),
            });
        }
        let facilities = || self.facility.iter().map(AsRef::as_ref);
        let fields = facilities()
            .map(|facility| &facility.fields)
            .chain([&self.fields]);
        let cdas = facilities()
            .map(|facility| &facility.cda)
            .chain([&self.cda]);

        refuse_if(
            source,
            &self.intake.rescan,
            Duration::is_zero,
            "without a pause, nothing else would be done: write a time such as \"10s\"",
        )?;
        refuse_if(
            source,
            &self.intake.max_file,
            |size| *size == 0,
            "every file would be refused: write a size such as \"64MiB\"",
        )?;
        refuse_if(
            source,
            &self.intake.versions,
            Vec::is_empty,
            "every message would be refused: name at least one version, such as \"2.5\"",
        )?;
        for fields in fields {
            refuse_if(
                source,
                &fields.session_date,
                Vec::is_empty,
                "no case could be scheduled: name at least one position, such as \"SCH-11.4\"",
            )?;
        }
        for cda in cdas {
            refuse_if(
                source,
                &cda.case_id,
                Vec::is_empty,
                "every CDA would be refused: name at least one of \"order\", \"setId\"",
            )?;
        }
        Ok(())
    }
}

fn refuse_if<T>(
    source: &ConfigText<'_>,
    given: &Option<Spanned<SettingValue<T>>>,
    wrong: impl FnOnce(&T) -> bool,
    problem: &str,
) -> Result<(), ConfigError> {
    match given {
        Some(given) if wrong(&given.as_ref().0) => {
            Err(source.error(&given.span(), problem.to_owned()))
        }
        _ => Ok(()),
    }
}

impl Facility {
    fn demo(spool: &Path) -> Self {
        Self {
            id: FacilityId::new("demo"),
            name: "Hôpital Démo".to_owned(),
            address: None,
            finess: None,
            region: "FR".to_owned(),
            timezone: Tz::Europe__Paris,
            receiving_application: "AXIGATE".to_owned(),
            receiving_facility: "AXIGATE".to_owned(),
            dir: spool.join("facilities").join("demo"),
            api_key: None,
            ipp_authority: None,
            strict_authority: false,
            ipp_oid: None,
            fields: Fields::default(),
            cda: Cda::default(),
            documents: Documents::default(),
            reports: Reports::default(),
        }
    }

    fn read(
        given: &GivenFacility,
        common: &GivenConfig,
        spool: &Path,
        source: &ConfigText<'_>,
    ) -> Result<Self, ConfigError> {
        let default = Self::demo(spool);
        let id = value(&given.id, default.id);
        let api_key = match &given.api_key_file {
            None => None,
            Some(file) => Some(
                ApiKey::read(&file.as_ref().0)
                    .map_err(|problem| source.error(&file.span(), problem))?,
            ),
        };
        refuse_if(
            source,
            &given.finess,
            |finess| finess.as_ref().is_some_and(|it| !is_finess(it)),
            "expected a FINESS number of 9 characters: digits, or 2A or 2B and digits",
        )?;
        if let Some(strict) = &given.strict_authority
            && value(&given.strict_authority, false)
            && value(&given.ipp_authority, None).is_none()
        {
            return Err(source.error(
                &strict.span(),
                "strict_authority needs ipp_authority, by which a patient id of another hospital is told".to_owned(),
            ));
        }
        Ok(Self {
            name: value(&given.name, default.name),
            address: value(&given.address, None),
            finess: value(&given.finess, None),
            region: value(&given.region, Region(default.region)).0,
            timezone: value(&given.timezone, default.timezone),
            receiving_application: value(
                &given.receiving_application,
                default.receiving_application,
            ),
            receiving_facility: value(&given.receiving_facility, default.receiving_facility),
            dir: value(&given.dir, spool.join("facilities").join(id.as_str())),
            api_key,
            ipp_authority: value(&given.ipp_authority, None),
            strict_authority: value(&given.strict_authority, false),
            ipp_oid: value(&given.ipp_oid, None),
            fields: default.fields.with(&common.fields).with(&given.fields),
            cda: default.cda.with(&common.cda).with(&given.cda),
            documents: default
                .documents
                .with(&common.documents)
                .with(&given.documents),
            reports: default.reports.with(&common.reports).with(&given.reports),
            id,
        })
    }
}

/// Whether this can be the number of an establishment: Corsica's begin with 2A or 2B.
fn is_finess(text: &str) -> bool {
    let rest = text.strip_prefix("2A").or_else(|| text.strip_prefix("2B"));
    text.len() == 9 && rest.unwrap_or(text).bytes().all(|it| it.is_ascii_digit())
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "id = {}", self.id.written())?;
        writeln!(f, "name = {}", self.name.written())?;
        writeln!(f, "address = {}", self.address.written())?;
        writeln!(f, "finess = {}", self.finess.written())?;
        writeln!(f, "region = {}", self.region.written())?;
        writeln!(f, "timezone = {}", self.timezone.written())?;
        writeln!(
            f,
            "receiving_application = {}",
            self.receiving_application.written()
        )?;
        writeln!(
            f,
            "receiving_facility = {}",
            self.receiving_facility.written()
        )?;
        writeln!(f, "dir = {}    # {}", self.dir.written(), state(&self.dir))?;
        if let Some(key) = &self.api_key {
            writeln!(
                f,
                "api_key_file = {}    # read, not shown",
                key.file.written()
            )?;
        }
        writeln!(f, "ipp_authority = {}", self.ipp_authority.written())?;
        writeln!(f, "strict_authority = {}", self.strict_authority.written())?;
        writeln!(f, "ipp_oid = {}", self.ipp_oid.written())?;
        write!(f, "\n[facility.fields]\n{}", self.fields)?;
        write!(f, "\n[facility.cda]\n{}", self.cda)?;
        write!(f, "\n[facility.documents]\n{}", self.documents)?;
        write!(f, "\n[facility.reports]\n{}", self.reports)
    }
}

/// A facility's secret (interface.md 10). Nothing prints it.
#[derive(Clone)]
pub struct ApiKey {
    content: Vec<u8>,
    file: PathBuf,
}

impl ApiKey {
    /// The file's content without its final line end.
    fn read(file: &Path) -> Result<Self, String> {
        let refuse = |what: String| {
            format!(
                "the API key {} {what}: put the key there, or remove `api_key_file`",
                file.display()
            )
        };
        let mut content =
            fs::read(file).map_err(|error| refuse(format!("cannot be read ({error})")))?;
        if content.ends_with(b"\n") {
            content.pop();
            if content.ends_with(b"\r") {
                content.pop();
            }
        }
        if content.is_empty() {
            return Err(refuse("is empty".to_owned()));
        }
        let file = file.to_owned();
        Ok(Self { content, file })
    }

    /// Whether this is the key; takes as long for any text of the same length.
    ///
    /// Comparing hashes, neither the length of the key nor how far a guess agrees shows in the time.
    pub fn matches(&self, sent: &[u8]) -> bool {
        let (own, sent) = (Sha256::digest(&self.content), Sha256::digest(sent));
        own.as_slice().ct_eq(sent.as_slice()).into()
    }

    /// The text with something else in the key's place; nothing where the key is not in it.
    pub fn hide(&self, text: &str) -> Option<String> {
        let key = std::str::from_utf8(&self.content).ok()?;
        text.contains(key).then(|| text.replace(key, Self::HIDDEN))
    }

    /// The bytes with something else in the key's place; nothing where the key is not in them, or too short to be
    /// looked for.
    pub fn hide_in_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.content.len() < Self::SECRET {
            return None;
        }
        let mut without = Vec::new();
        let mut rest = bytes;
        while let Some(at) = memchr::memmem::find(rest, &self.content) {
            without.extend_from_slice(rest.get(..at)?);
            without.extend_from_slice(Self::HIDDEN.as_bytes());
            rest = rest.get(at + self.content.len()..)?;
        }
        if rest.len() == bytes.len() {
            return None;
        }
        without.extend_from_slice(rest);
        Some(without)
    }

    /// Whether the key stands in these bytes, as it is or as `escape` writes it. Too short a key stands in many a
    /// word by chance, and is not looked for.
    pub fn stands_in(&self, bytes: &[u8], escape: impl FnOnce(&[u8]) -> Vec<u8>) -> bool {
        let finds = |key: &[u8]| memchr::memmem::find(bytes, key).is_some();
        self.content.len() >= Self::SECRET
            && (finds(&self.content) || finds(&escape(&self.content)))
    }

    /// What is written where the key stood.
    const HIDDEN: &str = "[API key]";

    /// With fewer bytes it is no secret.
    const SECRET: usize = 6;
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.content)
    }
}

impl Eq for ApiKey {}

/// A position that is a default; component 0 is the whole field.
fn position(segment: &str, field: u32, component: u32) -> Position {
    Position::of_segment(segment)
        .with_field(field)
        .with_component(component)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

fn value<T: Clone>(given: &Option<Spanned<SettingValue<T>>>, default: T) -> T {
    match given {
        Some(given) => given.as_ref().0.clone(),
        None => default,
    }
}

/// The folders of the spool that the program writes into, besides those of the facilities.
const SPOOL_FOLDERS: [&str; 5] = ["desk", "documents", "journal", "store", "status"];
/// The folders of a facility that the program moves files in and out of.
const FACILITY_FOLDERS: [&str; 5] = ["inbox", "outbox", "done", "error", "work"];

/// Says what is wrong if this folder can neither be written to nor made.
fn writable(folder: &Path) -> Result<(), String> {
    let folder = real(folder);
    let nearest = folder
        .ancestors()
        .find(|folder| folder.symlink_metadata().is_ok());
    let nearest = nearest.unwrap_or(Path::new("/"));
    if !nearest.is_dir() {
        return Err(format!("{} is no folder: move it away", nearest.display()));
    }
    rustix::fs::access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let nearest = nearest.display();
        if folder.exists() {
            format!("the folder {nearest} cannot be written to ({error}): give its owner and rights with `rcpspool setup`")
        } else {
            format!("{} cannot be made, {nearest} cannot be written to ({error}): give the right with `rcpspool setup`", folder.display())
        }
    })
}

/// Where a path leads: absolute, and through symbolic links as far as they exist.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    for component in absolute.components() {
        if component == Component::ParentDir {
            real.pop();
        } else {
            real.push(component);
            if let Ok(target) = real.canonicalize() {
                real = target;
            }
        }
    }
    real
}

/// For a comment after a folder: where it is, and whether it is there.
fn state(folder: &Path) -> String {
    let real = real(folder);
    let state = if real.is_dir() {
        "exists"
    } else {
        "will be made"
    };
    // In quotes, since a line end in a path would end the comment.
    format!("{} {state}", quoted(&real.to_string_lossy()))
}

#[cfg(test)]
mod tests;
