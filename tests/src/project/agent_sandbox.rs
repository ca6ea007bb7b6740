//! `examples/agent-sandbox.sh`: what it keeps out, tried line by line, and what it lets a build do.

use std::fs;

use crate::harness::need::{BUSYBOX, Need, PERL};
use crate::harness::row::Row;
use crate::harness::world::World;
use crate::nsenter::docker::{self, Docker};

const SANDBOX: &str = include_str!("../../../examples/agent-sandbox.sh");
const SCENE: &str = include_str!("agent_sandbox/scene.sh");
const SERVICE: &str = include_str!("agent_sandbox/service.pl");
/// Number, ways (N: with namespaces, L: with Landlock), command, and the proof that it has succeeded.
const TABLE: &str = include_str!("agent_sandbox/table");

const NEEDS: &[Need] = &[BUSYBOX, PERL, Need::UserNamespaces, Need::NetworkNamespaces];

/// The compiler is there wherever cargo can link.
const TO_BUILD: &[Need] = &[Need::Program("cc", "gcc"), Need::UserNamespaces, Need::NetworkNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("of fifty-four ways out of the sandbox for agents none leads out of it", NEEDS, |world| {
        let here = place(world, "agent-sandbox");
        let run = |way: &str, applies: &str| {
            let script = format!("export HERE={here} D=$(mktemp -d {here}/XXXXXX); set -- '{way}' {applies}; . {here}/scene.sh");
            world.sh(&script).succeeds().stdout
        };
        // The control: outside of the sandbox all succeed, also those that need a socket or another process.
        let control = run("control", "N");
        let all: Vec<_> = TABLE.lines().filter_map(|line| line.split('|').next()).collect();
        let succeeded: Vec<_> = control.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(succeeded, all, "{control}");
        assert_eq!(run("--namespaces", "N"), "");
        assert_eq!(run("--landlock", "L"), "");
    })
    .user_only()
    .host_only(),
    Row::new("in the sandbox for agents a project is built and tested", TO_BUILD, |world| {
        let here = place(world, "agent-sandbox-build");
        let script = format!(
            "mkdir -p {here}/home/proj/.git; cd {here}/home/proj; export HOME={here}/home LIMIT=x
             printf 'int twice(int n) {{ return 2 * n; }}\\n' >twice.c
             printf '#include <stdio.h>\\nint twice(int);\\nint main(void) {{ puts(twice(2) == 4 ? \"passed\" : \"failed\"); }}\\n' >test.c
             echo 'cc -c -o target/twice.o twice.c && cc -o target/test test.c target/twice.o && target/test >target/log && cat target/log && pwd && echo $LIMIT' >build
             for way in --namespaces --landlock; do
                sh {here}/agent-sandbox.sh $way --write target --env LIMIT -- sh ./build 2>err || cat err; ls target; rm -r target
             done
             sh {here}/agent-sandbox.sh -- sh -c 'exit 7'; echo $?
             sh {here}/agent-sandbox.sh --project / -- true 2>/dev/null; echo $?
             cd ..; sh {here}/agent-sandbox.sh -- true 2>/dev/null; echo $?; ls {here}"
        );
        let built = format!("passed\n{here}/home/proj\nx\nlog\ntest\ntwice.o\n");
        world.sh(&script).stdout_is(&format!("{built}{built}7\n125\n125\nagent-sandbox.sh\nhome\nscene.sh\nservice.pl\ntable\n"));
    })
    .user_only()
    .host_only(),
    Row::new("with --reach the sandbox for agents reaches one address outside, and no other", NEEDS, |world| {
        let here = place(world, "agent-sandbox-reach");
        let script = format!(
            "mkdir -p {here}/a {here}/b {here}/home/proj; export HOME={here}/home; cd {here}/home/proj
             perl {here}/service.pl {here}/a & A=$!; perl {here}/service.pl {here}/b & B=$!
             until [ -s {here}/a/ports ] && [ -s {here}/b/ports ]; do sleep 0.02; done
             read -r port rest <{here}/a/ports; read -r other rest <{here}/b/ports
             echo \"for n in $port $other; do timeout 5 busybox nc 127.0.0.1 \\$n || echo closed; done\" >look
             sh ./look
             for way in --namespaces --landlock; do sh {here}/agent-sandbox.sh $way --reach 127.0.0.1:$port -- sh ./look 2>/dev/null; done
             sh {here}/agent-sandbox.sh -- sh ./look 2>/dev/null
             for wrong in 127.0.0.1 :x a:b 1:2:y; do sh {here}/agent-sandbox.sh --reach $wrong -- true 2>/dev/null; echo $?; done
             kill $A $B; wait"
        );
        let (control, reached, none) = ("SECRET\nSECRET\n", "SECRET\nclosed\n", "closed\nclosed\n");
        world.sh(&script).stdout_is(&format!("{control}{reached}{reached}{none}125\n125\n125\n125\n"));
    })
    .user_only()
    .host_only(),
    Row::new("where Docker refuses namespaces, the sandbox for agents works by Landlock and says so", docker::NEEDS, |world| {
        let docker = Docker::start(world, "docker-agent");
        let here = place(world, "agent-sandbox-docker");
        let run = |user: &str, options: &str| {
            docker.client(&format!(
                "run --rm {user} -v {}:/tools:ro -v {here}:/here:ro --tmpfs /p suite:busybox /bin/sh -c \
                 'mkdir -p /p/proj/src /p/proj/.git; cd /p/proj; export HOME=/p PATH=/tools:$PATH; echo SECRET >/p/key; sh /here/agent-sandbox.sh {options} -- \
                 sh -c \"echo x >src/x && echo built; cat /p/key; echo x >.git/x; grep -E ^NoNew.\\|CapEff /proc/self/status\"; ls .git; ls -A /tmp'",
                world.tools.display()
            ))
        };
        for user in ["--user 1000:1000", ""] {
            let fallen_back = run(user, "");
            assert_eq!(fallen_back.stdout, "built\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n", "{fallen_back}");
            fallen_back.stderr_has("namespaces are refused here").stderr_has("unshare(").stderr_has("using Landlock");
        }
        let refused = run("", "--namespaces");
        assert_eq!(refused.stdout, "", "{refused}");
    })
    .root_only()
    .host_only(),
];

/// Writes the scripts into a directory.
fn place(world: &World, name: &str) -> String {
    let here = world.directory(name);
    for (name, text) in [("agent-sandbox.sh", SANDBOX), ("scene.sh", SCENE), ("service.pl", SERVICE), ("table", TABLE)]
    {
        fs::write(here.join(name), text).expect("a script");
    }
    here.display().to_string()
}
