//! System calls that must not be answered: each is made as `plumbing::trial` has it, in a process of its own.
//! `seccomp(2)`.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{attempt, call};
use plumbing::trial::Trial;

use super::child::{Ended, FILTERED, apart};
use super::{Finding, look};

/// What a call answered.
pub(crate) enum Answer {
    /// Refused before it looked at what was asked: the errno, or the signal of a filter.
    Refused(String),
    /// Answered: success, or an errno about the arguments.
    Answered(String),
    /// It could not be tried.
    Untried(String),
}

/// Makes one.
pub(crate) fn attempted(trial: &'static Trial) -> Result<Answer, Fault> {
    let name = trial.text.split('(').next().unwrap_or(trial.text);
    let why = "whether it is answered; nothing comes of it";
    let done = apart(name, || match call(name, trial.text, why, || attempt(trial)) {
        Ok(()) => Ok(0),
        Err(fault) => Ok(fault.errno().map_or(0, |errno| errno as i32)),
    })?;
    Ok(match done {
        Ended::Told(0) => Answer::Answered(format!("{name} succeeds")),
        Ended::Told(number) => match Errno::from_raw(number) {
            errno if is_refusal(errno) => Answer::Refused(format!("{name}: {errno:?}")),
            errno => Answer::Answered(format!("{name}: {errno:?}")),
        },
        Ended::Filtered => Answer::Refused(format!("{name}: {FILTERED}")),
        Ended::Failed(text) => Answer::Untried(format!("{name}: {text}")),
        Ended::Silent => Answer::Answered(format!("{name} waits")),
    })
}

/// Held when each of them is refused.
pub(crate) fn none_answers(calls: &'static [Trial]) -> Result<Finding, Fault> {
    let (mut refused, mut answered, mut untried) = (Vec::new(), Vec::new(), Vec::new());
    for trial in calls {
        match attempted(trial)? {
            Answer::Refused(text) => refused.push(text),
            Answer::Answered(text) => answered.push(text),
            Answer::Untried(text) => untried.push(text),
        }
    }
    Ok(match (answered.is_empty(), untried.is_empty()) {
        (true, false) => Finding::unknown(look::some(&untried)),
        _ => Finding::none_of(&answered, look::some(&refused)),
    })
}

/// Not allowed, or no such call or no such family of sockets, be it by a filter or by the kernel's making.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::EAFNOSUPPORT)
}
