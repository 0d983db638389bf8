use std::process::{Command, Stdio};

use super::*;

fn physician(rpps: &str, family: &str, given: &str) -> Option<PhysicianLine> {
    Some(PhysicianLine {
        rpps: rpps.into(),
        family: family.into(),
        given: given.into(),
    })
}

fn row(label: &str, value: &str, qualifier: &str, depth: u8) -> StatementRow {
    StatementRow {
        label: label.into(),
        value: value.into(),
        qualifier: Some(qualifier.into()).filter(|text: &String| !text.is_empty()),
        depth,
    }
}

fn lines(text: &str) -> Vec<NarrativePart> {
    text.lines()
        .map(|line| NarrativePart::Line(line.to_owned()))
        .collect()
}

fn desk(people: Vec<SessionParticipant>) -> Participants {
    Participants {
        people,
        source: InformationSource::Desk,
    }
}

/// A case with everything.
fn full() -> Frcp {
    Frcp {
        title: TITLE.into(),
        session: SessionBlock {
            label: "3C – Dermatologie – Oncologie cutanée".into(),
            date: NaiveDate::from_ymd_opt(2025, 4, 1).unwrap(),
            start: Some("14:30".into()),
            places: vec!["Salle Curie, CHU de Rennes (Centre)".into()],
        },
        patient: PatientBlock {
            birth_name: "LEFÈVRE-D’ARC".into(),
            usual_name: "CŒUR".into(),
            given_name: "Noëlle".into(),
            birth_given_name: Some("Noëlle Françoise".into()),
            sex: "F".into(),
            birth_date: "1950-11-04".into(),
            ipp: "5100001073".into(),
            ins: Some(("250117511111167".into(), "1.2.250.1.213.1.4.8".into())),
            ins_status: Some("VALI".into()),
        },
        facility: FacilityBlock {
            name: "Hôpital Démo".into(),
            address: "1 rue de l’Exemple, 35000 Rennes".into(),
            finess: Some("350000741".into()),
            network: Some("DERMATO".into()),
        },
        case_id: "59384".into(),
        submitter: physician("10003425302", "MANSION", "Frédéric"),
        lead: physician("10100094977", "FERRY", "Jules"),
        participants: desk(vec![
            SessionParticipant {
                rpps: Some("10102078838".into()),
                family: "NGUYỄN".into(),
                given: "Thị Hà".into(),
                role: "Oncologue médical".into(),
            },
            SessionParticipant {
                rpps: None,
                family: "DUPONT".into(),
                given: "Zoé".into(),
                role: "Infirmière coordinatrice".into(),
            },
        ]),
        people: vec![SessionParticipant {
            rpps: None,
            family: "ROUX Léa, CHU de Démo".into(),
            given: String::new(),
            role: "Correspondant : Médecin généraliste".into(),
        }],
        mismatch: Some(MismatchBlock {
            birth_name: Some("LEFEVRE".into()),
            given_name: None,
            birth_date: Some("1950-11-14".into()),
            sex: Some("M".into()),
            source: Some("CDA".into()),
        }),
        quorum: vec![
            Quorum {
                text: "Atteint".into(),
                source: InformationSource::Desk,
            },
            Quorum {
                text: "Quorum non atteint".into(),
                source: InformationSource::Questionnaire,
            },
        ],
        sections: vec![
            SectionBlock {
                title: "Motif de la présentation".into(),
                code: Some("42349-1".into()),
                narrative: lines(
                    "Patiente de 74 ans adressée pour un mélanome du dos découvert en mars 2025 \
                     à l’occasion d’une consultation de dépistage.\nIndice de Breslow : 2,4 mm ; \
                     pas d’ulcération. Question posée : reprise chirurgicale et ganglion sentinelle ?",
                ),
                ..SectionBlock::default()
            },
            SectionBlock {
                title: "Diagnostic".into(),
                rows: vec![
                    row("Tumeur primitive", "", "", 0),
                    row("Localisation", "Peau du tronc", "Réalisé", 1),
                    row("Latéralité", "Droite", "Réalisé", 1),
                    row(
                        "Type histologique",
                        "Mélanome superficiel extensif (M8743/3)",
                        "Réalisé",
                        0,
                    ),
                    row("Indice de Breslow", "2,4 mm", "Réalisé", 1),
                    row("Ulcération", "", "", 1),
                    row("Classification TNM", "pT3a cN0 cM0", "Réalisé", 0),
                    row("β-hCG", "≤ 5 µmol/l → normal", "Réalisé", 0),
                ],
                sections: vec![SectionBlock {
                    title: "Antécédents".into(),
                    rows: vec![
                        row(
                            "Hypertension artérielle",
                            "traitée depuis 2011",
                            "Réalisé",
                            0,
                        ),
                        row("Allergie", "aucune connue", "", 0),
                    ],
                    ..SectionBlock::default()
                }],
                ..SectionBlock::default()
            },
            SectionBlock {
                title: String::new(),
                code: Some("18776-5".into()),
                rows: vec![
                    row("Reprise chirurgicale", "Marges de 2 cm", "Proposé", 0),
                    row("Ganglion sentinelle", "Creux axillaire droit", "Proposé", 0),
                    row(
                        "Traitement adjuvant",
                        "À discuter selon le résultat du ganglion sentinelle ; pembrolizumab \
                         200 mg toutes les trois semaines pendant un an en cas d’atteinte \
                         ganglionnaire, après information de la patiente",
                        "Prévu",
                        0,
                    ),
                ],
                ..SectionBlock::default()
            },
        ],
        items: vec![
            ("Quorum".into(), "Atteint".into()),
            ("Essai clinique".into(), "Non proposé".into()),
        ],
        validator: None,
        authenticator: None,
        documents: vec![[
            "Scanner thoracique.pdf".into(),
            "02/04/2025 10:15".into(),
            "PDF".into(),
        ]],
        decision: "Reprise chirurgicale avec marges de 2 cm et recherche du ganglion sentinelle \
                   axillaire droit.\nBilan d’extension par TEP-TDM avant l’intervention.\n\
                   Nouvelle présentation avec les résultats anatomopathologiques."
            .into(),
        report: Some(ReportBlock {
            document_id: "67da8696f56896e0720d8bcf".into(),
            version: 2,
            completed: DateTime::parse_from_rfc3339("2025-04-01T15:05:02+02:00").unwrap(),
            validated: None,
            replaces: None,
        }),
    }
}

