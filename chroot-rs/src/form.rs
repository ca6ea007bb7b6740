//! Which of its ways chroot-rs goes, from the options; what does not go together with one is refused. Pure.

use plumbing::Fault;

use crate::options::Options;

/// In which of its three ways.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As chroot(8).
    Plain { skip_chdir: bool },
    /// `--std`, `--pivot` or mounts: this process gets a root of its own, and becomes the command.
    Container { preserve_fds: u32, leave: Leave },
    /// `--std --pipe`: a held container gets it.
    Held { keep_on_error: bool },
    /// `--audit`: no root is changed, the one that we are in is looked at.
    Audit { as_json: bool },
}

/// How the old root is left, where a mount namespace of our own has been made or joined: in the caller's it is never done
/// by `pivot_root(2)`, which moves the root of all who are in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    ByPivot,
    /// `--no-pivot`.
    ByChroot,
}

impl Form {
    /// Of any line but `--audit`.
    pub(crate) fn of(options: &Options, has_command: bool) -> Result<Form, Fault> {
        let has_bundle = options.root.oci.is_some();
        let wants_container = options.std || has_bundle || options.root.want_mounts();
        let no = |why: &str| Err(Fault::usage(why));
        match (options.pipe, wants_container) {
            (true, _) if has_command => no("--pipe takes no command: the last stage, nsenter-rs, runs it"),
            (true, _) if !options.std && !has_bundle => {
                no("--pipe needs --std or --oci: a container's root is made, not only changed to")
            }
            (true, _) => Ok(Form::Held { keep_on_error: options.keep_on_error }),
            (false, true) if options.skip_chdir => {
                no("--skip-chdir is for a plain chroot: with mounts, the working directory is left behind")
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
