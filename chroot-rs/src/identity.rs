//! `--userspec`, `--group` and `--groups`: the identity of the command. Names are looked up in the new root's passwd and group
//! files, then in the host's; `passwd(5)`, `group(5)`.
//!
//! The surprise: for chroot(8), digits are a name if a user has that name. In the files of an image, they would let the image
//! make a number root (CVE-2016-3697), so there they are always an ID.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use plumbing::confinement::privilege::id::{is_id, require};
use plumbing::{Fault, narrate};

use crate::accounts::Accounts;
use crate::in_root::InRoot;
use crate::own_user::OwnUser;

/// The requested identity; names are not looked up yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IdentityRequest {
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) groups: Option<Vec<String>>,
    /// The meaning of the old form USER.GROUP; used only if no user has the whole name, since a name may have a dot.
    pub(crate) dotted: Option<(String, String)>,
    /// Whether digits are an ID also if the files have such a name.
    pub(crate) digits_are_ids: bool,
}

/// The identity of the command; absent members stay unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) home: Option<OsString>,
    /// Whether it was given in the old form USER.GROUP, which causes a warning.
    pub(crate) is_dotted: bool,
    /// Digits that are the name of another ID, which causes a warning.
    pub(crate) digits: Vec<(String, u32)>,
}

/// The files with names, and whether digits can be one.
#[derive(Clone, Copy)]
struct Names<'a> {
    files: [&'a Accounts; 2],
    digits_are_ids: bool,
}

impl IdentityRequest {
    /// Parses `--userspec`, `--group` and `--groups`.
    pub(crate) fn parse(
        userspec: Option<&str>,
        group: Option<&str>,
        groups: Option<&str>,
    ) -> Result<IdentityRequest, Fault> {
        let (user, its_group) = userspec.map_or(("", None), |spec| match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        });
        let group = match (its_group, group) {
            (Some(_), Some(group)) => return Err(two_groups(user, group)),
            (its_group, group) => its_group.or(group.map(primary).transpose()?),
        };
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        // If a group is given in either way, a dot is part of the user's name.
        let dotted = userspec.filter(|_| group.is_none()).and_then(|spec| spec.split_once('.'));
        Ok(IdentityRequest {
            user: named(user),
            group: group.and_then(named),
            groups: groups.map(group_list).transpose()?,
            dotted: dotted.map(|(user, group)| (user.to_owned(), group.to_owned())),
            digits_are_ids: false,
        })
    }

    /// Reads the host's names of users and groups, if anything must be looked up.
    pub(crate) fn host_accounts(&self) -> Result<Accounts, Fault> {
        if self.is_empty() { Ok(Accounts::default()) } else { Accounts::of_host() }
    }

    /// Looks up the names in the root, then in the host's files, which were read before.
    pub(crate) fn look_up(&self, root: &InRoot, host: &Accounts) -> Result<Identity, Fault> {
        if self.is_empty() {
            return Ok(Identity::default());
        }
        self.resolve(&Accounts::of_root(root)?, host)
    }

    /// Reports whether no identity is requested.
    fn is_empty(&self) -> bool {
        *self == IdentityRequest { digits_are_ids: self.digits_are_ids, ..IdentityRequest::default() }
    }

    /// Looks up the names, in the new root first.
    fn resolve(&self, inside: &Accounts, outside: &Accounts) -> Result<Identity, Fault> {
        let accounts = Names { files: [inside, outside], digits_are_ids: self.digits_are_ids };
        if let Some(request) = self.in_old_form(accounts) {
            return Ok(Identity { is_dotted: true, ..request.resolve(inside, outside)? });
        }
        let uid = match &self.user {
            Some(spec) => Some(uid_of(spec, accounts).ok_or_else(|| invalid("user", spec))?),
            None => None,
        };
        let entry = uid.and_then(|uid| accounts.files.into_iter().find_map(|file| Some((file.user_by_id(uid)?, file))));
        let gid = match (&self.group, uid, &entry) {
            (Some(spec), ..) => Some(gid_of(spec, accounts).ok_or_else(|| invalid("group", spec))?),
            (None, Some(_), Some((user, _))) => Some(user.gid),
            (None, Some(uid), None) => {
                return Err(Fault::new(format!(
                    "there is no user with ID {uid}, so its group must be given: {uid}:GROUP"
                )));
            }
            (None, None, _) => None,
        };
        let groups = match (&self.groups, uid, gid, &entry) {
            (Some(listed), ..) => Some(gids_of(listed, accounts)?),
            // The files of an image do not add groups to what was given as numbers, and like setgroups(2) by login(1), the
            // primary group is a supplementary one, too: a set-group-ID program must not drop it (CVE-2022-36109).
            (None, Some(_), Some(gid), _) if self.is_numeric() => Some(vec![gid]),
            (None, Some(_), Some(gid), Some((user, file))) => Some(file.groups_of(user.name, gid)),
            (None, Some(_), ..) => Some(Vec::new()),
            (None, None, ..) => None,
        };
        // A home directory of the host does not exist inside.
        let home = uid.and_then(|uid| inside.user_by_id(uid)).map(|user| OsStr::from_bytes(user.home).to_owned());
        let user = self.user.as_deref().unwrap_or_default();
        uid.map_or(Ok(()), |uid| require(format_args!("run as user {user:?}"), uid))?;
        gid.iter().chain(groups.iter().flatten()).try_for_each(|gid| require("run as its groups", *gid))?;
        Ok(Identity { uid, gid, groups, home, is_dotted: false, digits: self.named_by_digits(accounts) })
    }

    /// Returns whether user and group are given, the user as a number that cannot be a name.
    fn is_numeric(&self) -> bool {
        self.digits_are_ids && self.group.is_some() && self.user.as_deref().is_some_and(|user| id(user).is_some())
    }

    /// Returns the digits that are names here, and the IDs of these names.
    fn named_by_digits(&self, accounts: Names<'_>) -> Vec<(String, u32)> {
        let user = self.user.iter().map(|spec| (spec, uid_of(spec, accounts)));
        let groups = self.group.iter().chain(self.groups.iter().flatten()).map(|spec| (spec, gid_of(spec, accounts)));
        let others = user.chain(groups).filter_map(|(spec, id)| Some((spec, number(spec)?, id?)));
        let mut others: Vec<_> =
            others.filter(|(_, number, id)| number != id).map(|(spec, _, id)| (spec.clone(), id)).collect();
        others.dedup();
        others
    }

    /// Reads USER.GROUP as USER:GROUP, if no user has the whole name and both parts are known. Where digits are an ID, the
    /// files of an image give no other meaning to one with a group.
    fn in_old_form(&self, accounts: Names<'_>) -> Option<IdentityRequest> {
        let (user, group) = self.dotted.as_ref()?;
        let is_id = self.digits_are_ids && id(user).is_some();
        if !is_id && self.user.as_ref().is_none_or(|whole| uid_of(whole, accounts).is_some()) {
            return None;
        }
        let known = |name: &str, is_known: bool| name.is_empty() || is_known;
        // Without a group it is the user's own, so the user must have an entry.
        let has_group = !group.is_empty() || accounts.files.iter().any(|file| file.user_by_name(user).is_some());
        let are_known =
            known(user, uid_of(user, accounts).is_some()) && known(group, gid_of(group, accounts).is_some());
        let named = |name: &String| (!name.is_empty()).then(|| name.clone());
        (has_group && are_known).then(|| IdentityRequest {
            user: named(user),
            group: named(group),
            groups: self.groups.clone(),
            dotted: None,
            digits_are_ids: self.digits_are_ids,
        })
    }
}

