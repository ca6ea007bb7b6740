//! A row is one test: a sentence, where it applies, what it needs, and a function that panics if the sentence is false. A row
//! that does not apply is not counted; if a need is not met, the row is skipped with a reason.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use crate::harness::need::Need;
use crate::harness::world::World;

/// One test.
pub struct Row {
    /// The claim, as a sentence.
    pub name: &'static str,
    needs: &'static [Need],
    test: fn(&World),
    who: Who,
    place: Place,
    is_asked_for: bool,
}

/// The result of a row.
pub enum Verdict {
    /// The sentence holds.
    Passed,
    /// The sentence does not hold: the text of the panic.
    Failed(String),
    /// This machine cannot run the row: the need that is not met.
    Skipped(String),
}

impl Verdict {
    /// Turns a pass into a failure if the row left processes behind.
    pub fn unless(self, left_behind: &[String]) -> Self {
        match self {
            Self::Passed if !left_behind.is_empty() => {
                Self::Failed(format!("left behind:\n{}", left_behind.join("\n")))
            }
            verdict => verdict,
        }
    }
}

#[derive(PartialEq)]
enum Who {
    Anyone,
    Root,
    User,
}

#[derive(PartialEq)]
enum Place {
    Anywhere,
    Host,
    Vm,
    Systemd,
}

impl Row {
    /// Makes a row that applies to every user on every machine.
    pub const fn new(name: &'static str, needs: &'static [Need], test: fn(&World)) -> Self {
        Self { name, needs, test, who: Who::Anyone, place: Place::Anywhere, is_asked_for: false }
    }

    /// Restricts the row to root.
    pub const fn root_only(mut self) -> Self {
        self.who = Who::Root;
        self
    }

    /// Restricts the row to unprivileged users.
    pub const fn user_only(mut self) -> Self {
        self.who = Who::User;
        self
    }

    /// Restricts the row to the host (its daemons, its cgroup v1, its packages).
    pub const fn host_only(mut self) -> Self {
        self.place = Place::Host;
        self
    }

    /// Restricts the row to the virtual machine (only cgroup v2, a chosen kernel).
    pub const fn vm_only(mut self) -> Self {
        self.place = Place::Vm;
        self
    }

    /// Restricts the row to the virtual machine whose process 1 is systemd; no other row runs there.
    pub const fn under_systemd(mut self) -> Self {
        self.place = Place::Systemd;
        self
    }

    /// Leaves the row out, unless a text selects it: it measures for a long time, or needs a machine without other load.
    pub const fn asked_for(mut self) -> Self {
        self.is_asked_for = true;
        self
    }

    /// Reports whether the row runs only if a text selects it.
    pub fn is_asked_for(&self) -> bool {
        self.is_asked_for
    }

    /// Reports whether the row applies to this user on this machine.
    pub fn applies_to(&self, world: &World) -> bool {
        let who = if world.is_root { Who::Root } else { Who::User };
        let place = match world {
            World { under_systemd: true, .. } => Place::Systemd,
            World { in_vm: true, .. } => Place::Vm,
            World { .. } => Place::Host,
        };
        let is_everywhere = self.place == Place::Anywhere && place != Place::Systemd;
        (self.who == Who::Anyone || self.who == who) && (is_everywhere || self.place == place)
    }

    /// Runs the row, unless a need is not met.
    pub fn run(&self, world: &World) -> Verdict {
        if let Some(reason) = self.needs.iter().find_map(|need| need.missing(world)) {
            return Verdict::Skipped(reason);
        }
        match panic::catch_unwind(AssertUnwindSafe(|| (self.test)(world))) {
            Ok(()) => Verdict::Passed,
            Err(_) => Verdict::Failed(PANIC.take()),
        }
    }
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the text of a panic for the verdict, from now on, and does not print it.
pub fn keep_panics_quiet() {
    panic::set_hook(Box::new(|info| PANIC.set(info.to_string())));
}
