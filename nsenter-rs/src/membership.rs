//! The cgroups that the command joins: those of the record, or else those of the container's init. `cgroups(7)`.

use plumbing::Fault;
use plumbing::hierarchy::{Cgroup, Hierarchies, memberships};
use plumbing::record::Record;
use plumbing::target::Target;
use plumbing::text::Text;

/// Groups to join, in the hierarchies of this machine.
pub(crate) struct Groups {
    hierarchies: Hierarchies,
    cgroup: Cgroup,
}

impl Groups {
    /// Moves this process into the groups.
    pub(crate) fn join(&self) -> Result<(), Fault> {
        self.cgroup.join(&self.hierarchies)
    }
}

/// Returns the groups to join for this container; `None` if we are already in them.
pub(crate) fn of(record: &Record, target: &Target) -> Result<Option<Groups>, Fault> {
    let hierarchies = Hierarchies::discover()?;
    let cgroup = match record.get::<Cgroup>("cgroup")? {
        Some(cgroup) => cgroup,
        None => of_init(&hierarchies, target)?,
    };
    Ok(groups(hierarchies, cgroup))
}

/// Returns the groups of a process; `None` if we are already in them.
pub(crate) fn of_target(target: &Target) -> Result<Option<Groups>, Fault> {
    let hierarchies = Hierarchies::discover()?;
    let cgroup = of_init(&hierarchies, target)?;
    Ok(groups(hierarchies, cgroup))
}

fn groups(hierarchies: Hierarchies, cgroup: Cgroup) -> Option<Groups> {
    let nothing = cgroup.version != 2 && cgroup.paths.is_empty();
    (!nothing).then_some(Groups { hierarchies, cgroup })
}

/// Returns the groups that the init is in and we are not.
fn of_init(hierarchies: &Hierarchies, target: &Target) -> Result<Cgroup, Fault> {
    let mut cgroup = Cgroup { version: 1, path: "/".into(), paths: Default::default(), limits: Default::default() };
    for (controllers, path) in memberships(target.read("cgroup")?.as_bytes()) {
        let path = Text::from(path.as_path());
        match controllers.first() {
            None => {
                if hierarchies.v2().is_some_and(|v2| Text::from(v2.own_path()) != path) {
                    (cgroup.version, cgroup.path) = (2, path);
                }
            }
            Some(controller) => {
                let elsewhere =
                    |own: &&plumbing::hierarchy::Hierarchy| own.is_mounted() && Text::from(own.own_path()) != path;
                if hierarchies.v1(controller).as_ref().is_some_and(elsewhere) {
                    cgroup.paths.insert(controller.clone(), path);
                }
            }
        }
    }
    Ok(cgroup)
}