impl Identity {
    /// Adds the home directory of the present user, if the command keeps running as that: the one that the root's passwd
    /// has.
    pub(crate) fn or_own(self, own: Option<&OwnUser>, root: &InRoot) -> Result<Identity, Fault> {
        match own {
            Some(own) if self.uid.is_none() => {
                let accounts = Accounts::of_root(root)?;
                let home = accounts.user_by_id(own.uid).map_or(&b"/"[..], |user| user.home);
                Ok(Identity { home: Some(OsStr::from_bytes(home).to_owned()), ..self })
            }
            _ => Ok(self),
        }
    }

    /// Prints, after the root has changed, the same warning as GNU's chroot, and one about digits that are a name.
    pub(crate) fn warn(&self) {
        if self.is_dotted {
            narrate::warn("in --userspec a . should be a :");
        }
        for (digits, id) in &self.digits {
            narrate::warn(format_args!("{digits} is a name here, of ID {id}; for the ID {digits} write +{digits}"));
        }
    }
}

fn two_groups(user: &str, group: &str) -> Fault {
    Fault::usage(format!(
        "--userspec names a group, and so does --group: give one of them, as in --userspec {user}:{group} or \
         --userspec {user} --group {group}"
    ))
}

/// Checks the value of `--group`. chroot(8) accepts `--group` as an abbreviation of `--groups`: a list gets an explanation.
fn primary(group: &str) -> Result<&str, Fault> {
    if group.is_empty() || group.contains(',') {
        return Err(Fault::usage(format!(
            "invalid value {group:?} for --group: expected the name or number of the primary group; use --groups for the \
             supplementary groups"
        )));
    }
    Ok(group)
}

