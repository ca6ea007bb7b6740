//! `cargo xtask engines`: containers of docker, containerd and podman by `examples/oci-runtime.sh`, compared with runc's.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::row;

/// The options of `cargo xtask engines`.
#[derive(Args)]
pub struct Options {
    /// docker, containerd or podman; default: all three
    engine: Option<String>,
    /// Run only the cases that contain this text
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
}

/// Runs the rows that only this task asks for, as root.
pub fn run(options: Options) -> Result<ExitCode> {
    let rows = match options.engine {
        Some(engine) => format!("engine {engine}:"),
        None => "engine docker:|engine containerd:|engine podman:".to_owned(),
    };
    row::run(&row::Options::as_root(rows, options.case))
}
