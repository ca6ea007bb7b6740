//! From options to a plan: chooses the way to work, and refuses options that contradict it or each other. Pure.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;

use plumbing::Fault;
use plumbing::pipeline::gates::Places;

use crate::command::Command;
use crate::confinement::Confinement;
use crate::confinement_options::{ConfinementOptions, Filter};
use crate::identity::IdentityRequest;
use crate::keep_root::Confined;
use crate::mount_options::MountOption;
use crate::options::Options;
use crate::plan::{Action, Chroot, Container, Held, Leave, Plan};
use crate::source::Source;
use crate::specification::{BundleFiles, ByOptions, Unread, UnreadBy};

/// The root that the command line names.
enum Named {
    /// The operand NEWROOT, or a root that an option makes.
    Source(Source),
    /// `--oci`: the directory of a bundle.
    Bundle(PathBuf),
    /// `--keep-root`.
    Present,
}

/// Returns the plan, or a usage error that names the contradiction.
pub(crate) fn plan(mut options: Options) -> Result<Plan, Fault> {
    let Options { narration, sealed_copy, strict, .. } = options;
    if options.audit.audit {
        check_audit(&options)?;
        return Ok(Plan { narration, sealed_copy, strict, action: Action::Audit { as_json: options.audit.json } });
    }
    let mut operands = std::mem::take(&mut options.operands).into_iter();
    let named = match (options.root.oci.clone(), options.root.source()) {
        (Some(bundle), _) => Named::Bundle(bundle),
        (None, Some(source)) => Named::Source(source),
        (None, None) if options.keep_root => Named::Present,
        (None, None) => match operands.next() {
            Some(path) => Named::Source(Source::Directory(path.into())),
            None => return Err(Fault::usage("the new root directory is missing")),
        },
    };
    let mut words: Vec<OsString> = operands.collect();
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    check(&options, !words.is_empty())?;
    let command = Command { words, argv0: options.argv0.take() };
    Ok(Plan { narration, sealed_copy, strict, action: action(options, named, command)? })
}

/// Refuses everything but `--json`: the audit changes no root and runs no command.
fn check_audit(options: &Options) -> Result<(), Fault> {
    let names_root =
        options.root.want_mounts() || options.root.no_pivot || options.root.oci.is_some() || options.keep_root;
    let has_gate = [options.ready_fd, options.block_fd].iter().any(Option::is_some)
        || [&options.exec_fifo, &options.console_socket].iter().any(|path| path.is_some());
    let confines = options.confine != ConfinementOptions::default();
    if names_root || has_gate || confines || !options.operands.is_empty() {
        return Err(Fault::usage("--audit examines the current root: it takes no option except --json"));
    }
    Ok(())
}

/// Refuses options that the way to work has no use for.
fn check(options: &Options, has_command: bool) -> Result<(), Fault> {
    let no = |why: &str| Err(Fault::usage(why));
    let wants_mounts = wants_mounts(options);
    if options.strict && !is_container(options) {
        return no("--strict needs --std or --oci: it makes their warnings errors");
    }
    if options.allow_new_privs && !options.std && !options.keep_root {
        return no("--allow-new-privs needs --std or --keep-root, which set no_new_privs");
    }
    if options.console_socket.is_some() && !is_container(options) {
        return no("--console-socket needs --std or --oci, which make a /dev/pts");
    }
    let has_filter = options.std || options.confine.seccomp.is_some();
    if options.confine.seccomp_log && (!has_filter || options.confine.seccomp == Some(Filter::None)) {
        return no("--seccomp-log needs --seccomp or --std, which install a filter");
    }
    if let Some(why) = options.confine.landlock.idle() {
        return no(why);
    }
    if options.keep_root && (wants_mounts || options.root.no_pivot) {
        return no("--keep-root changes no root and makes no mounts");
    }
    if options.pipe && has_command {
        return no("--pipe takes no command: the last stage, nsenter-rs, runs it");
    }
    if options.pipe && !is_container(options) {
        return no("--pipe needs --std or --oci: it makes a container's root, a plain chroot does not");
    }
    if let Some(option) = options.root.mounts.0.iter().find_map(needs_chain).filter(|_| options.pipe) {
        return Err(Fault::usage(format!(
            "{option} cannot be used with --pipe: /proc is another one in the container"
        )));
    }
    if wants_mounts && options.skip_chdir {
        return no(
            "--skip-chdir is for a plain chroot: with mounts, the working directory is kept where the root has it",
        );
    }
    if !wants_mounts && !options.keep_root && options.preserve_fds.is_some() {
        return no("--preserve-fds needs --std, --oci, --keep-root or mounts: a plain chroot keeps all descriptors");
    }
    Ok(())
}

/// Returns the option's name if it works only in a chain.
fn needs_chain(mount: &MountOption) -> Option<&'static str> {
    match mount {
        MountOption::Passed(passed) => passed.needs_chain(),
        _ => None,
    }
}

/// Reports whether the options describe a whole container, and not only a root with mounts.
fn is_container(options: &Options) -> bool {
    options.std || options.root.oci.is_some()
}

/// Reports whether the options ask for more than chroot(2) can do.
fn wants_mounts(options: &Options) -> bool {
    is_container(options) || options.root.want_mounts()
}

/// Chooses one of the ways that change a root.
fn action(options: Options, named: Named, command: Command) -> Result<Action, Fault> {
    let wants_mounts = wants_mounts(&options);
    let identity =
        IdentityRequest::parse(options.userspec.as_deref(), options.group.as_deref(), options.groups.as_deref())?;
    // chroot(8) trusts the files of NEWROOT.
    let identity = IdentityRequest { digits_are_ids: wants_mounts || options.keep_root, ..identity };
    let confinement = Confinement {
        std: options.std,
        keeps_root: options.keep_root,
        host_root: options.root.host_root,
        capabilities: options.capabilities,
        new_privs: options.allow_new_privs,
        keep_env: options.keep_env,
        chdir: options.chdir,
        more: options.confine,
        files: OnceCell::new(),
    };
    let gates = Places { ready: options.ready_fd, block: options.block_fd, fifo: options.exec_fifo };
    let by = match named {
        Named::Source(Source::Directory(directory)) if !wants_mounts => {
            let skip_chdir = options.skip_chdir;
            let chroot = Chroot { directory, skip_chdir, identity, confinement, gates, command };
            return Ok(Action::Chroot(Box::new(chroot)));
        }
        Named::Source(source) => {
            let (std, read_only) = (options.std, options.root.read_only);
            UnreadBy::Options(Box::new(ByOptions { source, std, read_only, identity, confinement }))
        }
        Named::Bundle(directory) => {
            let (config, hooks_by_caller) = (options.root.config_fd, options.root.hooks_by_caller);
            let new_session = confinement.more.new_session;
            UnreadBy::Bundle(BundleFiles { directory, config, hooks_by_caller, new_session })
        }
        Named::Present => {
            let preserve_fds = options.preserve_fds;
            let confined = Confined { identity, confinement, preserve_fds, gates, command };
            return Ok(Action::Confined(Box::new(confined)));
        }
    };
    let root = Unread { by, mounts: options.root.mounts.0 };
    if options.pipe {
        return Ok(Action::Held(Held { root, keep_on_error: options.keep_on_error }));
    }
    let preserve_fds = options.preserve_fds.unwrap_or(0);
    let leave = if options.root.no_pivot { Leave::ByChroot } else { Leave::ByPivot };
    let console_socket = options.console_socket;
    Ok(Action::Container(Container { root, preserve_fds, leave, gates, console_socket, command }))
}

#[cfg(test)]
mod tests;