/// Splits a list of groups. Extra commas are ignored, as in chroot(8); an empty list clears the groups.
fn group_list(text: &str) -> Result<Vec<String>, Fault> {
    let names: Vec<_> = text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() && !text.is_empty() {
        return Err(Fault::usage(format!("invalid value {text:?} for --groups: expected names or numbers, as in a,b")));
    }
    Ok(names)
}

fn invalid(what: &str, spec: &str) -> Fault {
    Fault::new(format!("there is no {what} {spec:?}, neither in the new root nor on the host"))
}

fn gids_of(names: &[String], accounts: Names<'_>) -> Result<Vec<u32>, Fault> {
    // A blank before a number of the list is ignored; before a name it is part of the name.
    let of_digits = |name: &str| id(name.trim_start());
    let gid = |name: &str| match of_digits(name) {
        Some(gid) if accounts.digits_are_ids => Some(gid),
        gid => gid_of(name, accounts).or(gid),
    };
    names.iter().map(|name| gid(name).ok_or_else(|| invalid("group", name))).collect()
}

fn uid_of(spec: &str, accounts: Names<'_>) -> Option<u32> {
    accounts.resolve(spec, |file| file.user_by_name(spec).map(|user| user.uid))
}

fn gid_of(spec: &str, accounts: Names<'_>) -> Option<u32> {
    accounts.resolve(spec, |file| file.group_by_name(spec))
}

impl Names<'_> {
    /// Resolves a name or number; a leading `+` means a number, whatever names exist.
    fn resolve(self, spec: &str, by_name: impl Fn(&Accounts) -> Option<u32>) -> Option<u32> {
        let by_name = || self.files.into_iter().find_map(by_name);
        match spec.strip_prefix('+') {
            Some(digits) => number(digits),
            None if self.digits_are_ids && is_digits(spec.trim()) => number(spec),
            None => by_name().or_else(|| number(spec)),
        }
    }
}

/// Reads a number, with or without a `+`.
fn id(text: &str) -> Option<u32> {
    number(text.strip_prefix('+').unwrap_or(text))
}

