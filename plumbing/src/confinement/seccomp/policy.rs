//! A profile that has been resolved for one command: the answer to each call. `seccomp(2)`.
//!
//! If several rules match a call, the strictest applies, whatever their order: a refusal that was asked for cannot be
//! undone by a line elsewhere in the profile.

use std::collections::BTreeMap;

use super::action::Action;
use super::architecture::{Architecture, Numbers};

/// A comparison operator for an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// The bits of the mask have this value.
    MaskedEqual(u64),
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) operator: Operator,
    pub(super) value: u64,
    /// Whether the kernel looks only at the lower half; see [`Architecture::is_narrow`].
    pub(super) is_narrow: bool,
}

/// The answer to a call if all conditions are true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) conditions: Vec<Condition>,
}

/// The answers to all calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(super) default: Action,
    pub(super) rules: Vec<Rule>,
    pub(super) architectures: Vec<Architecture>,
    /// The answer to x32 calls if `architectures` lacks x32. It never lets a call through.
    pub(super) unnamed_x32: Action,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(super) flags: u32,
}

/// The rules for one number, strictest first; if none matches, the default applies.
pub(super) type Decision = Vec<(Vec<Condition>, Action)>;

impl Policy {
    /// Returns the rules by number, for one architecture.
    pub(super) fn decisions(&self, numbers: &Numbers, architecture: Architecture) -> BTreeMap<u32, Decision> {
        let mut decisions: BTreeMap<u32, Decision> = BTreeMap::new();
        for rule in &self.rules {
            if let Some(number) = numbers.find(&rule.name, architecture) {
                let fit = |condition: &Condition| Condition { is_narrow: architecture.is_narrow(), ..*condition };
                let conditions = rule.conditions.iter().map(fit).collect();
                decisions.entry(number).or_default().push((conditions, rule.action));
            }
            let multiplexed = multiplexed(rule, architecture).and_then(|(name, conditions)| {
                let number = numbers.find(name, architecture)?;
                Some((number, (conditions, rule.action)))
            });
            if let Some((number, rule)) = multiplexed {
                decisions.entry(number).or_default().push(rule);
            }
        }
        for decision in decisions.values_mut() {
            decision.sort_by_key(|(_, action)| action.leniency());
            // A rule without conditions always matches.
            let length = decision.iter().position(|(conditions, _)| conditions.is_empty());
            decision.truncate(length.map_or(usize::MAX, |at| at + 1));
        }
        decisions
    }
}

/// Returns the same rule for a call that goes through socketcall(2) or ipc(2). There, its arguments are in memory,
/// which a filter cannot see: what depends on them is refused if the rule refuses, and not allowed if it allows.
fn multiplexed(rule: &Rule, architecture: Architecture) -> Option<(&'static str, Vec<Condition>)> {
    let (name, number) = architecture.multiplexed(&rule.name)?;
    if !rule.conditions.is_empty() && rule.action.is_permissive() {
        return None;
    }
    // ipc(2) takes a version in the upper half, which the kernel removes before it looks at the number.
    let operator = match name {
        "ipc" => Operator::MaskedEqual(0xffff),
        _ => Operator::Equal,
    };
    Some((name, vec![Condition { argument: 0, operator, value: number.into(), is_narrow: true }]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, action: Action, value: Option<u64>) -> Rule {
        let condition = |value| Condition { argument: 0, operator: Operator::Equal, value, is_narrow: false };
        Rule { name: name.into(), action, conditions: value.map(condition).into_iter().collect() }
    }

    fn policy(default: Action, rules: Vec<Rule>) -> Policy {
        Policy { default, rules, architectures: vec![Architecture::X86_64], unnamed_x32: Action::KillProcess, flags: 0 }
    }

    #[test]
    fn the_strictest_rule_comes_first_and_an_unconditional_one_last() {
        let rules = vec![
            rule("ioctl", Action::Allow, None),
            rule("ioctl", Action::Errno(1), Some(0x5412)),
            rule("ioctl", Action::Log, Some(7)),
            rule("ioctl", Action::Errno(2), None),
        ];
        let decisions = policy(Action::Allow, rules).decisions(&Numbers::read(), Architecture::X86_64);
        let actions: Vec<_> = decisions[&16].iter().map(|(_, action)| *action).collect();
        assert_eq!(actions, [Action::Errno(1), Action::Errno(2)]);
    }

    #[test]
    fn a_multiplexed_call_gets_the_answer_of_the_call_itself_or_a_stricter_one() {
        let decide = |action, value| {
            let policy = policy(Action::Errno(38), vec![rule("socket", action, value)]);
            policy.decisions(&Numbers::read(), Architecture::I386).remove(&102).unwrap_or_default()
        };
        let is_socket = vec![Condition { argument: 0, operator: Operator::Equal, value: 1, is_narrow: true }];
        assert_eq!(decide(Action::Allow, None), [(is_socket.clone(), Action::Allow)]);
        assert_eq!(decide(Action::Allow, Some(2)), []);
        assert_eq!(decide(Action::Errno(97), Some(38)), [(is_socket, Action::Errno(97))]);
    }
}
