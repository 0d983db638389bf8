//! What a configuration may hold, and what is said of each mistake.

use proptest::prelude::*;

use super::{error::quoted_names, *};

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text, Path::new("rcpspool.toml"))
}

/// Compares what would run, wherever it was written.
fn assert_same(one: Config, other: Config) {
    let nowhere = |config| Config {
        origin: Origin::default(),
        ..config
    };
    assert_eq!(nowhere(one), nowhere(other));
}

#[test]
fn the_example_shows_the_defaults() {
    assert_same(read(EXAMPLE).unwrap(), Config::demo(Path::new("spool")));
    assert_same(
        read("[[facility]]").unwrap(),
        Config::demo(Path::new("spool")),
    );
}

#[test]
fn the_commented_lines_of_the_example_can_be_used() {
    let key = tempfile::NamedTempFile::new().unwrap();
    fs::write(key.path(), "secret").unwrap();
    let used = EXAMPLE
        .replace("# dir =", "dir =")
        .replace("# address =", "address =")
        .replace("# finess =", "finess =")
        .replace(
            "# api_key_file = \"/etc/rcpspool/demo.key\"",
            &format!("api_key_file = {:?}", key.path()),
        )
        .replace("# ipp_", "ipp_")
        .replace("# [facility", "[facility")
        .replace("# network =", "network =")
        .replace("# format =", "format =");
    let config = read(&used).unwrap();
    let facility = &config.facilities[0];
    assert_eq!(facility.dir, Path::new("/srv/sftp/demo"));
    assert!(facility.api_key.as_ref().unwrap().matches(b"secret"));
    assert_eq!(facility.finess.as_deref(), Some("350000741"));
    assert!(facility.address.as_deref().unwrap().contains("Rennes"));
    assert_eq!(facility.ipp_authority.as_deref(), Some("CHU-X"));
    assert_eq!(facility.ipp_oid.as_deref(), Some("1.2.250.1.999.1"));
    assert_eq!(facility.fields.network.to_string(), "PV1-3.1");
    assert_eq!(facility.reports.format, Format::OruR01);
}

#[test]
fn every_key_stands_in_the_example() {
    let tables = [
        "",
        "[intake]",
        "[fields]",
        "[cda]",
        "[documents]",
        "[reports]",
        "[retention]",
        "[status]",
        "[[facility]]",
    ];
    let mut seen = 0;
    for table in tables {
        let error =
            toml::from_str::<GivenConfig>(&format!("{table}\nno_such_key = 1")).unwrap_err();
        let body = match table {
            "" => EXAMPLE,
            table => EXAMPLE.split_once(&format!("\n{table}\n")).unwrap().1,
        };
        let body = match table {
            "" | "[[facility]]" => body,
            _ => body.split("\n[").next().unwrap(),
        };
        for key in quoted_names(error.message()).skip(1) {
            let shown = body.lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} = "))
                    || [
                        format!("[{key}]"),
                        format!("[[{key}]]"),
                        format!("[facility.{key}]"),
                    ]
                    .iter()
                    .any(|header| line == header)
            });
            // Said in words: any key of these may be repeated for a facility.
            let said = table == "[[facility]]" && ["cda", "documents"].contains(&key);
            assert!(shown || said, "{key} of {table:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 9 + 9 + 4 + 4 + 3 + 9 + 3 + 1 + 17);
}

#[test]
fn a_facility_overrides_the_common_tables() {
    let config = read(
        r#"
        [fields]
        network = "PV1-3.1"
        physician = "PV1-8"
        [reports]
        every = "off"
        [[facility]]
        id = "one"
        [facility.fields]
        network = "ZFU-1"
        [facility.cda]
        case_id = ["setId"]
        [facility.documents]
        case_hint = []
        [facility.reports]
        every = "12h"
        version = "2.7"
        [[facility]]
        id = "two"
        "#,
    )
    .unwrap();
    let [one, two] = &config.facilities[..] else {
        panic!("two facilities")
    };
    assert_eq!(one.fields.network.to_string(), "ZFU-1");
    assert_eq!(one.fields.physician.to_string(), "PV1-8");
    assert_eq!(one.cda.case_id, [CdaCaseId::SetId]);
    assert_eq!(one.documents.case_hint, []);
    assert_eq!(one.reports.every, Every::Every(Duration::from_secs(43_200)));
    assert_eq!(one.reports.version, Hl7Version::V2_7);
    assert_eq!(one.dir, Path::new("spool/facilities/one"));
    assert_eq!(two.fields.network.to_string(), "PV1-3.1");
    assert_eq!(two.reports.every, Every::OnRequest);
    assert_eq!(two.cda, Cda::default());
}

