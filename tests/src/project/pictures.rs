//! The pictures of `cgexec-rs --tree --svg` and `nsenter-rs --list --svg`: XML in which no name is markup.

use crate::harness::need::BASH;
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("cgexec-rs --tree --svg draws groups with a bar for a memory limit, and no group's name is markup", &[BASH], |world| {
        let script = "cgexec-rs --cgroup '/pictures/<b>&one' --memory 4M -- sleep 86470 & pid=$!
             for i in $(seq 500); do [ \"$(cat /proc/$pid/comm)\" = sleep ] && break; sleep 0.02; done
             cgexec-rs --cgroup /pictures --tree --svg
             kill $pid; wait $pid 2>/dev/null
             for i in $(seq 100); do cgexec-rs --cgroup /pictures --remove 2>/dev/null && exit; sleep 0.05; done; exit 1";
        let outcome = world.sh(script).succeeds();
        assert!(is_whole(&outcome.stdout), "{outcome}");
        assert!(outcome.stdout.contains(">&lt;b&gt;&amp;one</text>") && !outcome.stdout.contains("<b>"), "{outcome}");
        assert!(outcome.stdout.contains("class=\"bar\"") && outcome.stdout.contains("of 4M"), "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("nsenter-rs --list --svg draws the namespaces by owner, and no command line is markup", &[BASH], |world| {
        let script = "unshare-rs --map-root-user --uts -- bash -c 'exec -a \"<script>&\" sleep 86471' & pid=$!
             for i in $(seq 500); do [ \"$(cat /proc/$pid/comm)\" = sleep ] && break; sleep 0.02; done
             readlink /proc/$pid/ns/uts; nsenter-rs --list -p $pid --svg; kill $pid; wait $pid 2>/dev/null; true";
        let outcome = world.sh(script).succeeds();
        let (uts, picture) = outcome.stdout.split_once('\n').expect("two parts");
        let inode = uts.trim_start_matches("uts:[").trim_end_matches(']');
        assert!(is_whole(picture), "{outcome}");
        assert!(picture.contains(&format!(">uts {inode}</text>")), "{outcome}");
        assert!(picture.contains("&lt;script&gt;&amp; 86471") && !picture.contains("<script>"), "{outcome}");
        assert!(picture.contains("class=\"line\""), "the uts namespace belongs to the user namespace: {outcome}");
        world.sh("nsenter-rs --list --svg --json").fails_with(125);
    })
    .host_only(),
];

fn is_whole(picture: &str) -> bool {
    picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && picture.matches("<svg").count() == 1
}
