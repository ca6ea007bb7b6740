//! Chooses one of the forms of chroot-rs from the options, and refuses options that contradict it. Pure.

use plumbing::Fault;

use crate::options::Options;

/// The ways in which chroot-rs can work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Like chroot(8).
    Plain { skip_chdir: bool },
    /// `--std`, `--pivot` or mounts: this process gets its own root, then executes the command.
    Container { preserve_fds: u32, leave: Leave },
    /// `--std --pipe`: a held container gets the root.
    Held { keep_on_error: bool },
    /// `--audit`: no root is changed; the current one is examined.
    Audit { as_json: bool },
}

/// The ways to leave the old root. In both cases a mount namespace was made or joined before: `pivot_root(2)` is never called in
/// the caller's namespace, because it moves the root of every process there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    ByPivot,
    /// `--no-pivot`.
    ByChroot,
}

impl Form {
    /// Chooses the form of any command line without `--audit`.
    pub(crate) fn of(options: &Options, has_command: bool) -> Result<Form, Fault> {
        let has_bundle = options.root.oci.is_some();
        let wants_container = options.std || has_bundle || options.root.want_mounts();
        let no = |why: &str| Err(Fault::usage(why));
        if options.strict && !options.std && !has_bundle {
            return no("--strict needs --std or --oci: it makes their warnings errors");
        }
        match (options.pipe, wants_container) {
            (true, _) if has_command => no("--pipe takes no command: the last stage, nsenter-rs, runs it"),
            (true, _) if !options.std && !has_bundle => {
                no("--pipe needs --std or --oci: it makes a container's root, a plain chroot does not")
            }
            (true, _) => Ok(Form::Held { keep_on_error: options.keep_on_error }),
            (false, true) if options.skip_chdir => {
                no("--skip-chdir is for a plain chroot: with mounts, the old working directory is not kept")
            }
            (false, true) => Ok(Form::Container {
                preserve_fds: options.preserve_fds.unwrap_or(0),
                leave: if options.root.no_pivot { Leave::ByChroot } else { Leave::ByPivot },
            }),
            (false, false) if options.preserve_fds.is_some() => {
                no("--preserve-fds needs --std, --oci or mounts: a plain chroot keeps all descriptors")
            }
            (false, false) => Ok(Form::Plain { skip_chdir: options.skip_chdir }),
        }
    }
}