/// A case of which nearly nothing is known.
fn bare() -> Frcp {
    Frcp {
        title: TITLE.into(),
        session: SessionBlock {
            label: String::new(),
            date: NaiveDate::from_ymd_opt(2025, 4, 2).unwrap(),
            start: None,
            places: Vec::new(),
        },
        patient: PatientBlock::default(),
        facility: FacilityBlock::default(),
        case_id: String::new(),
        submitter: None,
        lead: None,
        participants: Participants::default(),
        people: Vec::new(),
        mismatch: None,
        quorum: Vec::new(),
        sections: Vec::new(),
        items: Vec::new(),
        validator: None,
        authenticator: None,
        documents: Vec::new(),
        decision: String::new(),
        report: Some(ReportBlock {
            document_id: String::new(),
            version: 1,
            completed: DateTime::parse_from_rfc3339("2025-04-02T00:00:00Z").unwrap(),
            validated: None,
            replaces: None,
        }),
    }
}

/// What a tool prints about a PDF; `None`, said on standard output, where it is not installed.
fn ask(tool: &str, arguments: &[&str], pdf: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frcp.pdf");
    std::fs::write(&path, pdf).unwrap();
    let answer = Command::new(tool)
        .args(arguments)
        .arg(&path)
        .args((tool == "pdftotext").then_some("-"))
        .stdin(Stdio::null())
        .output();
    let Ok(answer) = answer else {
        println!("{tool} is not installed: this part of the test is left out");
        return None;
    };
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "{tool}: {said}{complaint}");
    Some(said)
}

/// The PDF, checked as far as the installed tools allow, and its text without line breaks.
fn checked(frcp: &Frcp) -> (Vec<u8>, Option<String>) {
    let pdf = render(frcp).unwrap();
    assert!(pdf.starts_with(b"%PDF-1.7"));
    ask("qpdf", &["--check"], &pdf);
    let text = ask("pdftotext", &["-layout", "-enc", "UTF-8"], &pdf);
    let text = text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    (pdf, text)
}

fn contains(pdf: &[u8], needle: &str) -> bool {
    pdf.windows(needle.len())
        .any(|part| part == needle.as_bytes())
}

