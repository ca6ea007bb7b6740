//! A comparison of the short way with clap, for the tests of the tools, on lines generated from what they declare.

use std::ffi::OsString;
use std::fmt::Debug;

use clap::Parser;

use super::{Ordinary, read};
use crate::command_line::options::command;

/// Words that are values of some option, or of none, or that only look like options.
const WORDS: [&str; 27] = [
    "0",
    "1",
    "4242",
    "-1",
    "256M",
    "max",
    "50%",
    "/",
    "/tmp",
    "./a=b",
    "memory:/x",
    "0:0:1",
    "auto",
    "all",
    "1000:1000",
    "KILL",
    "TERM",
    "private",
    "slave",
    "allow",
    "deny",
    "docker",
    "none",
    "",
    "-",
    "--",
    "a,b",
];
const LINES: u32 = 12_000;
const LONGEST: u32 = 7;

/// Returns how many of the generated lines the short way read, and clap in the same way; or the first line that clap
/// read differently.
pub fn disagreement<O: Parser + Ordinary + Debug>() -> Result<u32, String> {
    let command = command::<O>();
    let mut words: Vec<String> = WORDS.map(str::to_owned).to_vec();
    let subcommands: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let mut options = Vec::new();
    for arg in command.get_subcommands().chain([&command]).flat_map(clap::Command::get_arguments) {
        options.extend(arg.get_long_and_visible_aliases().into_iter().flatten().map(|name| format!("--{name}")));
        options.extend(arg.get_short().map(|letter| format!("-{letter}")));
    }
    words.extend(options.iter().flat_map(|option| WORDS.map(|value| format!("{option}={value}"))));
    words.extend(options.iter().map(|option| option[..option.len() - 1].to_owned()));
    let letters: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_short).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut read_by_both = 0;
    for _ in 0..LINES {
        let mut line = vec![OsString::from("tool")];
        if !subcommands.is_empty() && dice.below(8) > 0 {
            line.push(dice.pick(&subcommands).into());
        }
        for _ in 0..dice.below(LONGEST) {
            line.push(match dice.below(8) {
                0..4 => dice.pick(&options).into(),
                4 if !letters.is_empty() => format!("-{}{}", dice.pick(&letters), dice.pick(&letters)).into(),
                5..7 => dice.pick(&WORDS).into(),
                _ => dice.pick(&words).into(),
            });
        }
        let Some(short) = read::<O>(&line) else { continue };
        let long = command.clone().try_get_matches_from(&line).and_then(|matches| O::from_arg_matches(&matches));
        let long = long.map(|options| format!("{options:?}")).map_err(|error| error.to_string());
        if long != Ok(format!("{short:?}")) {
            return Err(format!("{line:?}: clap reads {long:?}, the short way {short:?}"));
        }
        read_by_both += 1;
    }
    Ok(read_by_both)
}

/// Returns those of these lines that the short way leaves to clap: lines that have to be fast should not be among them.
pub fn left_to_clap<'a, O: Ordinary>(lines: &[&'a str]) -> Vec<&'a str> {
    let words = |line: &str| -> Vec<OsString> { line.split(' ').map(OsString::from).collect() };
    lines.iter().copied().filter(|line| read::<O>(&words(line)).is_none()).collect()
}

/// A generator that yields the same numbers each time, so that a failure can be reproduced.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32 % limit
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize].clone()
    }
}
