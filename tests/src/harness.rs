//! What every row works with: the row itself and its needs, the machine around it, scripts, and what strace(1) saw.

pub mod agreement;
pub mod changing;
pub mod children;
pub mod held;
pub mod mounts;
pub mod narration;
pub mod need;
pub mod notation;
pub mod row;
pub mod scan;
pub mod script;
pub mod stages;
pub mod stat;
pub mod trace;
pub mod waiting;
pub mod world;