#[test]
fn everything_is_shown() {
    let (pdf, text) = checked(&full());
    for mark in [
        "<pdfaid:part>2",
        "<pdfaid:conformance>B",
        "/Lang(fr)",
        "/StructTreeRoot",
    ] {
        let spaced = mark.replace('(', " (");
        assert!(contains(&pdf, mark) || contains(&pdf, &spaced), "{mark}");
    }
    let Some(text) = text else { return };
    for shown in [
        TITLE,
        "Hôpital Démo",
        "3C – Dermatologie – Oncologie cutanée",
        "Réunion du mardi 1er avril 2025 à 14:30",
        "LEFÈVRE-D’ARC",
        "CŒUR",
        "04/11/1950",
        "Féminin",
        "5100001073",
        "250117511111167 (NIR)",
        "59384",
        "MANSION Frédéric 10003425302",
        "FERRY Jules 10100094977",
        "Correspondant : Médecin généraliste ROUX Léa, CHU de Démo —",
        "Identité à vérifier",
        "Compte rendu validé le",
        "01/04/2025 à 15:05",
        "Signature",
        "NGUYỄN Thị Hà 10102078838",
        "DUPONT Zoé —",
        "Nombre de participants : 2 (Oncologue médical, Infirmière coordinatrice)",
        "Quorum : Atteint (saisi en réunion)",
        "Quorum : Quorum non atteint (selon le questionnaire)",
        "Indice de Breslow 2,4 mm Réalisé",
        "Ulcération — —",
        "≤ 5 µmol/l → normal",
        "18776-5",
        "Marges de 2 cm Proposé",
        "Décision de la réunion",
        "Bilan d’extension par TEP-TDM avant l’intervention.",
        "Document 67da8696f56896e0720d8bcf Page 1/2",
        "Version 2 · validé le 01/04/2025 à 15:05:02",
        "Tumeur primitive Localisation Peau du tronc Réalisé",
    ] {
        assert!(text.contains(shown), "`{shown}` is missing in: {text}");
    }
}

#[test]
fn before_the_session_has_met_there_is_no_decision() {
    let form = Frcp {
        report: None,
        validator: None,
        authenticator: None,
        documents: Vec::new(),
        decision: String::new(),
        ..full()
    };
    let Some(text) = checked(&form).1 else { return };
    assert!(
        text.contains("Indice de Breslow") && text.contains("Page 1/"),
        "{text}"
    );
    assert!(text.contains("n’est pas un compte rendu"), "{text}");
    assert!(
        !text.contains("Décision") && !text.contains("Version"),
        "{text}"
    );
}

#[test]
fn nothing_known_is_still_a_decent_page() {
    let (pdf, text) = checked(&bare());
    if let Some(text) = text {
        for shown in ["Aucun questionnaire", "Aucune décision", "Page 1/1"] {
            assert!(text.contains(shown), "{text}");
        }
    }
    assert!(pdf.len() < 100_000);
}

#[test]
fn the_same_report_is_the_same_bytes() {
    assert_eq!(render(&full()).unwrap(), render(&full()).unwrap());
    let mut other = full();
    other.decision.push('.');
    assert_ne!(render(&full()).unwrap(), render(&other).unwrap());
}

#[test]
fn long_tables_go_over_the_pages_and_lose_nothing() {
    let mut frcp = bare();
    frcp.patient.usual_name = "SUITE".into();
    let long = "lésion hépatique ".repeat(300);
    let mut rows: Vec<_> = (0..300)
        .map(|number| {
            row(
                &format!("Mesure{number:03}"),
                "12 mm",
                "Réalisé",
                (number % 12) as u8,
            )
        })
        .collect();
    rows.push(row("Compte rendu", &format!("{long}fin-du-texte"), "", 200));
    rows.push(row(&"étiquette ".repeat(500), "dernière", "", 0));
    frcp.sections = vec![SectionBlock {
        title: "Mesures".into(),
        rows,
        narrative: vec![NarrativePart::Line("x".repeat(5_000))],
        ..SectionBlock::default()
    }];
    frcp.decision = "Surveillance.\n".repeat(200);
    let (_, text) = checked(&frcp);
    let Some(text) = text else { return };
    for number in 0..300 {
        assert!(text.contains(&format!("Mesure{number:03}")), "{number}");
    }
    assert_eq!(text.matches("lésion").count(), 300);
    assert_eq!(text.matches("étiquette").count(), 500);
    assert_eq!(text.matches("Surveillance.").count(), 200);
    assert!(text.contains("fin-du-texte") && text.contains("dernière"));
    let longest = text.chars().filter(|letter| *letter == 'x').count();
    assert!(longest >= 5_000, "{longest}");
    // The head of the table and the patient stand on every page.
    let pages = text.matches("Page ").count();
    assert!(pages > 10, "{pages}");
    assert!(text.matches("Élément Valeur Statut").count() > 8);
    assert_eq!(text.matches("SUITE · ").count(), pages - 1);
}

