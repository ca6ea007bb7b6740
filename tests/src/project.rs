//! Rows about all five tools: what an error, a usage error, a narration, an exit status and a document must be.

pub mod agent_sandbox;
pub mod agent_sandbox_names;
pub mod call_budget;
pub mod chains;
pub mod dry_run;
pub mod escaping;
pub mod exit_status;
pub mod explain;
pub mod fault_text;
pub mod foreign_rights;
pub mod highest_id;
pub mod interpreters;
pub mod lessons;
pub mod manual;
pub mod named_files;
pub mod older_kernels;
pub mod own_executable;
pub mod parsing;
pub mod pictures;
pub mod readme;
pub mod removed_directory;
pub mod restricted_proc;
pub mod smoke;
pub mod transparency;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[
    smoke::ROWS,
    readme::ROWS,
    older_kernels::ROWS,
    highest_id::ROWS,
    explain::ROWS,
    fault_text::ROWS,
    transparency::ROWS,
    own_executable::ROWS,
    interpreters::ROWS,
    foreign_rights::ROWS,
];

/// Topics that are about argv, exit statuses and documents: another kernel changes nothing in them.
pub const HOST_TOPICS: &[&[Row]] = &[
    agent_sandbox::ROWS,
    agent_sandbox_names::ROWS,
    call_budget::ROWS,
    manual::ROWS,
    lessons::ROWS,
    escaping::ROWS,
    exit_status::ROWS,
    parsing::ROWS,
    pictures::ROWS,
    dry_run::ROWS,
    named_files::ROWS,
    removed_directory::ROWS,
    restricted_proc::ROWS,
    chains::ROWS,
];
