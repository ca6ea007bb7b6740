//! The two kinds of machine that QEMU emulates, by their names in Rust, in Debian and in QEMU.

/// A kind of machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Architecture {
    /// rustc's name.
    pub name: &'static str,
    /// The name in Debian.
    pub debian: &'static str,
    /// The program that emulates it.
    pub qemu: &'static str,
    /// The Debian package of that program.
    pub package: &'static str,
    /// The machine and its processor, as options of that program.
    pub machine: &'static [&'static str],
    /// The serial console.
    pub console: &'static str,
}

/// The machine that runs the tests of every change.
pub const X86_64: Architecture = Architecture {
    name: "x86_64",
    debian: "amd64",
    qemu: "qemu-system-x86_64",
    package: "qemu-system-x86",
    machine: &[],
    console: "ttyS0",
};

/// The other one, for which the tools are built on the first. It is emulated without pointer authentication, which is slow.
pub const AARCH64: Architecture = Architecture {
    name: "aarch64",
    debian: "arm64",
    qemu: "qemu-system-aarch64",
    package: "qemu-system-arm",
    machine: &["-machine", "virt", "-cpu", "cortex-a72"],
    console: "ttyAMA0",
};
