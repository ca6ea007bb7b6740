//! The queues of an interface, by `RTM_*QDISC` messages: what leaves by it waits there. `tc(8)`, `rtnetlink(7)`.
//!
//! The surprise: a queue that the kernel made by itself has the handle 0, and counts as none.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST};
use nix::errno::Errno;
use plumbing::Fault;

use crate::message::{attribute, attributes, plain, string};
use crate::netlink::Netlink;

/// `RTM_NEWQDISC`
pub const NEWQDISC: u16 = 36;
const DELQDISC: u16 = 37;
/// `RTM_GETQDISC`
pub const GETQDISC: u16 = 38;
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// The place of the queue that packets meet first.
pub const ROOT: u32 = 0xffff_ffff;

/// A queue.
#[derive(Debug, PartialEq, Eq)]
pub struct Qdisc {
    /// Its kind: `tbf`, `netem`…
    pub kind: String,
    /// Its number, of which the lower half is 0.
    pub handle: u32,
    /// Its place: [`ROOT`], or a class of another queue.
    pub parent: u32,
    /// What is set, as bytes.
    pub options: Vec<u8>,
}

/// An interface of a socket's namespace.
pub struct At<'a> {
    /// The socket.
    pub netlink: &'a Netlink,
    /// The name of the interface.
    pub name: &'a str,
    /// Its index.
    pub index: u32,
}

impl At<'_> {
    /// Lists the queues that somebody made.
    pub fn list(&self) -> Result<Vec<Qdisc>, Fault> {
        // A request for a single one is answered on some kernels only.
        let request = plain(GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, &self.header(0));
        let answers = self.netlink.get(format!("list the queues of {}", self.name), "RTM_GETQDISC", request)?;
        let here = answers.iter().filter(|answer| answer.kind == NEWQDISC);
        Ok(here.filter_map(|answer| self.read(&answer.payload)).filter(|qdisc| qdisc.handle != 0).collect())
    }

    /// Makes a queue in a place, in one step with the removal of what is there.
    pub fn replace(
        &self,
        goal: String,
        (kind, options): (&str, &[u8]),
        parent: u32,
        text: &str,
        why: &str,
    ) -> Result<(), Fault> {
        let attributes = [string(KIND, kind), attribute(OPTIONS, options)].concat();
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let message = plain(NEWQDISC, flags, &[self.header(parent), attributes].concat());
        self.netlink.change(goal, text, why, message).map_err(|fault| match fault.errno() {
            // The kernel has tried to load the module itself.
            Some(Errno::ENOENT) => fault.with_remedy(format!(
                "the kernel has no {kind}; load the module sch_{kind} (CONFIG_NET_SCH_{})",
                kind.to_uppercase()
            )),
            _ => fault,
        })
    }

    /// Removes the queue of a place.
    pub fn remove(&self, parent: u32, why: &str) -> Result<(), Fault> {
        let message = plain(DELQDISC, NLM_F_REQUEST | NLM_F_ACK, &self.header(parent));
        self.netlink.change(format!("remove a queue of {}", self.name), "RTM_DELQDISC", why, message)
    }

    /// `struct tcmsg`.
    fn header(&self, parent: u32) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(self.index.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(parent.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes
    }

    fn read(&self, payload: &[u8]) -> Option<Qdisc> {
        let number = |at: usize| Some(u32::from_ne_bytes(payload.get(at..at + 4)?.try_into().ok()?));
        if number(4)? != self.index {
            return None;
        }
        let all = attributes(payload.get(20..)?);
        let value = |wanted| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        let kind = String::from_utf8_lossy(value(KIND)?).trim_end_matches('\0').to_owned();
        let options = value(OPTIONS).unwrap_or_default().to_vec();
        Some(Qdisc { kind, handle: number(8)?, parent: number(12)?, options })
    }
}
