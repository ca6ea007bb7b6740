//! The program that makes the connections: which one, its command line, and its start. `passt(1)`, `slirp4netns(1)`.
//!
//! It gets the network namespace as a descriptor: a pid would mean another process in the program's pid namespace, and
//! pasta gives up the right to open the namespaces of a process of root.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, execve};
use plumbing::fault::IntoErrno;
use plumbing::kernel::{Cloned, call, exit_now, fork, look, own, place};
use plumbing::process::environment::Environment;
use plumbing::process::namespace::Kind;
use plumbing::process::target::is_in_first_namespace;
use plumbing::process::{chain, inherited};
use plumbing::{Fault, narrate};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{GOAL, Tap};
use crate::netlink::Netlink;
use crate::{address, link, namespace};

const PAUSE: Duration = Duration::from_millis(5);

/// A program, and where it is.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    is_pasta: bool,
}

/// A program that was started.
pub struct Begun {
    /// Its pid.
    pub pid: i32,
    log: OwnedFd,
}

impl Program {
    /// Finds pasta in PATH, or else slirp4netns.
    pub fn find(tap: &Tap) -> Result<Program, Fault> {
        let environment = Environment::inherited();
        let path = environment.get("PATH").unwrap_or(OsStr::new("/usr/bin:/bin"));
        let find = |name: &str| std::env::split_paths(path).map(|place| place.join(name)).find(|path| path.is_file());
        let needs_pasta = !tap.published.is_empty();
        match (find("pasta"), find("slirp4netns")) {
            (Some(path), _) => Ok(Program { path, is_pasta: true }),
            (None, Some(_)) if needs_pasta => {
                Err(Fault::new(format!("cannot {GOAL}: it is not in PATH, and slirp4netns does not publish ports"))
                    .with_remedy(
                        "install pasta (package passt), or leave out --pasta: then a relay publishes TCP ports",
                    ))
            }
            (None, Some(path)) => Ok(Program { path, is_pasta: false }),
            (None, None) => Err(Fault::new(format!("cannot {GOAL}: neither pasta nor slirp4netns is in PATH"))
                .with_remedy("install pasta (package passt), or slirp4netns (package slirp4netns)")),
        }
    }

    /// Returns the words of its command line.
    pub fn words(&self, tap: &Tap, namespace: &str) -> Vec<String> {
        let mtu = |option: &str| tap.mtu.iter().map(|mtu| format!("{option}{mtu}")).collect::<Vec<_>>();
        let plain = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        if !self.is_pasta {
            let fixed = plain(&["slirp4netns", "--configure", "--disable-host-loopback", "--netns-type=path"]);
            return [fixed, mtu("--mtu="), plain(&[namespace, &tap.interface])].concat();
        }
        // No port but those that are asked for; nothing inside leads to the host's 127.0.0.1.
        let mut words = plain(&["pasta", "-f", "-q", "--config-net", "--no-map-gw", "-T", "none", "-U", "none"]);
        for (option, is_udp) in [("-t", false), ("-u", true)] {
            let ports: Vec<_> = tap.published.iter().filter(|port| port.is_udp == is_udp).collect();
            if ports.is_empty() {
                words.extend(plain(&[option, "none"]));
            }
            for port in ports {
                let ip = port.ip.map(|ip| format!("{ip}/")).unwrap_or_default();
                words.extend([option.to_owned(), format!("{ip}{}:{}", port.host, port.inside)]);
            }
        }
        words.extend(mtu("--mtu="));
        // Root of the host would become nobody, who may not enter the namespace.
        if is_in_first_namespace(Kind::User) == Some(true) && rustix::process::geteuid().is_root() {
            words.extend(plain(&["--runas", "0"]));
        }
        words.extend(plain(&["-I", &tap.interface, "--netns-only", "--netns", namespace]));
        words
    }