#[test]
fn any_text_passes_the_checks_of_pdf_a() {
    let mut frcp = bare();
    // Every character of the blocks that the font covers, in every kind of place.
    let all: String = (0..0x3000).filter_map(char::from_u32).collect();
    let some: String = all.chars().step_by(29).collect();
    frcp.decision = all;
    frcp.title = some.clone();
    frcp.session.label = some.clone();
    frcp.patient.birth_name = some.clone();
    frcp.report.as_mut().unwrap().document_id = some.clone();
    frcp.case_id = some.clone();
    frcp.sections = vec![SectionBlock {
        title: some.clone(),
        rows: vec![row(&some, &some, &some, 1)],
        ..SectionBlock::default()
    }];
    checked(&frcp);
}

#[test]
fn the_title_cannot_spoil_the_metadata() {
    for title in ["", "a<b&c>\u{0}\u{FFFE}\"'"] {
        let mut frcp = bare();
        frcp.title = title.into();
        let (pdf, _) = checked(&frcp);
        let metadata = String::from_utf8_lossy(&pdf);
        let from = metadata.find("<x:xmpmeta").unwrap();
        let to = metadata.find("</x:xmpmeta>").unwrap();
        let metadata = &metadata[from..to + "</x:xmpmeta>".len()];
        let read = roxmltree::Document::parse(metadata).unwrap();
        assert!(
            read.descendants()
                .any(|node| node.text() == Some("a<b&c>\"'"))
                != title.is_empty()
        );
    }
}

#[test]
fn deep_sections_end() {
    let mut deepest = SectionBlock::default();
    for depth in 0..200 {
        deepest = SectionBlock {
            title: format!("Section {depth}"),
            sections: vec![deepest],
            ..SectionBlock::default()
        };
    }
    let mut frcp = bare();
    frcp.sections = vec![deepest];
    checked(&frcp);
}

#[test]
fn an_adapted_layout_is_followed() {
    let layout = Layout::read(
        "text_size = 12\nmargin = 30\nparts = ['decision', 'identity', 'physicians']\n\
         [captions]\ndecision = 'Avis rendu'\nrpps = 'Un titre de colonne beaucoup trop long'\n",
    )
    .unwrap();
    let pdf = render_with(&full(), &layout).unwrap().pdf;
    ask("qpdf", &["--check"], &pdf);
    if let Some(text) = ask("pdftotext", &["-enc", "UTF-8"], &pdf) {
        let decision = text.find("Avis rendu").unwrap();
        assert!(decision < text.find("5100001073").unwrap());
        assert!(!text.contains("Questionnaire") && text.contains("10003425302"));
    }
}

#[test]
fn a_logo_and_a_place_stand_in_the_header() {
    let example = "fixtures/layout/report.toml";
    let config = format!("[reports]\nlayout = {example:?}\n[[facility]]");
    let config = crate::config::Config::from_text(&config, "test.toml".as_ref()).unwrap();
    let layout = &config.facilities[0].reports.layout;
    let pdf = render_with(&full(), layout).unwrap().pdf;
    assert_eq!(pdf, render_with(&full(), layout).unwrap().pdf);
    assert!(contains(&pdf, "/Alt(Logo)") || contains(&pdf, "/Alt (Logo)"));
    ask("qpdf", &["--check"], &pdf);
    if let Some(text) = ask("pdftotext", &["-layout", "-enc", "UTF-8"], &pdf) {
        let when = "Réunion du mardi 1er avril 2025 à 14:30, Salle Laennec";
        assert!(text.contains(when), "{text}");
    }
}

