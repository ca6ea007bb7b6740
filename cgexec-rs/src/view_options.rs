//! The options of the views of many groups: `--list`, `--tree`, `--top`, `--events` and `--wait-until`.

use plumbing::command_line::ordinary::Ordinary;
use plumbing::command_line::units;

use crate::pressure::Condition;

/// The options.
#[derive(Debug, Default, clap::Args, Ordinary)]
pub struct ViewOptions {
    /// List the groups below a group, default: all, with processes, memory, CPU time and limits
    #[arg(long, help_heading = "Views")]
    pub(crate) list: bool,
    /// Draw these groups as a tree, with their use of each limit, and pressure
    #[arg(long, help_heading = "Views")]
    pub(crate) tree: bool,
    /// With --tree: print a picture (SVG)
    #[arg(long, help_heading = "Views")]
    pub(crate) svg: bool,
    /// Show the busiest of these groups, again and again; keys change the order
    #[arg(long, help_heading = "Views")]
    pub(crate) top: bool,
    /// Print OOM kills, reached limits and pressure in these groups as JSON lines as they happen
    #[arg(long, help_heading = "Views")]
    pub(crate) events: bool,
    /// Wait until tasks of the group wait that much, e.g. 'memory.some>10%/2s'
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse, help_heading = "Views")]
    pub(crate) wait_until: Option<Condition>,
    /// With --top: print instead of drawing on the terminal
    #[arg(long, help_heading = "Views")]
    pub(crate) batch: bool,
    /// With --top: time between two refreshes; default: 2s
    #[arg(long, value_name = "TIME", value_parser = units::milliseconds, help_heading = "Views")]
    pub(crate) delay: Option<u64>,
    /// With --top: number of refreshes; default: no end
    #[arg(long, value_name = "N", value_parser = units::repetitions, help_heading = "Views")]
    pub(crate) iterations: Option<u64>,
}

impl ViewOptions {
    /// Returns the views that were asked for, each with its option.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--list", self.list),
            ("--tree", self.tree),
            ("--top", self.top),
            ("--events", self.events),
            ("--wait-until", self.wait_until.is_some()),
        ];
        all.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option).collect()
    }
}
