//! Countries by their codes (HL7 table 0399, ISO 3166), and as people write them in French addresses.

use super::name;

/// The three letters of the table, the two letters, and the name in French as it is folded (no accents, no hyphens).
#[rustfmt::skip]
const COUNTRIES: &[(&str, &str, &str)] = &[
    ("AFG", "AF", "AFGHANISTAN"), ("ZAF", "ZA", "AFRIQUE DU SUD"), ("ALA", "AX", "ALAND"),
    ("ALB", "AL", "ALBANIE"), ("DZA", "DZ", "ALGERIE"), ("DEU", "DE", "ALLEMAGNE"),
    ("AND", "AD", "ANDORRE"), ("AGO", "AO", "ANGOLA"), ("AIA", "AI", "ANGUILLA"),
    ("ATG", "AG", "ANTIGUA ET BARBUDA"), ("SAU", "SA", "ARABIE SAOUDITE"), ("ARG", "AR", "ARGENTINE"),
    ("ARM", "AM", "ARMENIE"), ("ABW", "AW", "ARUBA"), ("AUS", "AU", "AUSTRALIE"),
    ("AUT", "AT", "AUTRICHE"), ("AZE", "AZ", "AZERBAIDJAN"), ("BHS", "BS", "BAHAMAS"),
    ("BHR", "BH", "BAHREIN"), ("BGD", "BD", "BANGLADESH"), ("BRB", "BB", "BARBADE"),
    ("BEL", "BE", "BELGIQUE"), ("BLZ", "BZ", "BELIZE"), ("BEN", "BJ", "BENIN"),
    ("BMU", "BM", "BERMUDES"), ("BTN", "BT", "BHOUTAN"), ("BLR", "BY", "BIELORUSSIE"),
    ("MMR", "MM", "BIRMANIE"), ("BOL", "BO", "BOLIVIE"), ("BIH", "BA", "BOSNIE HERZEGOVINE"),
    ("BWA", "BW", "BOTSWANA"), ("BRA", "BR", "BRESIL"), ("BRN", "BN", "BRUNEI"),
    ("BGR", "BG", "BULGARIE"), ("BFA", "BF", "BURKINA FASO"), ("BDI", "BI", "BURUNDI"),
    ("KHM", "KH", "CAMBODGE"), ("CMR", "CM", "CAMEROUN"), ("CAN", "CA", "CANADA"),
    ("CPV", "CV", "CAP VERT"), ("CHL", "CL", "CHILI"), ("CHN", "CN", "CHINE"),
    ("CYP", "CY", "CHYPRE"), ("COL", "CO", "COLOMBIE"), ("COM", "KM", "COMORES"),
    ("COG", "CG", "CONGO"), ("COD", "CD", "REPUBLIQUE DEMOCRATIQUE DU CONGO"), ("KOR", "KR", "COREE DU SUD"),
    ("PRK", "KP", "COREE DU NORD"), ("CRI", "CR", "COSTA RICA"), ("CIV", "CI", "COTE D IVOIRE"),
    ("HRV", "HR", "CROATIE"), ("CUB", "CU", "CUBA"), ("CUW", "CW", "CURACAO"),
    ("DNK", "DK", "DANEMARK"), ("DJI", "DJ", "DJIBOUTI"), ("DMA", "DM", "DOMINIQUE"),
    ("EGY", "EG", "EGYPTE"), ("ARE", "AE", "EMIRATS ARABES UNIS"), ("ECU", "EC", "EQUATEUR"),
    ("ERI", "ER", "ERYTHREE"), ("ESP", "ES", "ESPAGNE"), ("EST", "EE", "ESTONIE"),
    ("SWZ", "SZ", "ESWATINI"), ("USA", "US", "ETATS UNIS"), ("ETH", "ET", "ETHIOPIE"),
    ("FJI", "FJ", "FIDJI"), ("FIN", "FI", "FINLANDE"), ("FRA", "FR", "FRANCE"),
    ("GAB", "GA", "GABON"), ("GMB", "GM", "GAMBIE"), ("GEO", "GE", "GEORGIE"),
    ("GHA", "GH", "GHANA"), ("GIB", "GI", "GIBRALTAR"), ("GRC", "GR", "GRECE"),
    ("GRD", "GD", "GRENADE"), ("GRL", "GL", "GROENLAND"), ("GLP", "GP", "GUADELOUPE"),
    ("GTM", "GT", "GUATEMALA"), ("GGY", "GG", "GUERNESEY"), ("GIN", "GN", "GUINEE"),
    ("GNB", "GW", "GUINEE BISSAU"), ("GNQ", "GQ", "GUINEE EQUATORIALE"), ("GUY", "GY", "GUYANA"),
    ("GUF", "GF", "GUYANE"), ("HTI", "HT", "HAITI"), ("HND", "HN", "HONDURAS"),
    ("HKG", "HK", "HONG KONG"), ("HUN", "HU", "HONGRIE"), ("IMN", "IM", "ILE DE MAN"),
    ("CYM", "KY", "ILES CAIMANS"), ("COK", "CK", "ILES COOK"), ("FRO", "FO", "ILES FEROE"),
    ("FLK", "FK", "ILES MALOUINES"), ("MHL", "MH", "ILES MARSHALL"), ("SLB", "SB", "ILES SALOMON"),
    ("TCA", "TC", "ILES TURQUES ET CAIQUES"), ("VGB", "VG", "ILES VIERGES BRITANNIQUES"),
    ("VIR", "VI", "ILES VIERGES DES ETATS UNIS"), ("IND", "IN", "INDE"), ("IDN", "ID", "INDONESIE"),
    ("IRQ", "IQ", "IRAK"), ("IRN", "IR", "IRAN"), ("IRL", "IE", "IRLANDE"),
    ("ISL", "IS", "ISLANDE"), ("ISR", "IL", "ISRAEL"), ("ITA", "IT", "ITALIE"),
    ("JAM", "JM", "JAMAIQUE"), ("JPN", "JP", "JAPON"), ("JEY", "JE", "JERSEY"),
    ("JOR", "JO", "JORDANIE"), ("KAZ", "KZ", "KAZAKHSTAN"), ("KEN", "KE", "KENYA"),
    ("KGZ", "KG", "KIRGHIZISTAN"), ("KIR", "KI", "KIRIBATI"), ("KWT", "KW", "KOWEIT"),
    ("REU", "RE", "LA REUNION"), ("LAO", "LA", "LAOS"), ("LSO", "LS", "LESOTHO"),
    ("LVA", "LV", "LETTONIE"), ("LBN", "LB", "LIBAN"), ("LBR", "LR", "LIBERIA"),
    ("LBY", "LY", "LIBYE"), ("LIE", "LI", "LIECHTENSTEIN"), ("LTU", "LT", "LITUANIE"),
    ("LUX", "LU", "LUXEMBOURG"), ("MAC", "MO", "MACAO"), ("MKD", "MK", "MACEDOINE DU NORD"),
    ("MDG", "MG", "MADAGASCAR"), ("MYS", "MY", "MALAISIE"), ("MWI", "MW", "MALAWI"),
    ("MDV", "MV", "MALDIVES"), ("MLI", "ML", "MALI"), ("MLT", "MT", "MALTE"),
    ("MAR", "MA", "MAROC"), ("MTQ", "MQ", "MARTINIQUE"), ("MUS", "MU", "MAURICE"),
    ("MRT", "MR", "MAURITANIE"), ("MYT", "YT", "MAYOTTE"), ("MEX", "MX", "MEXIQUE"),
    ("FSM", "FM", "MICRONESIE"), ("MDA", "MD", "MOLDAVIE"), ("MCO", "MC", "MONACO"),
    ("MNG", "MN", "MONGOLIE"), ("MNE", "ME", "MONTENEGRO"), ("MSR", "MS", "MONTSERRAT"),
    ("MOZ", "MZ", "MOZAMBIQUE"), ("NAM", "NA", "NAMIBIE"), ("NRU", "NR", "NAURU"),
    ("NPL", "NP", "NEPAL"), ("NIC", "NI", "NICARAGUA"), ("NER", "NE", "NIGER"),
    ("NGA", "NG", "NIGERIA"), ("NIU", "NU", "NIUE"), ("NOR", "NO", "NORVEGE"),
    ("NCL", "NC", "NOUVELLE CALEDONIE"), ("NZL", "NZ", "NOUVELLE ZELANDE"), ("OMN", "OM", "OMAN"),
    ("UGA", "UG", "OUGANDA"), ("UZB", "UZ", "OUZBEKISTAN"), ("PAK", "PK", "PAKISTAN"),
    ("PLW", "PW", "PALAOS"), ("PSE", "PS", "PALESTINE"), ("PAN", "PA", "PANAMA"),
    ("PNG", "PG", "PAPOUASIE NOUVELLE GUINEE"), ("PRY", "PY", "PARAGUAY"), ("NLD", "NL", "PAYS BAS"),
    ("PER", "PE", "PEROU"), ("PHL", "PH", "PHILIPPINES"), ("POL", "PL", "POLOGNE"),
    ("PYF", "PF", "POLYNESIE FRANCAISE"), ("PRI", "PR", "PORTO RICO"), ("PRT", "PT", "PORTUGAL"),
    ("QAT", "QA", "QATAR"), ("CAF", "CF", "REPUBLIQUE CENTRAFRICAINE"),
    ("DOM", "DO", "REPUBLIQUE DOMINICAINE"), ("ROU", "RO", "ROUMANIE"), ("GBR", "GB", "ROYAUME UNI"),
    ("RUS", "RU", "RUSSIE"), ("RWA", "RW", "RWANDA"), ("BLM", "BL", "SAINT BARTHELEMY"),
    ("KNA", "KN", "SAINT CHRISTOPHE ET NIEVES"), ("SMR", "SM", "SAINT MARIN"), ("MAF", "MF", "SAINT MARTIN"),
    ("SPM", "PM", "SAINT PIERRE ET MIQUELON"), ("VCT", "VC", "SAINT VINCENT ET LES GRENADINES"),
    ("LCA", "LC", "SAINTE LUCIE"), ("SLV", "SV", "SALVADOR"), ("WSM", "WS", "SAMOA"),
    ("STP", "ST", "SAO TOME ET PRINCIPE"), ("SEN", "SN", "SENEGAL"), ("SRB", "RS", "SERBIE"),
    ("SYC", "SC", "SEYCHELLES"), ("SLE", "SL", "SIERRA LEONE"), ("SGP", "SG", "SINGAPOUR"),
    ("SVK", "SK", "SLOVAQUIE"), ("SVN", "SI", "SLOVENIE"), ("SOM", "SO", "SOMALIE"),
    ("SDN", "SD", "SOUDAN"), ("SSD", "SS", "SOUDAN DU SUD"), ("LKA", "LK", "SRI LANKA"),
    ("SWE", "SE", "SUEDE"), ("CHE", "CH", "SUISSE"), ("SUR", "SR", "SURINAME"),
    ("SYR", "SY", "SYRIE"), ("TJK", "TJ", "TADJIKISTAN"), ("TWN", "TW", "TAIWAN"),
    ("TZA", "TZ", "TANZANIE"), ("TCD", "TD", "TCHAD"), ("CZE", "CZ", "TCHEQUIE"),
    ("THA", "TH", "THAILANDE"), ("TLS", "TL", "TIMOR ORIENTAL"), ("TGO", "TG", "TOGO"),
    ("TON", "TO", "TONGA"), ("TTO", "TT", "TRINITE ET TOBAGO"), ("TUN", "TN", "TUNISIE"),
    ("TKM", "TM", "TURKMENISTAN"), ("TUR", "TR", "TURQUIE"), ("TUV", "TV", "TUVALU"),
    ("UKR", "UA", "UKRAINE"), ("URY", "UY", "URUGUAY"), ("VUT", "VU", "VANUATU"),
    ("VAT", "VA", "VATICAN"), ("VEN", "VE", "VENEZUELA"), ("VNM", "VN", "VIETNAM"),
    ("WLF", "WF", "WALLIS ET FUTUNA"), ("YEM", "YE", "YEMEN"), ("ZMB", "ZM", "ZAMBIE"),
    ("ZWE", "ZW", "ZIMBABWE"),
];

