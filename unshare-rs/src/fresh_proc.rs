//! A proc file system of the new pid namespace: the old one still shows the processes of the old. `proc(5)`.

use std::path::Path;

use nix::mount::MsFlags;
use plumbing::Fault;
use plumbing::kernel::call;

pub(crate) fn mount(dir: &Path) -> Result<(), Fault> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let shown = dir.display().to_string();
    let text = format!("mount(\"proc\", {shown:?}, \"proc\", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)");
    call(
        format!("mount a fresh proc at {shown}"),
        text,
        "/proc of the pid namespace that we are in now; proc(5)",
        || nix::mount::mount(Some("proc"), dir, Some("proc"), flags, None::<&str>),
    )
}
