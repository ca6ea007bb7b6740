//! System calls that should be refused: each is made as `plumbing::process::trial` defines it, in its own process. `seccomp(2)`.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{attempt, call};
use plumbing::process::trial::Trial;

use super::child::{Ended, FILTERED, in_child};
use super::{Finding, look};

/// The result of a call.
pub(crate) enum Answer {
    /// Refused before the kernel checked the arguments: the errno, or the signal of a filter.
    Refused(String),
    /// Answered: success, or an errno about the arguments.
    Answered(String),
    /// It could not be tried.
    Untried(String),
}

/// Makes one call.
pub(crate) fn attempted(trial: &'static Trial) -> Result<Answer, Fault> {
    let name = trial.text.split('(').next().unwrap_or(trial.text);
    let why = "it has no effect, and shows whether the call is permitted";
    let done = in_child(name, || match call(name, trial.text, why, || attempt(trial)) {
        Ok(()) => Ok(0),
        Err(fault) => Ok(fault.errno().map_or(0, |errno| errno as i32)),
    })?;
    Ok(match done {
        Ended::Answered(0) => Answer::Answered(format!("{name} succeeds")),
        Ended::Answered(number) => match Errno::from_raw(number) {
            errno if is_refusal(errno) => Answer::Refused(format!("{name}: {errno:?}")),
            errno => Answer::Answered(format!("{name}: {errno:?}")),
        },
        Ended::Filtered => Answer::Refused(format!("{name}: {FILTERED}")),
        Ended::Failed(text) => Answer::Untried(format!("{name}: {text}")),
        Ended::Silent => Answer::Answered(format!("{name} blocks")),
    })
}

/// Makes the calls; held if each of them is refused.
pub(crate) fn none_answers(calls: &'static [Trial]) -> Result<Finding, Fault> {
    let (mut refused, mut answered, mut untried) = (Vec::new(), Vec::new(), Vec::new());
    for trial in calls {
        match attempted(trial)? {
            Answer::Refused(text) => refused.push(text),
            Answer::Answered(text) => answered.push(text),
            Answer::Untried(text) => untried.push(text),
        }
    }
    if answered.is_empty() && !untried.is_empty() {
        return Ok(Finding::unknown(look::some(&untried)));
    }
    Ok(Finding::none_of(&answered, look::some(&refused)))
}

/// Reports whether a call was refused: not permitted, or no such call or socket family, by a filter or by the kernel itself.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::EAFNOSUPPORT)
}