/// Other names of some of them.
#[rustfmt::skip]
const OTHER_NAMES: &[(&str, &str)] = &[
    ("ANGLETERRE", "GBR"), ("BELGIUM", "BEL"), ("BELARUS", "BLR"), ("CABO VERDE", "CPV"),
    ("CAMBODIA", "KHM"), ("CONGO BRAZZAVILLE", "COG"), ("CONGO KINSHASA", "COD"), ("COREE", "KOR"),
    ("ECOSSE", "GBR"), ("ETATS UNIS D AMERIQUE", "USA"), ("FEDERATION DE RUSSIE", "RUS"),
    ("FRANCE METROPOLITAINE", "FRA"), ("GERMANY", "DEU"), ("GRANDE BRETAGNE", "GBR"),
    ("GUYANE FRANCAISE", "GUF"), ("HOLLANDE", "NLD"), ("ILE MAURICE", "MUS"), ("IRAQ", "IRQ"),
    ("ITALY", "ITA"), ("KYRGYZSTAN", "KGZ"), ("LUXEMBURG", "LUX"), ("MACEDOINE", "MKD"),
    ("MOLDOVA", "MDA"), ("MOROCCO", "MAR"), ("MYANMAR", "MMR"), ("NETHERLANDS", "NLD"),
    ("PORTO RICO", "PRI"), ("PRINCIPAUTE D ANDORRE", "AND"), ("PRINCIPAUTE DE MONACO", "MCO"),
    ("RDC", "COD"), ("REPUBLIQUE FRANCAISE", "FRA"), ("REPUBLIQUE TCHEQUE", "CZE"), ("REUNION", "REU"),
    ("SPAIN", "ESP"), ("SWAZILAND", "SWZ"), ("SWITZERLAND", "CHE"), ("UNITED KINGDOM", "GBR"),
    ("UNITED STATES", "USA"), ("VIET NAM", "VNM"),
];

