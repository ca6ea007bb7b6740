//! System calls that a container does not need: each has power over the machine, or reaches a part of the kernel that was
//! vulnerable before. `syscalls(2)`, `seccomp(2)`.

use plumbing::process::trial;

use super::{By, Probe, Severity};

const fn probe(name: &'static str, severity: Severity, why: &'static str, calls: &'static [trial::Trial]) -> Probe {
    Probe { name, severity, why, by: By::Calling(calls) }
}

pub(super) const PROBES: &[Probe] = &[
    probe(
        "open-by-handle",
        Severity::Critical,
        "any file of the host's file system opens by its number (\"shocker\"); open_by_handle_at(2)",
        &[trial::OPEN_BY_HANDLE],
    ),
    probe(
        "kernel-modules",
        Severity::Critical,
        "a module runs as part of the kernel; init_module(2)",
        &[trial::INIT_MODULE, trial::FINIT_MODULE, trial::DELETE_MODULE],
    ),
    probe(
        "kexec",
        Severity::Critical,
        "another kernel takes over the machine; kexec_load(2)",
        &[trial::KEXEC_LOAD, trial::KEXEC_FILE_LOAD],
    ),
    probe(
        "machine-control",
        Severity::High,
        "restart, swap and accounting affect the whole machine; reboot(2), swapon(2), acct(2)",
        &[trial::REBOOT, trial::SWAPON, trial::ACCT],
    ),
    probe(
        "bpf",
        Severity::High,
        "its programs run in the kernel and can read all of it (CVE-2021-3490); bpf(2)",
        &[trial::BPF],
    ),
    probe(
        "perf-event-open",
        Severity::Medium,
        "it can observe other processes, and was often vulnerable (CVE-2013-2094); perf_event_open(2)",
        &[trial::PERF_EVENT_OPEN],
    ),
    probe(
        "userfaultfd",
        Severity::Medium,
        "it can pause the kernel in the middle of an operation, which exploits use; userfaultfd(2)",
        &[trial::USERFAULTFD],
    ),
    probe(
        "io-uring",
        Severity::Medium,
        "it bypasses filters, and was often vulnerable (CVE-2022-29582); io_uring_setup(2)",
        &[trial::IO_URING_SETUP],
    ),
    probe(
        "keyrings",
        Severity::Medium,
        "keys have no namespace: the container shares the caller's session keyring (CVE-2016-0728); keyctl(2)",
        &[trial::KEYCTL, trial::ADD_KEY, trial::REQUEST_KEY],
    ),
    probe(
        "personality",
        Severity::Low,
        "it can switch off address space randomization; personality(2)",
        &[trial::PERSONALITY],
    ),
    probe(
        "sockets",
        Severity::Medium,
        "AF_VSOCK reaches the hypervisor, AF_ALG the kernel's ciphers (CVE-2026-31431); vsock(7)",
        &[trial::SOCKET_VSOCK, trial::SOCKET_ALG],
    ),
];
