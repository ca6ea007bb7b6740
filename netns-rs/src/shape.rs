//! What becomes of the packets that leave by an interface: its rate, and what makes the network bad. `tc-tbf(8)`,
//! `tc-netem(8)`.
//!
//! A queue that delays comes first and has a token bucket inside. What was set is read back.

use plumbing::{Fault, narrate};

use crate::impairment::Impairment;
use crate::qdisc::{At, Qdisc, ROOT};
use crate::rate::{self, Rate};

/// The kinds of queues that netns-rs makes.
const BUCKET: &str = "tbf";
const NETEM: &str = "netem";
/// The only class of a netem queue.
const CLASS: u32 = 1;

/// The rate, and the impairment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// The rate; `None`: unlimited.
    pub rate: Option<Rate>,
    /// What happens to packets.
    pub impairment: Impairment,
}

impl Shape {
    /// Returns what an interface has; an error if it has a queue that netns-rs does not make.
    pub fn of(at: &At<'_>) -> Result<Shape, Fault> {
        let mut shape = Shape::default();
        for Qdisc { kind, parent, options, .. } in at.list()? {
            match kind.as_str() {
                BUCKET => shape.rate = rate::read(&options),
                NETEM if parent == ROOT => shape.impairment = Impairment::read(&options).unwrap_or_default(),
                _ => {
                    let name = at.name;
                    return Err(Fault::new(format!("cannot change the rate of {name}: it has a queue of kind {kind}"))
                        .with_remedy(format!("see: tc qdisc show dev {name}")));
                }
            }
        }
        Ok(shape)
    }

    /// Makes it so, for packets of this length, and reads it back. What the interface had is replaced.
    pub fn apply(&self, at: &At<'_>, mtu: Option<u32>) -> Result<(), Fault> {
        let had = if narrate::is_dry_run() { Vec::new() } else { at.list()? };
        match (self.impairment.is_none(), self.rate) {
            (true, None) if had.is_empty() => return Ok(()),
            (true, None) => at.remove(ROOT, "nothing limits what leaves by it")?,
            (true, Some(rate)) => limit(at, rate, mtu, ROOT)?,
            (false, rate) => {
                self.impair(at)?;
                let class = class(at)?;
                match rate {
                    Some(rate) => limit(at, rate, mtu, class)?,
                    None if had.iter().any(|old| old.parent == class) => at.remove(class, "its rate is not limited")?,
                    None => {}
                }
            }
        }
        self.require_set(at)
    }

    fn impair(&self, at: &At<'_>) -> Result<(), Fault> {
        let (goal, text) =
            (format!("impair {}", at.name), format!("RTM_NEWQDISC, TCA_KIND \"netem\", {}", self.impairment));
        at.replace(goal, (NETEM, &self.impairment.options()), ROOT, &text, "what leaves by it; tc-netem(8)")
    }

    fn require_set(&self, at: &At<'_>) -> Result<(), Fault> {
        if narrate::is_dry_run() {
            return Ok(());
        }
        let found = Shape::of(at)?;
        // The kernel counts bytes.
        let is_rate = found.rate.map(Rate::bytes) == self.rate.map(Rate::bytes);
        if is_rate && found.impairment == self.impairment {
            return Ok(());
        }
        let rate = |shape: &Shape| shape.rate.map_or("no limit".to_owned(), |rate| rate.to_string());
        Err(Fault::new(format!(
            "cannot limit {} to {}, {}: the kernel has set {}, {}",
            at.name,
            rate(self),
            self.impairment,
            rate(&found),
            found.impairment
        )))
    }
}

fn limit(at: &At<'_>, rate: Rate, mtu: Option<u32>, parent: u32) -> Result<(), Fault> {
    let text = format!("RTM_NEWQDISC, TCA_KIND \"tbf\", {} bytes/s, burst {}", rate.bytes(), rate.burst(mtu));
    let goal = format!("limit {} to {rate}", at.name);
    at.replace(goal, (BUCKET, &rate::options(rate, mtu)), parent, &text, "what leaves by it; tc-tbf(8)")
}

/// Returns the place inside the queue that delays.
fn class(at: &At<'_>) -> Result<u32, Fault> {
    if narrate::is_dry_run() {
        return Ok(ROOT);
    }
    let root = at.list()?.into_iter().find(|qdisc| qdisc.parent == ROOT);
    root.map(|root| root.handle | CLASS)
        .ok_or_else(|| Fault::new(format!("cannot limit {}: the queue that was just made is gone", at.name)))
}