#[test]
fn a_quorum_is_never_claimed() {
    let mut frcp = full();
    frcp.quorum.clear();
    frcp.sections.clear();
    let role = |role: &str| SessionParticipant {
        role: role.into(),
        ..SessionParticipant::default()
    };
    frcp.participants = desk(
        ["Chirurgien", "Oncologue", "Chirurgien", ""]
            .map(role)
            .into(),
    );
    frcp.items.clear();
    let Some(text) = checked(&frcp).1 else { return };
    for shown in [
        "Nombre de participants : 4 (Chirurgien × 2, Oncologue)",
        "Quorum : non renseigné",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.to_lowercase().contains("atteint"), "{text}");
}

#[test]
fn nothing_leaves_the_margins() {
    let word = "anticonstitutionnellement".repeat(40);
    let mut frcp = full();
    frcp.session.label = word.clone();
    frcp.facility.name = word.clone();
    frcp.patient.usual_name = word.clone();
    frcp.case_id = "2CE71A5B-FD99-4958-ADE4-CA39E86625ED".repeat(3);
    let people = (1..=60)
        .map(|number| SessionParticipant {
            rpps: Some("10102078838".into()),
            family: "W".repeat(number * 3),
            given: "Anne-Élisabeth".into(),
            role: word.chars().take(number * 4).collect(),
        })
        .collect();
    frcp.participants = desk(people);
    frcp.sections = vec![SectionBlock {
        title: word.clone(),
        rows: vec![
            row(&word, &word, &word, 12),
            row("Texte", &"mot ".repeat(1250), "Prévu", 0),
        ],
        narrative: vec![
            NarrativePart::Line(word.to_string()),
            NarrativePart::Line("Texte libre. ".repeat(385)),
        ],
        ..SectionBlock::default()
    }];
    frcp.items = vec![(word.clone(), word.clone())];
    frcp.decision = word;
    let config = "[reports]\nlayout = 'fixtures/layout/report.toml'\n[[facility]]";
    let config = crate::config::Config::from_text(config, "test.toml".as_ref()).unwrap();
    for layout in [&Layout::default(), &config.facilities[0].reports.layout] {
        let pdf = render_with(&frcp, layout).unwrap().pdf;
        let Some(boxes) = ask("pdftotext", &["-bbox", "-enc", "UTF-8"], &pdf) else {
            return;
        };
        let margin = layout.margin * 72.0 / 25.4;
        let mut words = 0;
        for line in boxes
            .lines()
            .filter(|line| line.trim().starts_with("<word "))
        {
            let side = |name: &str| -> f32 {
                let (_, value) = line.split_once(&format!("{name}=\"")).unwrap();
                value.split_once('"').unwrap().0.parse().unwrap()
            };
            assert!(side("xMin") >= margin - 0.5, "{line}");
            assert!(side("xMax") <= 595.28 - margin + 0.5, "{line}");
            assert!(
                side("yMin") >= 28.0 && side("yMax") <= 842.0 - 14.0,
                "{line}"
            );
            words += 1;
        }
        assert!(words > 2_000, "{words}");
    }
}

#[test]
fn dates_are_french() {
    for (date, french) in [
        ("1973-04-16", "16/04/1973"),
        ("1973-04", "04/1973"),
        ("1973", "1973"),
        ("—", "—"),
        ("vers 1973", "vers 1973"),
        ("", ""),
    ] {
        assert_eq!(french_date(date), french);
    }
    let date = NaiveDate::from_ymd_opt(2024, 8, 31).unwrap();
    assert_eq!(long_date(date), "samedi 31 août 2024");
}

#[test]
fn no_heading_and_no_head_of_a_table_stands_alone_at_the_foot_of_a_page() {
    let long = "Compte rendu de l’intervention : lobectomie et curage. ".repeat(6);
    for above in 14..44 {
        let mut frcp = full();
        frcp.sections = vec![
            SectionBlock {
                title: "Avant".into(),
                rows: vec![row("Ligne", "valeur", "", 0); above],
                ..SectionBlock::default()
            },
            SectionBlock {
                title: "Titre suivant".into(),
                rows: vec![row("Opération", &long, "", 0)],
                narrative: vec![NarrativePart::Table {
                    head: vec!["Examen lu".into(), "Résultat lu".into()],
                    rows: vec![vec!["Scanner".into(), long.clone()]],
                }],
                ..SectionBlock::default()
            },
        ];
        let pdf = render(&frcp).unwrap();
        let Some(text) = ask("pdftotext", &["-layout", "-enc", "UTF-8"], &pdf) else {
            return;
        };
        for (heading, first) in [("Titre suivant", "Opération"), ("Examen lu", "Scanner")] {
            let page = text.split('\u{c}').find(|page| page.contains(heading));
            let page = page.unwrap();
            let below = &page[page.find(heading).unwrap()..];
            assert!(below.contains(first), "{above} rows above: {page}");
        }
    }
}

