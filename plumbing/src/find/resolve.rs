//! Finding the one container to which a name refers. If it is ambiguous or unknown, the error lists the candidates or
//! the reasons.

use std::path::PathBuf;

use crate::Fault;
use crate::process::missing_proc;

use super::claim::Refused;
use super::{Container, Containers, Reference, Runtime, Search, all, netns, reference, similar, unit};

/// The maximum number of entries that an error lists.
const MOST: usize = 8;

/// The object that has a name.
pub enum Found {
    /// A container, by its first process.
    Container(Box<Container>),
    /// A network namespace, by its file.
    Network(PathBuf),
}

/// Finds the object to which a name refers.
pub fn resolve(reference: &Reference) -> Result<Found, Fault> {
    let own = rustix::process::geteuid().as_raw();
    let wants = |runtime: Runtime| reference.runtime.is_none_or(|wanted| wanted == runtime);
    let network = netns::named(&reference.word).filter(|_| wants(Runtime::Netns) && reference.user.is_none());
    let mut containers = all(Some(reference))?;
    if reference.runtime == Some(Runtime::Systemd) || (wants(Runtime::Systemd) && unit::is_name(&reference.word)) {
        containers.add_units(reference)?;
    }
    let (named, unnamed): (Vec<_>, Vec<_>) =
        std::mem::take(&mut containers.all).into_iter().partition(|it| reference.names(it));
    let (mut meant, others): (Vec<_>, Vec<_>) =
        named.into_iter().partition(|it| reference.means_author(it.author, own));
    match (meant.pop(), network) {
        (Some(only), None) if meant.is_empty() => Ok(Found::Container(Box::new(only))),
        (None, Some(network)) => Ok(Found::Network(network)),
        (None, None) => {
            containers.all = unnamed;
            Err(not_found(reference, &containers, &others, own))
        }
        (last, network) => {
            meant.extend(last);
            Err(ambiguous(reference, &meant, network, own))
        }
    }
}

impl Containers {
    fn add_units(&mut self, reference: &Reference) -> Result<(), Fault> {
        let search = Search::begin(Some(reference))?;
        let mut found = Containers::default();
        found.judge(&search, unit::claims(&search, &reference.word));
        let known =
            |unit: &Container| self.all.iter().any(|it| it.target.pid() == unit.target.pid() && reference.names(it));
        found.all.retain(|unit| !known(unit));
        // `.service` may have been omitted.
        found.all.iter_mut().for_each(|unit| unit.names.push(reference.word.clone()));
        self.all.extend(found.all);
        self.refused.extend(found.refused);
        Ok(())
    }
}

fn ambiguous(reference: &Reference, meant: &[Container], network: Option<PathBuf>, own: u32) -> Fault {
    let mut candidates: Vec<_> = meant.iter().map(|it| it.described(own)).collect();
    candidates.extend(network.map(|path| format!("the network namespace {} (netns)", path.display())));
    let fault =
        Fault::new(format!("cannot decide which container \"{}\" means: {}", reference.shown(), list(&candidates)));
    fault.with_remedy("use its id, its pid, or RUNTIME:NAME")
}

fn not_found(reference: &Reference, containers: &Containers, others: &[Container], own: u32) -> Fault {
    let goal = format!("cannot find a container named \"{}\"", reference.shown());
    if !others.is_empty() {
        let described: Vec<_> = others.iter().map(|it| it.described(own)).collect();
        let exact = |it: &Container| format!("{}@{}:{}", it.runtime.name(), it.author, it.shown());
        let exact: Vec<_> = others.iter().map(exact).collect();
        let remedy = format!("use {} if you trust that user", exact[..exact.len().min(MOST)].join(" or "));
        let text = format!("{goal}: only another user's container has this name: {}", list(&described));
        return Fault::new(text).with_remedy(remedy);
    }
    let refused = containers.refused.iter().filter(|Refused { claim, .. }| {
        let id = claim.id.as_deref();
        let by_id = reference.word.to_str().is_some_and(|word| {
            id.is_some_and(|id| id == word || reference::is_random(id) && word.len() >= 4 && id.starts_with(word))
        });
        by_id || claim.names.contains(&reference.word)
    });
    let refused: Vec<_> =
        refused.map(|Refused { claim, why }| format!("the {} container {why}", claim.runtime.name())).collect();
    if !refused.is_empty() {
        return Fault::new(format!("{goal}: {}", list(&refused)));
    }
    missing_proc::remark_hidden();
    let among = match reference.runtime {
        Some(runtime) => format!("no {} container has this name or id", runtime.name()),
        None => "no running container has this name or id".to_owned(),
    };
    let passed_over: Vec<_> = containers.passed_over.iter().cloned().collect();
    let skipped = if passed_over.is_empty() { String::new() } else { format!("; skipped: {}", list(&passed_over)) };
    let fault = Fault::new(format!("{goal}: {among}{skipped}"));
    match similar::described(reference, &containers.all) {
        similar if similar.is_empty() => fault,
        similar => fault.with_remedy(format!("similar names: {}", list(&similar))),
    }
}

/// Joins descriptions, and counts those for which there is no room.
fn list(all: &[String]) -> String {
    let shown = all[..all.len().min(MOST)].join("; ");
    if all.len() > MOST { format!("{shown}; and {} more", all.len() - MOST) } else { shown }
}
