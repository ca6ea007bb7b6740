//! Records on their way through a pipeline, holds, leases, and guardians.

pub mod assembly;
pub mod ephemeral;
pub mod gates;
pub mod guardian;
pub mod init;
pub mod kept_process;
pub mod mark;
pub mod name;
pub mod ownership;
pub mod pipe;
pub mod record;
mod record_in;
pub mod record_out;