#[test]
fn kinds_of_documents_have_the_names_of_the_listings() {
    use super::setting::Choice;
    for (name, kind) in ContentType::CHOICES {
        assert_eq!(*name, kind.word());
    }
}

#[test]
fn times_and_sizes_have_units() {
    let config = |line: &str| read(&format!("[intake]\n{line}\n[[facility]]"));
    for (written, milliseconds) in [
        ("500ms", 500),
        ("2s", 2_000),
        ("0s", 0),
        ("5m", 300_000),
        ("12h", 43_200_000),
        ("90d", 7_776_000_000),
    ] {
        let config = config(&format!("settle = \"{written}\"")).unwrap();
        assert_eq!(config.intake.settle, Duration::from_millis(milliseconds));
    }
    for (written, bytes) in [
        ("0B", 0),
        ("1B", 1),
        ("3kB", 3_000),
        ("3KiB", 3_072),
        ("3MB", 3_000_000),
        ("64MiB", 67_108_864),
        ("1GB", 1_000_000_000),
        ("2GiB", 2_147_483_648),
    ] {
        let config = config(&format!("min_free = \"{written}\"")).unwrap();
        assert_eq!(config.intake.min_free, bytes, "{written}");
    }
}

#[test]
fn a_mistake_is_told_with_its_line_and_its_fix() {
    for (text, line, parts) in [
        // Keys.
        ("spol = \"x\"", Some(1), &["`spol`", "write `spool`"][..]),
        (
            "[intake]\n\nsettel = \"2s\"",
            Some(3),
            &["`settel`", "write `settle`"],
        ),
        (
            "[status]\ncolour = true",
            Some(2),
            &["`colour`", "one of names"],
        ),
        (
            "[[facility]]\nid = \"a\"\nregoin = \"FR\"",
            Some(3),
            &["write `region`"],
        ),
        (
            "[[facility]]\n[facility.reports]\nevry = \"5m\"",
            Some(3),
            &["write `every`"],
        ),
        (
            "[retension]\ndone = \"1d\"",
            Some(1),
            &["write `retention`"],
        ),
        // Units.
        (
            "[intake]\nsettle = \"2 sec\"",
            Some(2),
            &["\"2 sec\"", "ms, s, m, h or d"],
        ),
        ("[intake]\nsettle = 2", Some(2), &["integer `2`", "\"2s\""]),
        ("[intake]\nsettle = \"2\"", Some(2), &["\"2s\""]),
        ("[intake]\nsettle = \"-2s\"", Some(2), &["\"2s\""]),
        ("[intake]\nsettle = \"1.5s\"", Some(2), &["a whole number"]),
        ("[intake]\nsettle = \"s\"", Some(2), &["a whole number"]),
        (
            "[intake]\nsettle = \"99999999999999999d\"",
            Some(2),
            &["a whole number"],
        ),
        ("[intake]\nrescan = \"0s\"", Some(2), &["\"10s\""]),
        (
            "[intake]\nmax_file = \"64 megs\"",
            Some(2),
            &["\"64 megs\"", "\"64MiB\""],
        ),
        ("[intake]\nmax_file = 64", Some(2), &["\"64MiB\""]),
        ("[intake]\nmax_file = \"0B\"", Some(2), &["\"64MiB\""]),
        ("[intake]\ngroup = 0", Some(2), &["a number from 1"]),
        ("[intake]\ngroup = \"256\"", Some(2), &["without quotes"]),
        (
            "[retention]\ndone = \"90days\"",
            Some(2),
            &["\"90days\"", "h or d"],
        ),
        (
            "[reports]\nevery = \"never\"",
            Some(2),
            &["\"never\"", "\"off\""],
        ),
        ("[reports]\nevery = \"0s\"", Some(2), &["\"off\""]),
        // Values out of a few.
        (
            "[intake]\nacks = \"all\"",
            Some(2),
            &["\"all\"", "\"each\" or \"group\" or \"off\""],
        ),
        (
            "[reports]\nformat = \"ORU\"",
            Some(2),
            &["\"MDM_T02\" or \"ORU_R01\""],
        ),
        ("[reports]\nversion = 2.5", Some(2), &["\"2.5\" or \"2.7\""]),
        (
            "[cda]\ncase_id = [\n\"order\",\n\"set\"]",
            Some(4),
            &["\"order\" or \"setId\""],
        ),
        ("[cda]\ncase_id = []", Some(2), &["at least one"]),
        (
            "[documents]\ntypes = [\"doc\"]",
            Some(2),
            &["\"doc\"", "\"pdf\" or \"cda\""],
        ),
        ("[status]\nnames = \"no\"", Some(2), &["true or false"]),
        (
            "[intake]\nversions = \"2.5\"",
            Some(2),
            &["a list", "brackets"],
        ),
        (
            "[intake]\nversions = []",
            Some(2),
            &["at least one version"],
        ),
        // Positions.
        (
            "[fields]\nnetwork = \"PV1.3\"",
            Some(2),
            &["\"PV1.3\"", "\"PV1-3.9\""],
        ),
        ("[fields]\nsession_date = []", Some(2), &["\"SCH-11.4\""]),
        (
            "[[facility]]\n[facility.fields]\nsession_date = []",
            Some(3),
            &["\"SCH-11.4\""],
        ),
        (
            "[documents]\ncase_id = [\"TXA-0\"]",
            Some(2),
            &["\"TXA-0\"", "a position"],
        ),
        // Facilities.
        ("", None, &["[[facility]]"]),
        ("[facility]\nid = \"a\"", Some(1), &["[[facility]]"]),
        (
            "[[facility]]\nid = \"CHU Nord\"",
            Some(2),
            &["\"CHU Nord\"", "a-z, 0-9 and -"],
        ),
        ("[[facility]]\nid = \"..\"", Some(2), &["names a folder"]),
        ("[[facility]]\nid = \"\"", Some(2), &["1 to 40"]),
        (
            "[[facility]]\nregion = \"France\"",
            Some(2),
            &["\"France\"", "\"FR\""],
        ),
        ("[[facility]]\nregion = \"fr\"", Some(2), &["capital"]),
        (
            "[[facility]]\ntimezone = \"Paris\"",
            Some(2),
            &["\"Paris\"", "\"Europe/Paris\""],
        ),
        (
            "[[facility]]\nid = \"a\"\n[[facility]]\nid = \"a\"",
            Some(4),
            &["`a`", "id of its own"],
        ),
        (
            "[[facility]]\n[[facility]]",
            Some(2),
            &["`demo`", "id of its own"],
        ),
        (
            "[[facility]]\napi_key_file = \"/no/such\"",
            Some(2),
            &["/no/such", "put the key there"],
        ),
        ("[[facility]]\napi_key_file = \"\"", Some(2), &["a path"]),
        // The lead physician fits neither into a component nor where the message has something else.
        (
            "[reports]\nlead = \"TXA-12\"\n[[facility]]",
            Some(2),
            &["\"TXA-12\"", "\"TXA-10\" or \"TXA-5\""],
        ),
        (
            "[[facility]]\n[facility.reports]\nlead = \"PV1-7\"",
            Some(3),
            &["\"PV1-7\"", "\"PV1-17\""],
        ),
        (
            "[reports]\nlead = \"TXA-10.1\"\n[[facility]]",
            Some(2),
            &["\"TXA-10.1\""],
        ),
        (
            "[reports]\nlayout = \"/no/such\"\n[[facility]]",
            Some(2),
            &["/no/such", "built-in"],
        ),
        ("spool = \"\"", Some(1), &["a path"]),
        // TOML itself.
        ("spool = spool", Some(1), &[]),
        (
            "[intake]\nsettle = \"2s\"\nsettle = \"3s\"",
            Some(3),
            &["duplicate"],
        ),
    ] {
        let full = if text.contains("facility") || text.is_empty() {
            text.to_owned()
        } else {
            format!("{text}\n[[facility]]\n")
        };
        let error = read(&full).expect_err(text);
        let said = error.to_string();
        assert_eq!(error.line, line, "{text}: {said}");
        let place = line.map(|line| format!(":{line}")).unwrap_or_default();
        assert!(
            said.starts_with(&format!("rcpspool.toml{place}: ")),
            "{said}"
        );
        for part in parts {
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}

#[test]
fn folders_of_facilities_lie_apart() {
    let two = |one: &str, two: &str| {
        read(&format!(
            "spool = \"/v/spool\"\n[[facility]]\nid = \"a\"\n{one}\n[[facility]]\nid = \"b\"\n{two}"
        ))
    };
    for (one, other, line, part) in [
        ("dir = \"/v/x\"", "dir = \"/v/x\"", 7, "folder of its own"),
        ("dir = \"/v/x\"", "dir = \"/v/x/\"", 7, "folder of its own"),
        (
            "dir = \"/v/x\"",
            "dir = \"/v/y/../x\"",
            7,
            "folder of its own",
        ),
        ("dir = \"/v/x\"", "dir = \"/v/x/y\"", 7, "nested"),
        ("dir = \"/v/x/y\"", "dir = \"/v/x\"", 7, "nested"),
        ("", "dir = \"/v/spool/facilities/a/inbox\"", 7, "nested"),
        ("dir = \"/v/spool/facilities/b\"", "", 6, "nested"),
        ("dir = \"/v/spool\"", "", 4, "spool's own"),
        ("dir = \"/v\"", "", 4, "spool's own"),
        ("dir = \"/v/spool/facilities\"", "", 4, "spool's own"),
        ("dir = \"/v/spool/journal/a\"", "", 4, "put it elsewhere"),
    ] {
        let error = two(one, other).expect_err(other);
        assert_eq!(error.line, Some(line), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(two("dir = \"/v/x\"", "dir = \"/v/xy\"").is_ok());
}

#[test]
fn a_link_to_the_folder_of_another_facility_is_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
    let text = |id: &str| {
        format!(
            "[[facility]]\nid = \"{id}\"\ndir = {:?}\n",
            dir.path().join(id)
        )
    };
    let error = read(&(text("a") + &text("b"))).unwrap_err();
    assert_eq!(error.line, Some(6));
}

#[test]
fn folders_must_be_writable_or_makeable_and_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("not/yet");
    Config::demo(&spool).check_folders().unwrap();
    assert!(!dir.path().join("not").exists());

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = read(&format!("\nspool = {:?}\n[[facility]]", file.join("spool")))
        .unwrap()
        .check_folders()
        .unwrap_err();
    assert_eq!(error.line, Some(2));
    assert!(
        error
            .to_string()
            .contains("no folder: move it away, or change `spool`"),
        "{error}"
    );

    let error = read(&format!(
        "spool = {spool:?}\n[[facility]]\nid = \"a\"\ndir = {file:?}"
    ))
    .unwrap()
    .check_folders()
    .unwrap_err();
    assert_eq!(error.line, Some(4));
    assert!(
        error.to_string().contains("change `dir` of facility `a`"),
        "{error}"
    );
}

#[test]
fn a_folder_without_the_right_to_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if rustix::fs::access(dir.path(), Access::WRITE_OK).is_ok() {
        println!("skipped: root may write everywhere");
        return;
    }
    let error = Config::demo(dir.path()).check_folders().unwrap_err();
    assert!(
        error.to_string().contains("cannot be written to"),
        "{error}"
    );
}

#[test]
fn an_api_key_is_read_without_its_line_end_and_never_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("[[facility]]\napi_key_file = {:?}", file.path());
    for (content, key) in [
        ("s3cret-key", "s3cret-key"),
        ("s3cret-key\n", "s3cret-key"),
        ("s3cret-key\r\n", "s3cret-key"),
        ("s3cret-key\n\n", "s3cret-key\n"),
        (" s3cret-key ", " s3cret-key "),
    ] {
        fs::write(file.path(), content).unwrap();
        let config = read(&text).unwrap();
        let read = config.facilities[0].api_key.as_ref().unwrap();
        assert!(read.matches(key.as_bytes()));
        for wrong in ["", "s3cret", "s3cret-kez", "s3cret-key2"] {
            assert!(!read.matches(wrong.as_bytes()));
        }
        assert!(!format!("{config:?}{}", config.describe()).contains("s3cret"));
    }
    for empty in ["", "\n", "\r\n"] {
        fs::write(file.path(), empty).unwrap();
        let error = read(&text).unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.to_string().contains("is empty"), "{error}");
    }
}

