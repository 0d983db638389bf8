//! Names as they are compared: the same person is written with and without accents, hyphens and ligatures.

/// A name as it is compared (interface.md 3): upper case, no diacritics, `-`, `'` and runs of space as one space,
/// œ = OE, æ = AE, ß = SS; nothing but the name at either end.
pub fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for letter in name
        .chars()
        .filter(|&letter| !is_combining(letter))
        .flat_map(char::to_uppercase)
    {
        if is_separator(letter) {
            if !folded.is_empty() && !folded.ends_with(' ') {
                folded.push(' ');
            }
        } else if !is_combining(letter) {
            push_base(&mut folded, letter);
        }
    }
    if folded.ends_with(' ') {
        folded.pop();
    }
    folded
}

/// Whether two names are the same once folded (interface.md 3).
pub fn same(one: &str, other: &str) -> bool {
    fold(one) == fold(other)
}

/// Whether a text has these words, folded, one behind the other; what stands between words does not matter.
pub fn contains_words(text: &str, words: &str) -> bool {
    let split = |text: &str| -> Vec<String> {
        let folded = fold(text);
        let words = folded.split(|letter: char| !letter.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let (text, words) = (split(text), split(words));
    words.is_empty() || text.windows(words.len()).any(|part| part == words)
}

/// Whether two names have the same letters once folded, wherever they are parted: `D'ALEMBERT`, `DALEMBERT`.
pub fn same_letters(one: &str, other: &str) -> bool {
    fold(one).replace(' ', "") == fold(other).replace(' ', "")
}

/// All given names of somebody, in their order, with a blank between two; those that follow the first may repeat it, as
/// where a sender gives the whole list behind the one in use.
pub fn given_names(given: impl IntoIterator<Item = String>) -> Option<String> {
    /// Each is compared with those before it; nobody has more.
    const COMPARED: usize = 100;
    let mut all = String::new();
    let mut known: Vec<String> = Vec::new();
    let mut given = given.into_iter().filter(|name| !name.trim().is_empty());
    let first = given.next()?;
    // Most have one, which is compared with nothing.
    let Some(second) = given.next() else {
        return Some(first);
    };
    for name in [first, second].into_iter().chain(given) {
        let next: Vec<String> = match known.len() < COMPARED {
            true => name.split_whitespace().map(fold).collect(),
            false => Vec::new(),
        };
        let is_known = known.windows(next.len().max(1)).any(|words| words == next);
        if is_known {
            continue;
        }
        if next.starts_with(&known) {
            (all, known) = (name, next);
        } else {
            all.push(' ');
            all.push_str(&name);
            known.extend(next);
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The given names of somebody as one source gives them, to be compared with those of another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GivenNames {
    all: Vec<GivenName>,
    /// Where those stand in `all` that somebody is called by: each the first of what the source gives as one text.
    first: Vec<usize>,
}

/// A given name in its parts, folded: one, or those of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GivenName(Vec<NameToken>);

/// A part of a given name; an abbreviation stands for all that begin with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NameToken {
    letters: String,
    is_abbreviation: bool,
}

impl GivenNames {
    /// Adds the names of one text; `leads` where somebody is called by the first of them.
    pub fn add(&mut self, names: &str, leads: bool) {
        let is_between = |letter: char| letter.is_whitespace() || matches!(letter, ',' | ';');
        let names = names.split(is_between).map(GivenName::of);
        let mut names = names.filter(|name| !name.0.is_empty());
        if leads && let Some(first) = names.next() {
            self.first.push(self.all.len());
            self.all.push(first);
        }
        self.all.extend(names);
    }

    /// Whether both may be those of one person: one list has a first name of the other, or one of the two has none.
    pub fn agree_with(&self, other: &Self) -> bool {
        self.all.is_empty()
            || other.all.is_empty()
            || self.has_first_of(other)
            || other.has_first_of(self)
    }

    fn has_first_of(&self, other: &Self) -> bool {
        let mut firsts = other.first.iter().filter_map(|at| other.all.get(*at));
        firsts.any(|first| self.all.iter().any(|own| own.agrees_with(first)))
    }
}

impl GivenName {
    fn of(name: &str) -> Self {
        let folded = fold(name);
        let parts = folded.split_inclusive([' ', '.']).map(|part| {
            let letters = part.trim_matches(|letter: char| !letter.is_alphanumeric());
            NameToken {
                letters: letters.to_owned(),
                is_abbreviation: part.ends_with('.') || letters.chars().nth(1).is_none(),
            }
        });
        Self(parts.filter(|part| !part.letters.is_empty()).collect())
    }

    /// Whether they are the same, or one is what the other begins with.
    fn agrees_with(&self, other: &Self) -> bool {
        let begins = |one: &NameToken, other: &NameToken| {
            one.letters == other.letters
                || one.is_abbreviation && other.letters.starts_with(&one.letters)
        };
        let mut both = self.0.iter().zip(&other.0);
        both.all(|(one, other)| begins(one, other) || begins(other, one))
    }
}

/// What names are sorted by, as French does: by their letters, and only where these are the same by accents and case.
pub fn order(name: &str) -> (String, String) {
    (fold(name), name.to_uppercase())
}

/// A name for the name of a file (interface.md 8): folded to the letters `A` to `Z`, every other character `-`.
pub fn ascii_upper(name: &str) -> String {
    fold(name)
        .chars()
        .map(|letter| {
            if letter.is_ascii_uppercase() {
                letter
            } else {
                '-'
            }
        })
        .collect()
}

/// Spaces, hyphens and apostrophes, with the forms that word processors put in their place.
fn is_separator(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\'' | '’' | '‘' | '\u{2bc}' | '´' | '`'
        )
}

/// The diacritics that follow their letter as characters of their own.
fn is_combining(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}')
}

/// Adds what is left of an upper-case letter of the Latin script without its diacritics.
fn push_base(folded: &mut String, letter: char) {
    let base = match letter {
        'À'..='Å' | 'Ā' | 'Ă' | 'Ą' | 'Ǎ' | 'Ǟ' | 'Ǡ' | 'Ǻ' | 'Ȁ' | 'Ȃ' | 'Ȧ' | 'Ḁ' => {
            'A'
        }
        'Ạ' | 'Ả' | 'Ấ' | 'Ầ' | 'Ẩ' | 'Ẫ' | 'Ậ' | 'Ắ' | 'Ằ' | 'Ẳ' | 'Ẵ' | 'Ặ' => {
            'A'
        }
        'Ḃ' | 'Ḅ' | 'Ḇ' | 'Ƀ' => 'B',
        'Ç' | 'Ć' | 'Ĉ' | 'Ċ' | 'Č' | 'Ḉ' => 'C',
        'Ð' | 'Ď' | 'Đ' | 'Ḋ' | 'Ḍ' | 'Ḏ' | 'Ḑ' | 'Ḓ' => 'D',
        'È'..='Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' | 'Ȅ' | 'Ȇ' | 'Ȩ' | 'Ḕ' | 'Ḗ' | 'Ḙ' | 'Ḛ' | 'Ḝ' => {
            'E'
        }
        'Ẹ' | 'Ẻ' | 'Ẽ' | 'Ế' | 'Ề' | 'Ể' | 'Ễ' | 'Ệ' => 'E',
        'Ḟ' => 'F',
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' | 'Ǥ' | 'Ǧ' | 'Ǵ' | 'Ḡ' => 'G',
        'Ĥ' | 'Ħ' | 'Ȟ' | 'Ḣ' | 'Ḥ' | 'Ḧ' | 'Ḩ' | 'Ḫ' => 'H',
        'Ì'..='Ï' | 'Ĩ' | 'Ī' | 'Ĭ' | 'Į' | 'İ' | 'Ǐ' | 'Ȉ' | 'Ȋ' | 'Ḭ' | 'Ḯ' | 'Ỉ' | 'Ị' => {
            'I'
        }
        'Ĵ' => 'J',
        'Ķ' | 'Ǩ' | 'Ḱ' | 'Ḳ' | 'Ḵ' => 'K',
        'Ĺ' | 'Ļ' | 'Ľ' | 'Ŀ' | 'Ł' | 'Ḷ' | 'Ḹ' | 'Ḻ' | 'Ḽ' => 'L',
        'Ḿ' | 'Ṁ' | 'Ṃ' => 'M',
        'Ñ' | 'Ń' | 'Ņ' | 'Ň' | 'Ǹ' | 'Ṅ' | 'Ṇ' | 'Ṉ' | 'Ṋ' => 'N',
        'Ò'..='Ö' | 'Ø' | 'Ō' | 'Ŏ' | 'Ő' | 'Ơ' | 'Ǒ' | 'Ǫ' | 'Ǭ' | 'Ǿ' | 'Ȍ' | 'Ȏ' => {
            'O'
        }
        'Ȫ' | 'Ȭ' | 'Ȯ' | 'Ȱ' | 'Ṍ' | 'Ṏ' | 'Ṑ' | 'Ṓ' | 'Ọ' | 'Ỏ' | 'Ố' | 'Ồ' | 'Ổ' | 'Ỗ' | 'Ộ' => {
            'O'
        }
        'Ớ' | 'Ờ' | 'Ở' | 'Ỡ' | 'Ợ' => 'O',
        'Ṕ' | 'Ṗ' => 'P',
        'Ŕ' | 'Ŗ' | 'Ř' | 'Ȑ' | 'Ȓ' | 'Ṙ' | 'Ṛ' | 'Ṝ' | 'Ṟ' => 'R',
        'Ś' | 'Ŝ' | 'Ş' | 'Š' | 'Ș' | 'Ṡ' | 'Ṣ' | 'Ṥ' | 'Ṧ' | 'Ṩ' => 'S',
        'Ţ' | 'Ť' | 'Ŧ' | 'Ț' | 'Ṫ' | 'Ṭ' | 'Ṯ' | 'Ṱ' => 'T',
        'Ù'..='Ü' | 'Ũ' | 'Ū' | 'Ŭ' | 'Ů' | 'Ű' | 'Ų' | 'Ư' | 'Ǔ' | 'Ǖ' | 'Ǘ' | 'Ǚ' | 'Ǜ' => {
            'U'
        }
        'Ȕ' | 'Ȗ' | 'Ṳ' | 'Ṵ' | 'Ṷ' | 'Ṹ' | 'Ṻ' | 'Ụ' | 'Ủ' | 'Ứ' | 'Ừ' | 'Ử' | 'Ữ' | 'Ự' => {
            'U'
        }
        'Ṽ' | 'Ṿ' => 'V',
        'Ŵ' | 'Ẁ' | 'Ẃ' | 'Ẅ' | 'Ẇ' | 'Ẉ' => 'W',
        'Ẋ' | 'Ẍ' => 'X',
        'Ý' | 'Ŷ' | 'Ÿ' | 'Ȳ' | 'Ẏ' | 'Ỳ' | 'Ỵ' | 'Ỷ' | 'Ỹ' => 'Y',
        'Ź' | 'Ż' | 'Ž' | 'Ƶ' | 'Ẑ' | 'Ẓ' | 'Ẕ' => 'Z',
        'Œ' => return folded.push_str("OE"),
        'Æ' | 'Ǣ' | 'Ǽ' => return folded.push_str("AE"),
        'ẞ' => return folded.push_str("SS"),
        other => other,
    };
    folded.push(base);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_folded() {
        for (name, folded) in [
            ("Dupont", "DUPONT"),
            ("d’Artagnan", "D ARTAGNAN"),
            ("D'ARTAGNAN", "D ARTAGNAN"),
            ("Jean-Pierre", "JEAN PIERRE"),
            ("  Jean - \u{a0} Pierre\t", "JEAN PIERRE"),
            ("-'-", ""),
            ("", ""),
            ("Éléonore", "ELEONORE"),
            ("E\u{301}le\u{301}onore", "ELEONORE"),
            ("Lecœur", "LECOEUR"),
            ("Lætitia", "LAETITIA"),
            ("Weiß", "WEISS"),
            ("WEIẞ", "WEISS"),
            ("François Nuñez", "FRANCOIS NUNEZ"),
            ("Łukasz Søren Đorđević", "LUKASZ SOREN DORDEVIC"),
            ("Nguyễn", "NGUYEN"),
            ("ǰ\u{345}", "J"),
            ("李", "李"),
        ] {
            assert_eq!(fold(name), folded, "{name}");
        }
    }

    #[test]
    fn words_are_found_in_a_text() {
        for (text, words, is_said) in [
            ("12, rue de l’Évêché", "12 RUE DE L'EVECHE", true),
            ("12 rue de la Paix", "de la paix", true),
            ("112 rue de la Paix", "12", false),
            ("12 rue de la Paix", "12 Paix", false),
            ("12", "12 rue", false),
            ("12", "", true),
        ] {
            assert_eq!(contains_words(text, words), is_said, "{text}, {words}");
        }
    }

    #[test]
    fn all_given_names_are_kept_each_once() {
        for (given, expected) in [
            (&[][..], None),
            (&["Jean"], Some("Jean")),
            (&["Jean", "Paul"], Some("Jean Paul")),
            (&["Jean-Marc", "Paul", "Luc"], Some("Jean-Marc Paul Luc")),
            (&["Jean", "Jean Paul"], Some("Jean Paul")),
            (&["JEAN", "jean"], Some("JEAN")),
            (&["Jean-Marc", "Marc"], Some("Jean-Marc Marc")),
            (&["Jean Paul", "Paul"], Some("Jean Paul")),
            (&["Jean", "Jeanne"], Some("Jean Jeanne")),
        ] {
            let all = given_names(given.iter().map(|&it| it.to_owned()));
            assert_eq!(all.as_deref(), expected, "{given:?}");
        }
        // However many there are, none is lost, and the last ones are not compared with all.
        let many: Vec<String> = (0..20_000).map(|it| format!("N{it}")).collect();
        assert_eq!(given_names(many.clone()), Some(many.join(" ")));
    }

    #[test]
    fn given_names_agree_where_they_may_be_one_persons() {
        let given = |names: &[&str]| {
            let mut given = GivenNames::default();
            for name in names {
                given.add(name, true);
            }
            given
        };
        for (one, other, agree) in [
            (&["Rose"][..], &["ROSE"][..], true),
            (&["Rose"], &["Rosa"], false),
            (&["Rose"], &["Marie"], false),
            (&["Rose Marie"], &["Marie"], true),
            (&["Rose, Marie"], &["Marie"], true),
            (&["Rose Marie"], &["Anne Marie"], false),
            (&["Rose", "Rosie"], &["Rosie"], true),
            (&["Éléonore"], &["Eleonore"], true),
            (&["Jean"], &["Jean-Paul"], true),
            (&["Jean Paul"], &["Jean-Paul"], true),
            (&["Jean-Pierre"], &["Jean-Paul"], false),
            (&["Jean"], &["Jeanne"], false),
            (&["J"], &["Jean-Paul"], true),
            (&["J.-P."], &["Jean-Paul"], true),
            (&["J.P."], &["Jean-Marc"], false),
            (&["Ch."], &["Charles"], true),
            (&["Ch"], &["Charles"], false),
            (&["M"], &["Rose"], false),
            (&[""], &["Rose"], true),
            (&["-."], &["Rose"], true),
            (&[], &["Rose"], true),
        ] {
            assert_eq!(
                given(one).agree_with(&given(other)),
                agree,
                "{one:?} {other:?}"
            );
            assert_eq!(
                given(other).agree_with(&given(one)),
                agree,
                "{other:?} {one:?}"
            );
        }
        // A further name is none that somebody is called by.
        let mut further = given(&["Rose"]);
        further.add("Marie", false);
        assert!(further.agree_with(&given(&["Marie"])));
        assert!(!further.agree_with(&given(&["Anne Marie"])));
    }

    #[test]
    fn names_are_the_same_once_folded() {
        assert!(same("Lefèvre-d’Ormesson", "LEFEVRE D ORMESSON"));
        assert!(!same("Lefèvre", "Lefebvre"));
    }

    #[test]
    fn names_are_sorted_as_french_does() {
        let sorted = [
            "Abbé",
            "ÉTIENNE",
            "Etienne-Martin",
            "Ferré",
            "Le Goff",
            "LEFEVRE",
            "Lefèvre",
            "OEUVRARD",
            "œuvrard",
            "Ouest",
            "Zoë",
            "Zola",
        ];
        for shift in 0..sorted.len() {
            let mut names = sorted.to_vec();
            names.rotate_left(shift);
            names.sort_by_cached_key(|name| order(name));
            assert_eq!(names, sorted);
        }
    }

    #[test]
    fn a_file_name_is_ascii() {
        for (name, ascii) in [
            ("d'Ormesson", "D-ORMESSON"),
            ("Jean - Pierre", "JEAN-PIERRE"),
            ("../../etc", "------ETC"),
            ("Noël 2", "NOEL--"),
            ("李", "-"),
        ] {
            assert_eq!(ascii_upper(name), ascii, "{name}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(name in ".*") {
            let folded = fold(&name);
            prop_assert_eq!(fold(&folded), folded);
        }

        #[test]
        fn a_file_name_holds_letters_and_hyphens_only(name in ".*") {
            prop_assert!(ascii_upper(&name).bytes().all(|byte| byte == b'-' || byte.is_ascii_uppercase()));
        }
    }
}
