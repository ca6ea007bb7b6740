//! The subject of an inspection: a process by its pid, a container by its name, or the host.
//!
//! A pid is never taken for a name. `host` is what process 1 sees; if we may not inspect process 1, it is what we see.

use std::ffi::OsStr;

use plumbing::Fault;
use plumbing::pipeline::record::{Namespace, Record};
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};

use super::namespaces;
use crate::find::PidOrName;
use crate::find::{self, Reference};

/// `host`, `PID`, `PID:INODE`, or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Host,
    Process(PidOrName),
    Container(Reference),
}

impl Subject {
    /// Parses a subject from the command line.
    pub(crate) fn read(word: &OsStr) -> Result<Subject, Fault> {
        let wrong = |reason| Fault::usage(format!("invalid subject '{}': {reason}", word.to_string_lossy()));
        if word == "host" {
            return Ok(Subject::Host);
        }
        match PidOrName::read(word).map_err(wrong)? {
            PidOrName::Named(reference) => Ok(Subject::Container(reference)),
            address => Ok(Subject::Process(address)),
        }
    }

    /// Finds the process to inspect, with a record to which the result is added; only JSON has the record's identity.
    pub(super) fn open(&self, json: bool) -> Result<(Record, Target), Fault> {
        let identity = |target: &Target| if json { target.identity() } else { target.identity_for_now() };
        let target = match self {
            Subject::Host => namespaces::host()?,
            Subject::Process(address) => address.open()?.process()?,
            Subject::Container(reference) => {
                let container = find::container(reference)?;
                let record = container.record_of(identity(&container.target)?)?;
                return Ok((record, container.command().unwrap_or(container.target)));
            }
        };
        let mut record = Record::new(None, identity(&target)?)?;
        let mut namespaces = Vec::new();
        for kind in Kind::ALL {
            // The page reports which namespaces we may not read.
            if let Ok(Some(inode)) = target.namespace_inode(kind) {
                namespaces.push((kind, Namespace { inode, private: Some(inode) != own_namespace_inode(kind) }));
            }
        }
        record.set_namespaces(&namespaces)?;
        Ok((record, target))
    }
}