    /// Starts it for a network namespace. A dry run only narrates it.
    pub fn begin(&self, words: &[String], container: BorrowedFd<'_>) -> Result<Begun, Fault> {
        // Nobody reads it once the interface is there, and the program must not wait for that.
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (log, to_log) = own(GOAL, "pipe2(O_CLOEXEC|O_NONBLOCK)", || pipe_with(flags))?;
        match fork(GOAL, "a process for the program")? {
            Cloned::Child => match self.execute(words, container, &to_log) {
                Ok(()) => Ok(Begun { pid: 0, log }),
                Err(fault) => exit_now(fault.report(narrate::tool())),
            },
            Cloned::Parent { pid, .. } => Ok(Begun { pid, log }),
        }
    }

    fn execute(&self, words: &[String], container: BorrowedFd<'_>, log: &OwnedFd) -> Result<(), Fault> {
        let why = "it connects what leaves by the interface inside, as any program of this user could; passt(1)";
        call(GOAL, chain::execve_text(&self.path, words), why, || {
            let c_string = |word: &OsStr| CString::new(word.as_bytes()).map_err(|_| Errno::EINVAL);
            let argv = words.iter().map(|word| c_string(OsStr::new(word))).collect::<Result<Vec<_>, _>>()?;
            let path = c_string(self.path.as_os_str())?;
            fcntl_setfd(container, FdFlags::empty()).map_err(IntoErrno::into_errno)?;
            inherited::hand_on();
            // A guardian blocks them all.
            SigSet::empty().thread_set_mask()?;
            // Last: from here on, what we print is read as the program's log.
            [1, 2].into_iter().try_for_each(|number| place(log, number))?;
            execve(&path, &argv, Environment::inherited().entries()).map(|_| ())
        })
    }
}

impl Begun {
    /// Waits until the interface has an address; a fault if the program ends before.
    pub fn wait_for_interface(&self, tap: &Tap, container: BorrowedFd<'_>, patience: Duration) -> Result<(), Fault> {
        namespace::enter(container, "the container's", "to see when its interface is there")?;
        let netlink = Netlink::route()?;
        let deadline = Instant::now() + patience;
        loop {
            let made = link::find(&netlink, &tap.interface)?.filter(|link| link.is_up);
            if let Some(link) = made
                && address::list(&netlink)?
                    .iter()
                    .any(|(index, own)| *index == link.index && !address::is_automatic(own.ip))
            {
                return Ok(());
            }
            let ended =
                look(GOAL, "waitpid(WNOHANG)", || waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)))?;
            if ended != WaitStatus::StillAlive || Instant::now() >= deadline {
                return Err(Fault::new(format!("cannot {GOAL}: it has made no interface: {}", self.last_words())));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns the last line of the log.
    fn last_words(&self) -> String {
        let mut text = vec![0; 64 << 10];
        let length = rustix::io::read(&self.log, &mut text[..]).unwrap_or_default();
        let text = OsString::from(String::from_utf8_lossy(&text[..length]).into_owned());
        let text = text.to_string_lossy();
        // pasta complains for each message that no system log exists.
        let lines = || text.lines().filter(|line| !line.is_empty() && !line.contains("to syslog"));
        lines().next_back().unwrap_or("it printed nothing").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Published;

    #[test]
    fn only_the_ports_asked_for_are_published() {
        let published = ["8080:80", "127.0.0.1:53:5353/udp"].map(|text| Published::parse(text).unwrap()).to_vec();
        let tap = Tap { interface: "eth0".to_owned(), published, mtu: Some(1400) };
        let words = |is_pasta, tap: &Tap| Program { path: PathBuf::new(), is_pasta }.words(tap, "/n").join(" ");
        let pasta = words(true, &tap).replace(" --runas 0", "");
        assert_eq!(
            pasta,
            "pasta -f -q --config-net --no-map-gw -T none -U none -t 8080:80 -u 127.0.0.1/53:5353 --mtu=1400 -I eth0 \
             --netns-only --netns /n"
        );
        let none = words(true, &Tap { interface: "tap0".to_owned(), ..Tap::default() });
        assert!(none.contains(" -t none -u none "), "{none}");
        let slirp = "slirp4netns --configure --disable-host-loopback --netns-type=path --mtu=1400 /n eth0";
        assert_eq!(words(false, &tap), slirp);
    }
}
