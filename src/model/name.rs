//! Names as they are compared: the same person is written with and without accents, hyphens and ligatures.

/// A name as it is compared (SPEC 3): upper case, no diacritics, `-`, `'` and runs of space as one space,
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

/// Whether two names are the same once folded (SPEC 3).
pub fn same(one: &str, other: &str) -> bool {
    fold(one) == fold(other)
}

/// A name for the name of a file (SPEC 8): folded to the letters `A` to `Z`, every other character `-`.
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
    fn names_are_the_same_once_folded() {
        assert!(same("Lefèvre-d’Ormesson", "LEFEVRE D ORMESSON"));
        assert!(!same("Lefèvre", "Lefebvre"));
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
