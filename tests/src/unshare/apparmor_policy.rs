//! An AppArmor profile in the form that the kernel loads: it allows everything, but user namespaces only on request.
//! apparmor_parser(8) of Debian 12 is older than the rule `userns,` and cannot compile such a profile.
//!
//! The format is tagged values, little-endian, which contain state machines in flex's table form, big-endian: see
//! security/apparmor/policy_unpack.c and match.c of the kernel. A class of rules that has no state is not mediated.

use std::fs;

/// The class of rules about namespaces, and the permission to make a user namespace.
const NAMESPACES: usize = 21;
const CREATE_USER_NAMESPACE: u32 = 1 << 3;
/// All permissions for a file, for its owner and for others; an executed program inherits the profile.
const EVERYTHING: u32 = 0x27f | 0x27f << 14;

/// Detached files get a path, too; `attach_disconnected` in apparmor.d(5).
const CONNECT_PATH: u32 = 4;

/// The properties of a profile, which otherwise allows everything.
#[derive(Default)]
pub struct Profile {
    pub may_make_user_namespaces: bool,
    /// The flag `attach_disconnected`.
    pub attaches_disconnected: bool,
    /// The flag `complain`: what the profile forbids is logged and allowed.
    pub complains: bool,
}

const FOLDER: &str = "/sys/kernel/security/apparmor";

impl Profile {
    /// Loads the profile under this name; the kernel also applies it to the processes that have a profile of this name.
    pub fn load(&self, name: &str) {
        fs::write(format!("{FOLDER}/.replace"), compiled(name, self)).expect("load the profile");
    }
}

/// Removes the profile; the processes that had it are unconfined.
pub fn remove(name: &str) {
    fs::write(format!("{FOLDER}/.remove"), name).expect("remove the profile");
}

fn compiled(name: &str, profile: &Profile) -> Vec<u8> {
    let mut policy = Policy::default();
    policy.name("version").number(9);
    policy.structure("profile").string(name);
    policy.structure("flags").number(0).number(profile.complains.into()).number(0).end();
    if profile.attaches_disconnected {
        policy.name("path_flags").number(CONNECT_PATH);
    }
    for all_audit_quiet_extended in [u32::MAX, 0, 0, 0] {
        policy.number(all_audit_quiet_extended);
    }
    policy.structure("caps64").number(u32::MAX).number(0).number(0).number(0).end();
    // State 0 matches nothing. From the start state 1, the class of namespaces leads to 2, every other class to 0.
    let (mut next, mut check) = ([0; 256], [0; 256]);
    (next[NAMESPACES], check[NAMESPACES]) = (2, 1);
    let permission = if profile.may_make_user_namespaces { CREATE_USER_NAMESPACE } else { 0 };
    policy.structure("policydb").machine(&[0, 0, permission], &next, &check).end();
    // Files: every input leads back to the start state.
    policy.machine(&[0, EVERYTHING], &[1; 256], &[1; 256]);
    policy.end();
    policy.bytes
}

#[derive(Default)]
struct Policy {
    bytes: Vec<u8>,
}

impl Policy {
    fn text(&mut self, tag: u8, text: &str) -> &mut Self {
        self.bytes.push(tag);
        self.bytes.extend(u16::try_from(text.len() + 1).expect("a short text").to_le_bytes());
        self.bytes.extend(text.bytes().chain([0]));
        self
    }

    fn name(&mut self, name: &str) -> &mut Self {
        self.text(4, name)
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.text(5, text)
    }

    fn number(&mut self, number: u32) -> &mut Self {
        self.bytes.push(2);
        self.bytes.extend(number.to_le_bytes());
        self
    }

    fn structure(&mut self, name: &str) -> &mut Self {
        self.name(name).bytes.push(7);
        self
    }

    fn end(&mut self) -> &mut Self {
        self.bytes.push(8);
        self
    }

    /// Appends a state machine, aligned to eight bytes from the beginning of the policy.
    fn machine(&mut self, accept: &[u32], next: &[u32], check: &[u32]) -> &mut Self {
        let machine = machine(accept, next, check);
        self.name("aadfa").bytes.push(6);
        let gap = (self.bytes.len() + 4).next_multiple_of(8) - (self.bytes.len() + 4);
        self.bytes.extend(u32::try_from(gap + machine.len()).expect("a small machine").to_le_bytes());
        self.bytes.extend(std::iter::repeat_n(0, gap).chain(machine));
        self
    }
}

fn machine(accept: &[u32], next: &[u32], check: &[u32]) -> Vec<u8> {
    let none = vec![0; accept.len()];
    // accept, accept2, base, default, next, check; each with the width of a value that the kernel expects.
    let tables: Vec<u8> = [(1, 4, accept), (7, 4, &none), (2, 4, &none), (4, 2, &none), (8, 2, next), (3, 2, check)]
        .into_iter()
        .flat_map(|(id, width, values)| table(id, width, values))
        .collect();
    let (header, length) = (16_u32, u32::try_from(tables.len()).expect("small tables"));
    let mut machine: Vec<u8> =
        [0x1b5e_783d, header, header + length, 0].into_iter().flat_map(u32::to_be_bytes).collect();
    machine.extend(tables);
    machine
}

/// Returns a table, padded to eight bytes.
fn table(id: u16, width: u16, values: &[u32]) -> Vec<u8> {
    let mut table: Vec<u8> = [id, width].into_iter().flat_map(u16::to_be_bytes).collect();
    let length = u32::try_from(values.len()).expect("a small table");
    table.extend([0, length].into_iter().flat_map(u32::to_be_bytes));
    table.extend(values.iter().flat_map(|value| value.to_be_bytes()[4 - usize::from(width)..].to_vec()));
    table.resize(table.len().next_multiple_of(8), 0);
    table
}
