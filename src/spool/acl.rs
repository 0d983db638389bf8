//! The default ACL of a folder, as the kernel keeps it in an extended attribute (acl(5)): what is made in the folder
//! gets its entries.

/// The attribute.
pub const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;
const ALL: u16 = 7;
/// The id of an entry that names nobody.
const NOBODY: u32 = u32::MAX;

/// The attribute with all rights for this user besides; `attribute` is what there is, empty where there is none.
pub fn with_user(attribute: &[u8], user: u32) -> Vec<u8> {
    let mut entries: Vec<(u16, u32, u16)> = attribute
        .get(4..)
        .unwrap_or_default()
        .chunks_exact(8)
        .filter_map(|entry| match entry {
            [t0, t1, p0, p1, id @ ..] => Some((
                u16::from_le_bytes([*t0, *t1]),
                u32::from_le_bytes(id.try_into().ok()?),
                u16::from_le_bytes([*p0, *p1]),
            )),
            _ => None,
        })
        .filter(|(tag, id, _)| *tag != MASK && (*tag, *id) != (USER, user))
        .collect();
    if entries.is_empty() {
        entries = vec![
            (OWNER, NOBODY, ALL),
            (OWNING_GROUP, NOBODY, ALL),
            (OTHERS, NOBODY, 0),
        ];
    }
    entries.push((USER, user, ALL));
    let limited = entries
        .iter()
        .filter(|(tag, ..)| [USER, OWNING_GROUP, GROUP].contains(tag));
    let mask = limited.fold(0, |mask, (.., rights)| mask | rights);
    entries.push((MASK, NOBODY, mask));
    // The kernel wants this order.
    entries.sort_unstable();
    let mut attribute = VERSION.to_le_bytes().to_vec();
    for (tag, id, rights) in entries {
        attribute.extend(tag.to_le_bytes());
        attribute.extend(rights.to_le_bytes());
        attribute.extend(id.to_le_bytes());
    }
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_added_once_and_others_stay() {
        let one = with_user(&[], 100);
        assert_eq!(one.len(), 4 + 5 * 8);
        assert_eq!(with_user(&one, 100), one);
        let two = with_user(&one, 99);
        assert_eq!(two.len(), 4 + 6 * 8);
        assert_eq!(with_user(&two, 100), two);
    }

    #[test]
    fn the_kernel_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let fs = crate::spool::fs::Fs::new();
        let dir = fs.open_root(folder.path()).unwrap();
        assert!(fs.default_acl(&dir).unwrap().is_empty());
        let attribute = with_user(&[], 45_001);
        match fs.set_default_acl(&dir, &attribute) {
            Ok(()) => assert_eq!(fs.default_acl(&dir).unwrap(), attribute),
            Err(error) => println!("left out: no ACLs here: {error}"),
        }
    }
}
