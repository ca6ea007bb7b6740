//! `--why`: one page on why a process or container is slow or has died. `proc_pid_stat(5)`, `cgroups(7)`, `core(5)`.
//!
//! Each line names the file that says it, and what cannot be read is never "none". Nothing is entered and nothing is
//! changed. The surprise: the kernel forgets how a process ended as soon as its parent has collected its status; then only the runtime's
//! files know it.

mod core_dump;
mod ended;
mod fact;
mod limits;
mod refused_calls;
mod seen;

use plumbing::process::startup;
use plumbing::{Fault, Status};

use crate::find::{self, Found, OpenTarget, PidOrName, Reference, Stopped};
use fact::Page;
use seen::Seen;

/// Prints the page.
pub(crate) fn print(subject: &PidOrName, json: bool) -> Result<Status, Fault> {
    let page = match subject {
        PidOrName::Process { pid, .. } => match subject.open() {
            Ok(opened) => of_process(&opened.process()?)?,
            Err(fault) => of_zombie(*pid).ok_or(fault)?,
        },
        PidOrName::Named(reference) => of_container(reference)?,
    };
    startup::print(&if json { page.json()? } else { page.text() })
}

fn of_process(target: &plumbing::process::target::Target) -> Result<Page, Fault> {
    let containers = find::all(None)?;
    let container = containers.of(target);
    let name = container.map(|it| format!("{} ({})", it.shown(), it.runtime.name()));
    let mut page = Page::new(name, Some(target.pid()));
    running(&Seen::of(target), &mut page);
    if let Some(container) = container.filter(|it| it.target.pid() == target.pid()) {
        let stored = container.id.as_deref().map(|id| stored(id, container.runtime)).transpose()?.flatten();
        ended::of_store(stored.as_ref(), true, &mut page);
    }
    Ok(page)
}

/// Describes a process that has ended, and whose parent has not collected its status.
fn of_zombie(pid: i32) -> Option<Page> {
    let seen = Seen::zombie(pid)?;
    let mut page = Page::new(None, Some(pid));
    ended::of_zombie(&seen, &mut page);
    limits::add(&seen, &mut page);
    refused_calls::add(&seen, &mut page);
    Some(page)
}

fn of_container(reference: &Reference) -> Result<Page, Fault> {
    let fault = match find::resolve(reference) {
        Ok(Found::Container(container)) => {
            let mut page = Page::new(
                Some(format!("{} ({})", container.shown(), container.runtime.name())),
                Some(container.target.pid()),
            );
            let stored = container.id.as_deref().map(|id| stored(id, container.runtime)).transpose()?.flatten();
            let command = container.command();
            running(&Seen::of(command.as_ref().unwrap_or(&container.target)), &mut page);
            ended::of_store(stored.as_ref(), true, &mut page);
            return Ok(page);
        }
        Ok(Found::Network(path)) => return OpenTarget::Network(path).process().map(|_| Page::new(None, None)),
        Err(fault) => fault,
    };
    let found = find::stopped(Some(reference))?;
    let [only] = &found[..] else { return Err(fault) };
    let mut page = Page::new(Some(format!("{} ({})", only.shown(), only.runtime.name())), None);
    ended::of_store(Some(only), false, &mut page);
    Ok(page)
}

/// Returns what the runtime's files say about the container with this id.
fn stored(id: &str, runtime: find::Runtime) -> Result<Option<Stopped>, Fault> {
    let found = find::stored(None)?;
    Ok(found.into_iter().find(|it| it.runtime == runtime && it.id.as_deref() == Some(id)))
}

fn running(seen: &Seen<'_>, page: &mut Page) {
    ended::of_running(seen, page);
    limits::add(seen, page);
    refused_calls::add(seen, page);
    core_dump::add(seen, page);
}