#[test]
fn what_is_described_would_run_the_same() {
    let config = read(
        r#"
        spool = "/v/spo\"ol"
        [intake]
        settle = "1500ms"
        max_file = "1000001B"
        acks = "group"
        [cda]
        network_root = "1.2.3"
        [[facility]]
        id = "one"
        name = "A \"B\" \n C"
        ipp_oid = "1.2.3"
        dir = "/v/one\ntwo"
        [facility.reports]
        every = "off"
        [[facility]]
        id = "two"
        timezone = "Indian/Reunion"
        region = "RE"
        "#,
    )
    .unwrap();
    assert_same(read(&config.describe()).unwrap(), config);
}

#[test]
fn the_first_file_that_exists_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    assert_eq!(Config::load_first(&[&one, &two]).unwrap(), None);
    fs::write(&two, "[[facility]]\nid = \"two\"").unwrap();
    let config = Config::load_first(&[&one, &two]).unwrap().unwrap();
    assert_eq!(config.facilities[0].id.as_str(), "two");
    fs::write(&one, "[[facility]]\nid = \"one\"").unwrap();
    let config = Config::load_first(&[&one, &two]).unwrap().unwrap();
    assert_eq!(config.facilities[0].id.as_str(), "one");

    let missing = dir.path().join("none");
    let error = Config::load(Some(&missing)).unwrap_err();
    assert!(error.to_string().contains("no such file"), "{error}");
    fs::write(&missing, b"name = \"\xe9\"").unwrap();
    let error = Config::load(Some(&missing)).unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
    assert_eq!(error.file, missing);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*", key in "[a-z_]{1,8}", value in ".{0,8}") {
        let _ = read(&text);
        let _ = read(&format!("[intake]\n{key} = {value}"));
        let _ = read(&format!("[intake]\nsettle = '{value}'\n[[facility]]"));
        let _ = read(&format!("[fields]\nnetwork = '{value}'\n[[facility]]"));
    }
}

#[test]
fn an_authority_can_only_be_asked_for_where_it_is_known() {
    let text = |keys: &str| format!("[[facility]]\nid = \"a\"\n{keys}\n");
    let error = read(&text("strict_authority = true")).unwrap_err();
    assert_eq!(error.line, Some(3));
    assert!(error.to_string().contains("ipp_authority"), "{error}");
    for keys in [
        "strict_authority = true\nipp_authority = \"CHU\"",
        "strict_authority = false",
    ] {
        assert!(read(&text(keys)).is_ok(), "{keys}");
    }
}

#[test]
fn an_establishment_has_a_number_of_the_register() {
    let read = |finess: &str| {
        read(&format!(
            "[[facility]]\nid = \"a\"\nfiness = \"{finess}\"\n"
        ))
    };
    for finess in ["350000741", "2A0000014", "2B0000020"] {
        assert_eq!(
            read(finess).unwrap().facilities[0].finess.as_deref(),
            Some(finess)
        );
    }
    for finess in ["35000074", "3500007411", "2C0000014", "35000074é"] {
        let error = read(finess).unwrap_err();
        assert_eq!(error.line, Some(3), "{finess}");
        assert!(error.to_string().contains("9 characters"), "{error}");
    }
}