fn number(digits: &str) -> Option<u32> {
    // The highest number means "unchanged" to the kernel.
    digits.parse().ok().filter(|id| is_digits(digits) && is_id(*id))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:900:901:Web:/srv:/bin/sh\n7:x:70:71::/:\n".into(),
            group: "root:x:0:\nweb:x:901:\nlog:x:30:mail,web\nwww:x:33:web,\n".into(),
        }
    }

    fn outside() -> Accounts {
        Accounts { passwd: "web:x:1:1:::\nhost:x:5:6::/h:/bin/sh\n".into(), group: "hostly:x:60:host\n".into() }
    }

    fn resolve(userspec: Option<&str>, groups: Option<&str>) -> Result<Identity, Fault> {
        IdentityRequest::parse(userspec, None, groups)?.resolve(&inside(), &outside())
    }

    fn ids(userspec: Option<&str>, groups: Option<&str>) -> (Option<u32>, Option<u32>, Option<Vec<u32>>) {
        let identity = resolve(userspec, groups).unwrap();
        (identity.uid, identity.gid, identity.groups)
    }

    #[test]
    fn a_user_gets_its_groups_and_the_new_root_has_precedence() {
        assert_eq!(ids(Some("web"), None), (Some(900), Some(901), Some(vec![901, 30, 33])));
        assert_eq!(ids(Some("web:"), None), ids(Some("web"), None));
        assert_eq!(ids(Some("host"), None), (Some(5), Some(6), Some(vec![6, 60])));
        assert_eq!(resolve(Some("web"), None).unwrap().home.as_deref(), Some(OsStr::new("/srv")));
        assert_eq!(resolve(Some("host"), None).unwrap().home, None);
    }

    #[test]
    fn a_name_of_the_number_that_changes_nothing_is_refused() {
        let accounts = Accounts {
            passwd: "user:x:4294967295:5::/:\ngroup:x:5:4294967295::/:\nlisted:x:5:6::/:\n".into(),
            group: "high:x:4294967295:listed\n".into(),
        };
        for spec in ["user", "group", "listed", ":high", "user:6"] {
            let resolved = IdentityRequest::parse(Some(spec), None, None).unwrap().resolve(&accounts, &outside());
            assert!(resolved.unwrap_err().to_string().contains("4294967295 is not an ID"), "{spec}");
        }
        assert!(IdentityRequest::parse(None, None, Some("high")).unwrap().resolve(&accounts, &outside()).is_err());
    }

    #[test]
    fn a_group_alone_changes_only_the_group() {
        assert_eq!(ids(Some(":web"), None), (None, Some(901), None));
        assert_eq!(ids(Some("web:0"), Some("")), (Some(900), Some(0), Some(vec![])));
        assert_eq!(ids(None, Some("log,,+5")), (None, None, Some(vec![30, 5])));
    }

    #[test]
    fn in_an_image_digits_are_an_id_and_get_no_other_group() {
        let accounts = Accounts {
            passwd: "12345:x:0:0::/:\n12345.6:x:0:0::/:\n+9.6:x:0:0::/:\nweb:x:900:901::/:\nown:x:77:78::/:\n".into(),
            group: "12345:x:0:\n 777:x:0:\n +778:x:0:\nroot:x:0:web,own\n".into(),
        };
        for (userspec, groups, expected) in [
            ("12345:12345", None, (12345, 12345, vec![12345])),
            ("900:12345", None, (900, 12345, vec![12345])),
            ("5:6", Some("12345,7"), (5, 6, vec![12345, 7])),
            ("77", None, (77, 78, vec![78, 0])),
            ("web:5", None, (900, 5, vec![5, 0])),
            ("12345.6", None, (12345, 6, vec![6])),
            ("+9.6", None, (9, 6, vec![6])),
            ("5:6", Some("100, 777, +778"), (5, 6, vec![100, 777, 778])),
        ] {
            let request = IdentityRequest::parse(Some(userspec), None, groups).unwrap();
            let resolved = IdentityRequest { digits_are_ids: true, ..request }.resolve(&accounts, &outside()).unwrap();
            assert_eq!(
                (resolved.uid, resolved.gid, resolved.groups),
                (Some(expected.0), Some(expected.1), Some(expected.2))
            );
            assert!(resolved.digits.is_empty());
        }
        let odd =
            IdentityRequest { digits_are_ids: true, ..IdentityRequest::parse(Some("5: 777"), None, None).unwrap() };
        assert!(odd.resolve(&accounts, &outside()).is_err());
    }

    #[test]
    fn the_option_group_sets_the_group_of_the_userspec() {
        let request = |userspec, group, groups| IdentityRequest::parse(userspec, Some(group), groups);
        for (userspec, group, groups, same) in [
            (Some("web"), "log", None, "web:log"),
            (Some("web"), "+30", Some("5"), "web:+30"),
            (None, "log", None, ":log"),
            (Some(""), "log", None, ":log"),
            (Some("4000"), "5", None, "4000:5"),
        ] {
            assert_eq!(
                request(userspec, group, groups).unwrap(),
                IdentityRequest::parse(Some(same), None, groups).unwrap()
            );
        }
        for (userspec, group) in [(Some("web:log"), "web"), (Some("web:"), "web"), (None, ""), (None, "30,33")] {
            assert!(request(userspec, group, None).is_err(), "{userspec:?} {group:?}");
        }
        // Not the old form: the group is given.
        assert!(request(Some("web.log"), "web", None).unwrap().resolve(&inside(), &outside()).is_err());
    }

    #[test]
    fn the_old_form_with_a_dot_is_accepted_if_no_user_has_that_name() {
        assert_eq!(ids(Some("web.log"), None), (Some(900), Some(30), ids(Some("web:log"), None).2));
        assert!(resolve(Some("web.log"), None).unwrap().is_dotted);
        assert!(!resolve(Some("web:log"), None).unwrap().is_dotted);
        assert_eq!(ids(Some("web."), None), ids(Some("web"), None));
        assert_eq!(ids(Some(".log"), None).1, Some(30));
        let mut dotted = inside();
        dotted.passwd.extend(b"web.log:x:44:45::/:\n");
        let request = IdentityRequest::parse(Some("web.log"), None, None).unwrap();
        assert_eq!(request.resolve(&dotted, &outside()).unwrap().uid, Some(44));
        for wrong in ["web.nobody-here", "nobody-here.log", "900.", "."] {
            assert!(resolve(Some(wrong), None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_plus_sign_marks_a_number() {
        assert_eq!(ids(Some("7"), None).0, Some(70));
        assert_eq!(resolve(Some("7"), None).unwrap().digits, [("7".to_owned(), 70)]);
        assert_eq!(ids(Some("+7:8"), None), (Some(7), Some(8), Some(vec![])));
        assert_eq!(ids(Some("4000:5"), None), (Some(4000), Some(5), Some(vec![])));
        for wrong in ["4000", "nobody-here", "0trail:0", "-1:0", "+:0", "4294967295:0"] {
            assert!(resolve(Some(wrong), None).is_err(), "{wrong}");
        }
        for wrong in [",", " ", "0trail"] {
            assert!(resolve(None, Some(wrong)).is_err(), "{wrong:?}");
        }
    }
}
