//! Reporting names as they appear and disappear. `inotify(7)`.
//!
//! The surprise: a name appears before the namespace is mounted on it.

use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;

use plumbing::kernel::look;
use plumbing::{Fault, Status};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::name::DIRECTORY;
use crate::{directory, print};

/// Prints each event as soon as it happens, until the output is closed.
pub fn run(json: bool) -> Result<Status, Fault> {
    let goal = format!("watch {DIRECTORY}");
    directory::make()?;
    let watcher = look(&goal, "inotify_init1(IN_CLOEXEC)", || inotify::init(CreateFlags::CLOEXEC))?;
    look(&goal, format!("inotify_add_watch({DIRECTORY:?}, IN_CREATE|IN_DELETE)"), || {
        inotify::add_watch(&watcher, DIRECTORY, WatchFlags::CREATE | WatchFlags::DELETE)
    })?;
    if plumbing::narrate::is_dry_run() {
        return Ok(Status::SUCCESS);
    }
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watcher, &mut buffer);
    loop {
        let event = match events.next() {
            Err(rustix::io::Errno::INTR) => continue,
            event => look(&goal, "read(inotify)", || event)?,
        };
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            return Err(Fault::new(format!("cannot {goal}: too many events, some were lost")));
        }
        if let Some(name) = event.file_name() {
            let kind = if event.events().contains(ReadFlags::CREATE) { "add" } else { "delete" };
            print::event(kind, std::ffi::OsStr::from_bytes(name.to_bytes()), json)?;
        }
    }
}
