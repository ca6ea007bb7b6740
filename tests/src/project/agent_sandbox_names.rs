//! `examples/agent-sandbox.sh`: what a command leaves in its project, or changes while the next sandbox starts, decides
//! nothing about that sandbox.

use std::fs;

use crate::harness::need::{Need, PERL};
use crate::harness::row::Row;
use crate::harness::world::World;

const SANDBOX: &str = include_str!("../../../examples/agent-sandbox.sh");

const NEEDS: &[Need] = &[PERL, Need::UserNamespaces, Need::NetworkNamespaces];

/// A program in front of `chroot-rs` that changes the project before a sandbox is made for a command with the word "look":
/// that is after the script has looked at all names.
const SWAP: &str = r#"#!/bin/sh
case "$*" in *look*) [ -L $P/src ] || { mv $P/.d $P/.old; ln -s $H/.ssh $P/.d; mv $P/src $P/old; ln -s $H $P/src; };; esac
exec $TOOLS/chroot-rs "$@"
"#;

/// A program in front of `unshare-rs` that refuses namespaces with the error in `$ERROR`.
const REFUSE: &str = r#"#!/bin/sh
case "$*" in *--map-current-user*) echo "unshare-rs: cannot create namespaces: unshare(CLONE_NEWUSER): $ERROR (text)" >&2; exit 125;; esac
exec $TOOLS/unshare-rs "$@"
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("no name that a command leaves in its project makes the sandbox for agents fall back to Landlock", NEEDS, |world| {
        let names = r"for name in '.x\' '.a:b' '.c\:d' '.e
' '.f
g'; do : >./$name; done".replace("./$name", "\"./$name\"");
        let run = |before: &str| {
            let script = format!(
                "{names}; echo old >$H/seen; {before} sandbox -- sh -c 'test -e ../seen && echo outside; for f in .[a-z]*; do echo x >>\"$f\"; done 2>/dev/null; echo ran'
                 echo $?; grep -c 'using Landlock' $D/err; cat .[a-z]* | wc -c"
            );
            at(world, "agent-sandbox-names", &script)
        };
        run("").stdout_is("ran\n0\n0\n0\n");
        // Controls: a system that refuses namespaces, which is what the fallback is for, and one that lacks something.
        run("export ERROR=EPERM PATH=$D/refuse:$PATH;").stdout_is("outside\nran\n0\n1\n0\n");
        run("export ERROR=EAGAIN PATH=$D/refuse:$PATH;").stdout_is("125\n0\n0\n");
    })
    .user_only()
    .host_only(),
    Row::new("a name that is swapped for a link while the sandbox for agents starts leads nowhere", NEEDS, |world| {
        let script = "for way in --namespaces --landlock ''; do
                rm -rf .d .old src old; mkdir .d src; echo plain >.d/id; echo plain >src/file
                (export PATH=$D/swap:$PATH; sandbox $way -- sh -c ': look; cat .d/id src/.ssh/id; echo x >>src/.bashrc; echo ran'); echo $?
                readlink src >/dev/null && echo swapped; cat $H/.bashrc
            done
            # Controls: without the swap it runs; a tool that follows links shows what they lead to.
            rm -rf .d src; mkdir .d src; echo plain >.d/id; sandbox --landlock -- sh -c 'cat .d/id; echo ran'; rm -r .d src
            ln -s $H src; chroot-rs --keep-root --landlock ro:/ --landlock-rw src -- sh -c 'cat src/.ssh/id; echo x >>src/.bashrc'; cat $H/.bashrc
            chroot-rs --keep-root --landlock ro:/ --landlock-rw src --landlock-nofollow -- cat src/.ssh/id 2>&1";
        let refused = "125\nswapped\nold\n";
        at(world, "agent-sandbox-swap", script)
            .stdout_has(&format!("{refused}{refused}{refused}plain\nran\nSECRET\nold\nx\nchroot-rs: cannot allow access below src: openat2("));
    })
    .user_only()
    .host_only(),
    Row::new("the sandbox for agents refuses links with a dot, and directories that the command can change", NEEDS, |world| {
        let script = "mkdir sub $H/lib $H/deep; echo lib >$H/lib/file; echo old >sub/envrc; echo old >.plain; ln -s sub/envrc .envrc; ln -s ../none .git
            for way in --namespaces --landlock; do
                sandbox $way -- sh -c 'echo evil >.envrc'; echo $?; cat sub/envrc
                sandbox $way --allow-links -- sh -c 'echo evil >.envrc && echo written; echo evil >.plain'; cat .plain; echo old >sub/envrc
            done
            grep -c 'is a link, which cannot be protected' $D/err; rm -f .envrc .git; ln -s $H/.ssh sub/out
            for wrong in '--ro sub' '--ro .' '--ro sub/out' '--ro sub/../../lib' \"--ro $P/sub/out\" '--ro none' \"--project $H\" \"--project $D\" '--project ../none'; do
                sandbox $wrong -- cat $P/sub/out/id; echo $?
            done
            (cd ..; mv proj 'proj\\'; cd 'proj\\'; sandbox -- echo ran; echo $?; cd ..; mv 'proj\\' proj)
            (cd ..; ln -s proj alias; sandbox --project alias --ro alias/sub/out -- cat $P/sub/out/id; echo $?)
            mkdir tmp; TMPDIR=$P/tmp sandbox --landlock -- true; echo $?
            # Controls.
            for way in --namespaces --landlock; do sandbox $way --ro ../lib -- cat $H/lib/file; done
            HOME=/ sandbox -- sh -c 'echo $HOME; touch $HOME/file && ls $HOME'";
        let refused = "125\nold\nwritten\nold\n";
        at(world, "agent-sandbox-links", script).stdout_is(&format!(
            "{refused}{refused}2\n{}lib\nlib\n/tmp/home\nfile\n",
            "125\n".repeat(12)
        ));
    })
    .user_only()
    .host_only(),
];

/// Runs a script in the project of a new home directory; `sandbox` is the script with its messages in `$D/err`.
fn at(world: &World, name: &str, script: &str) -> crate::harness::script::Outcome {
    let here = world.directory(name);
    for (name, text) in [("swap/chroot-rs", SWAP), ("refuse/unshare-rs", REFUSE), ("agent-sandbox.sh", SANDBOX)] {
        let file = here.join(name);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(&file, text).expect("a script");
    }
    world.sh(&format!(
        "export D={}; export H=$D/home P=$D/home/proj HOME=$D/home; chmod 755 $D/swap/* $D/refuse/*
         sandbox() {{ sh $D/agent-sandbox.sh \"$@\" 2>>$D/err; }}
         rm -rf $H $D/err; mkdir -p $H/.ssh $P; echo SECRET >$H/.ssh/id; echo old >$H/.bashrc; cd $P
         {script}",
        here.display()
    ))
}