#[test]
fn pictures_and_tables_of_the_form_are_shown() {
    let logo = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/layout/logo.png");
    let image = crate::picture::read(std::fs::read(logo).unwrap(), 2_000, u64::MAX).unwrap();
    let wide = |count: usize| NarrativePart::Table {
        head: (0..count).map(|at| format!("Colonne {at}")).collect(),
        rows: vec![(0..count).map(|at| format!("case {at}")).collect()],
    };
    let mut frcp = full();
    frcp.sections = vec![SectionBlock {
        title: "Imagerie".into(),
        narrative: vec![wide(3), wide(12)],
        figures: vec![Figure {
            caption: "Image 1 : scanner".into(),
            image,
        }],
        ..SectionBlock::default()
    }];
    let pdf = render(&frcp).unwrap();
    assert!(contains(&pdf, "/Subtype/Image") || contains(&pdf, "/Subtype /Image"));
    ask("qpdf", &["--check"], &pdf);
    let Some(text) = ask("pdftotext", &["-layout", "-enc", "UTF-8"], &pdf) else {
        return;
    };
    for said in [
        "Image 1 : scanner",
        "Colonne 2",
        "case 2",
        "case 10 | case 11",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn no_number_of_a_table_is_broken() {
    let numbers = ["250000", "1234567", "12/03/2026", "150.000.000"];
    let mut row: Vec<String> = numbers.map(str::to_owned).to_vec();
    row.extend(["a", "b", "c"].map(str::to_owned));
    row.push("un long commentaire qui veut toute la largeur de la page ".repeat(3));
    let mut frcp = full();
    frcp.sections = vec![SectionBlock {
        title: "Biologie".into(),
        narrative: vec![NarrativePart::Table {
            head: (0..row.len()).map(|at| format!("C{at}")).collect(),
            rows: vec![row],
        }],
        ..SectionBlock::default()
    }];
    let (_, text) = checked(&frcp);
    if let Some(text) = text {
        for number in numbers {
            assert!(text.contains(number), "{number}: {text}");
        }
    }
}

#[test]
fn a_version_that_nobody_validated_says_so() {
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap();
    let validator = SessionParticipant {
        rpps: None,
        family: "VALID".into(),
        given: "Eve".into(),
        role: String::new(),
    };
    for (validated, shown, hidden) in [
        (
            None,
            [
                "Compte rendu validé le 16/04/2025 à 11:00",
                "Version 2 · validé le 16/04/2025 à 11:00:05",
            ],
            "mise à jour",
        ),
        (
            Some(at("2025-04-15T18:00:00+02:00")),
            [
                "Mis à jour le 16/04/2025 à 11:00 ; validé le 15/04/2025 à 18:00 avant cette mise à jour",
                "Version 2 · mis à jour le 16/04/2025 à 11:00:05 ; validé le 15/04/2025 à 18:00:00 avant cette mise à jour",
            ],
            "validé le 16/04/2025",
        ),
    ] {
        let report = ReportBlock {
            document_id: "d".into(),
            version: 2,
            completed: at("2025-04-16T11:00:05+02:00"),
            validated,
            replaces: None,
        };
        for (number, said) in shown.into_iter().enumerate() {
            let captions = Captions::default();
            let text = match number {
                0 => {
                    let (caption, when) = validated_pair(&report, &captions);
                    format!("{caption} {when}")
                }
                _ => format!(
                    "Version 2 · {}",
                    validation(&report, &captions.updated, &captions, "%H:%M:%S")
                ),
            };
            assert_eq!(text, said);
        }
        let frcp = Frcp {
            report: Some(report),
            validator: Some(validator.clone()),
            ..bare()
        };
        let pdf = render(&frcp).unwrap();
        if let Some(text) = ask("pdftotext", &[], &pdf) {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains("VALID Eve"), "{text}");
            assert!(text.contains(shown[1]), "{text}");
            assert!(!text.contains(hidden), "{text}");
        }
    }
}
