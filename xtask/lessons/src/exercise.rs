//! Exercises: what a learner builds in the shell of a lesson is checked by a script, and another script is the solution.
//!
//! A check prints nothing if all is there. Otherwise it calls `missing ENGLISH CHINESE` for what is missing and how to look
//! at it, and never prints the solution.

use crate::catalog::Language;

/// The scripts of an exercise, for sh(1).
#[derive(Debug)]
pub struct Exercise {
    /// Looks at what the learner built.
    pub check: &'static str,
    /// Builds it.
    pub solution: &'static str,
}

impl Exercise {
    /// Returns the check as one script, with messages in this language. It exits with 1 if something is missing.
    pub fn check_in(&self, language: Language) -> String {
        let message = match language {
            Language::English => "$1",
            Language::Chinese => "$2",
        };
        format!("missing() {{ printf '%s\\n' \"{message}\"; lacks=1; }}\nlacks=0\n{}\n[ \"$lacks\" = 0 ]", self.check)
    }
}