/// The code of a country that is written as a code of three or two letters, or in words; none where it is not known.
pub fn code(sent: &str) -> Option<&'static str> {
    let folded = name::fold(sent);
    let by_own = COUNTRIES
        .iter()
        .find(|(code, short, name)| [*code, *short, *name].contains(&folded.as_str()))
        .map(|(code, ..)| *code);
    by_own.or_else(|| {
        let by_other = OTHER_NAMES.iter().find(|(name, _)| *name == folded);
        by_other.map(|(_, code)| *code)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_country_is_known_by_codes_and_in_words() {
        for (sent, expected) in [
            ("FRANCE", Some("FRA")),
            ("France ", Some("FRA")),
            ("fr", Some("FRA")),
            ("FRA", Some("FRA")),
            ("Côte d'Ivoire", Some("CIV")),
            ("États-Unis", Some("USA")),
            ("Réunion", Some("REU")),
            ("Pays-Bas", Some("NLD")),
            ("XXX", None),
            ("", None),
        ] {
            assert_eq!(code(sent), expected, "{sent}");
        }
    }

    #[test]
    fn every_name_and_code_is_folded_and_means_one_country() {
        let mut seen = BTreeSet::new();
        for (long, short, name) in COUNTRIES {
            assert_eq!((long.len(), short.len()), (3, 2), "{long}");
            for sent in [*long, *short, *name] {
                assert_eq!(name::fold(sent), sent);
                assert_eq!(code(sent), Some(*long), "{sent}");
                assert!(seen.insert(sent), "{sent}");
            }
        }
        for (name, expected) in OTHER_NAMES {
            assert_eq!(name::fold(name), *name);
            assert_eq!(code(name), Some(*expected), "{name}");
        }
    }
}
