# What oci-runtime.sh wants to know of config.json, as assignments of the shell, and the documents that it prints. It runs
# once for each command; --arg of says for which. The specification's config.md and config-linux.md define the members.

def args: $ARGS.named;
def assign(name; value): "\(name)=\(value | @sh)";

# Also a hostile bundle is only data: what has a control character is refused, although @sh keeps each word in one piece.
def word: if explode | any(. < 32 or . == 127) then error("config.json has a control character in \(tojson)") else . end;

def new(kind): any(.linux.namespaces[]?; .type == kind and .path == null);
def own(kinds): . as $all | kinds | select(. as $kind | $all | new($kind)) | "--\(.)";

# Lines of shell code for the hooks of one kind. They get $state on stdin, and nothing but the environment that they name.
# $failed follows a hook that fails. Between env(1), which would take a path with = for a variable, and the program is a tool:
# chroot-rs gives the program its name, which docker's hooks need, and nsenter-rs brings it into the container.
def hooks($kind; $failed; through):
  def assignment: if test("^[^-=][^=]*=") then . else error("\(tojson) of a hook is no variable") end;
  def program: if startswith("/") then . else error("\(tojson) of a hook is no absolute path") end;
  [ .hooks[$kind][]?
    | [ (.timeout // empty | if . > 0 then "timeout", "-k", "1", tostring else error("a timeout of a hook is \(.)") end),
        "env", "-i", "--", (.env[]? | assignment) ] as $begin
    | (.args[0]? // .path) as $name
    | [ (.path | program), .args[1:][]? ] as $program
    | "printf %s \"$state\" | \($begin | @sh) \($name | through) \($program | @sh) >&2 || \($failed)" ] | join("\n");
def hooks($kind; $failed):
  hooks($kind; $failed; [args.chroot, "--keep-root", "--allow-new-privs", "--argv0=\(.)", "--"] | @sh);

def asks:
  if type == "object" or type == "array" then any(.[]; asks)
  else . as $value | all(null, 0, -1, false, ""; . != $value) end;

# cgexec-rs only warns of a member that it does not know.
def check_limits:
  { memory: "limit swap reservation kernel kernelTCP swappiness disableOOMKiller useHierarchy checkBeforeUpdate",
    cpu: "shares quota period burst realtimeRuntime realtimePeriod cpus mems idle", pids: "limit",
    blockIO: "weight leafWeight weightDevice throttleReadBpsDevice throttleWriteBpsDevice throttleReadIOPSDevice throttleWriteIOPSDevice",
    network: "classID priorities", hugepageLimits: null, rdma: null, unified: null, devices: null } as $known
  | [ to_entries[] | .key as $of
      | if $known[$of] and (.value | type == "object") then .value | to_entries[] | .member = .key | .key = "\($of).\(.key)" else . end
      | select(.value | asks)
      | select(if .member then .member as $member | $known[$of] / " " | index($member) else $known | has($of) end | not)
      | .key | tojson ] as $others
  | if $others != [] then error("nothing here keeps the limits \($others | join(", ")) of linux.resources") else . end;

# Where the cgroup is: /PATH, or SLICE:PREFIX:NAME, the place where systemd would make it.
def cgroup_path:
  (.linux.cgroupsPath // "") | word
  | if . == "" then ""
    elif test("^[^:/]*:[^:/]*:[^:/]+$") then split(":") as [$slice, $prefix, $unit]
      | (if $slice == "" then "system.slice" elif $slice == "-.slice" then "" else $slice end | rtrimstr(".slice") | split("-")) as $names
      | [ range(1; $names | length + 1) as $n | "/\($names[:$n] | join("-")).slice" ] + ["/\($prefix)\(if $prefix == "" then "" else "-" end)\($unit).scope"] | add
    elif startswith("/") then . else "/\(.)" end
  | if split("/") | any(. == ".." or . == ".") then error("cgroupsPath \(tojson) has a .. or a . in it") else . end;

def id_map($option; $ranges; $own):
  # Without a map, the caller is root, as under crun. A user may map its own id only like this.
  if new("user") and ($ranges // []) == [] then if $own == 0 then "--map-\($option)s=0:0:1" else "--map-\($option)=0" end
  elif $own != 0 and ($ranges | length == 1) and $ranges[0].size == 1 and $ranges[0].hostID == $own
  then "--map-\($option)=\($ranges[0].containerID)"
  else $ranges[]? | "--map-\($option)s=\(.containerID):\(.hostID):\(.size)" end;
def join_options:
  [ .linux.namespaces[]? | select(.path != null)
    | if .type as $kind | all("user", "mount", "pid", "ipc", "uts", "cgroup", "time", "network"; . != $kind)
      then error("\(.type | tojson) is no kind of namespace")
      elif .path | type != "string" or (startswith("/") | not) then error("\(.path | tojson) is no absolute path")
      else "--\({network: "net"}[.type] // .type)=\(.path)" end ];

# The tools and their options. A value is in one word with its option.
def chain($cgroup; $limited):
  join_options as $joined
  | (if new("network") then ["netns-rs", "exec", "--new", "--error-fd=8", "--"] else [] end) as $network
  | (if $limited or $cgroup != "" then "cgexec-rs", "--error-fd=8" else empty end),
    (if $limited then "--oci=\(args.dir)/config.json" else empty end),
    (if $cgroup != "" then "--cgroup=\($cgroup)" else empty end),
    (if $limited or $cgroup != "" then "--" else empty end),
    (if $joined != [] then "nsenter-rs", "--error-fd=8", $joined[], "--no-fork", "--preserve-fds=6", "--" else empty end),
    (if new("user") then empty else $network[] end),
    "unshare-rs", "--error-fd=8", "--fork", (if args.detach then "--detach" else empty end), "--pid-file=\(args.dir)/pid",
    own("user", "pid", "time"),
    id_map("user"; .linux.uidMappings; args.uid), id_map("group"; .linux.gidMappings; args.gid),
    # The user namespace first: its root then owns the others, and the files that are made for the container.
    (if new("user") then "--setuid=0", "--setgid=0", "--", $network[], "unshare-rs", "--error-fd=8" else empty end),
    own("mount", "ipc", "uts", "cgroup"),
    # chroot-rs makes the mounts private, except those that the bundle shares with the host.
    (if new("mount") then "--propagation=unchanged" else empty end),
    (if new("uts") and .hostname != null then "--hostname=\(.hostname)" else empty end);

def create:
  args as $args
  | (.linux.resources // {} | check_limits | if $args.first then . else del(.devices?) end) as $limits
  | ($limits | if .cpu.shares? == 1024 then del(.cpu.shares) else . end | asks) as $limited
  | (if $args.uid == 0 and $args.first then cgroup_path else "" end) as $cgroup
  | [ chain($cgroup; $limited) | word ] as $tools
  | "echo made >&3; read -r state <&6; [ \"$state\" ] || exit 125; { eval \"$1\"; } 2>&8; shift; exec \"$@\" 6<&-" as $wait
  | (if $args.uid == 0 then "--like-target" else "--like-target-try" end) as $like
  | { ociVersion: (.ociVersion // "1.0.2"), bundle: $args.bundle, created: $args.now, owner: "", annotations: (.annotations // {}),
      rootfs: (.root.path // "" | if startswith("/") then . else "\($args.bundle)/\(.)" end) } as $about
  | assign("words"; $tools + ["--", "sh", "-c", $wait, "sh", hooks("createContainer"; "exit 125"),
      "chroot-rs", "--oci=\($args.bundle)", "--config-fd=4", "--hooks-by-caller", "--ready-fd=3", "--block-fd=5", "--error-fd=8"] | [.[] | @sh] | join(" ")),
    assign("hooks_before"; [hooks("prestart"; "return 1"), hooks("createRuntime"; "return 1")] | join("\n")),
    assign("hooks_start"; hooks("startContainer"; "return 1"; "\"$nsenter\" --target \"$pid\" --all \($like) --")),
    assign("hooks_poststart"; hooks("poststart"; "warn_of_hook poststart")),
    assign("hooks_poststop"; hooks("poststop"; "warn_of_hook poststop")),
    assign("about"; $about | tojson | .[1:-1]),
    assign("bundle"; $args.bundle),
    assign("cgroup"; $cgroup),
    assign("terminal"; .process.terminal // false | tostring),
    assign("limits"; if $limited then {ociVersion: "1.2.1", linux: {resources: $limits}} | tojson else "" end);

# The process of `exec`, as the member "process" of a container record; docs/record.md.
def kept:
  with_entries(select(.value != null));
def process_of($linux):
  { uid: (.user.uid // 0), gid: (.user.gid // 0), groups: (.user.additionalGids // []), umask: .user.umask,
    capability_sets: ([ "bounding", "permitted", "effective", "inheritable", "ambient" ] as $sets | .capabilities as $given
      | [ $sets[] | {key: ., value: ($given[.]? // [])} ] | from_entries),
    no_new_privs: (.noNewPrivileges // false), oom_score_adj: .oomScoreAdj,
    rlimits: [ .rlimits[]? | map_values(if type == "number" and . >= 18446744073709549568 then null else . end) ],
    scheduler: .scheduler, io_priority: .ioPriority, personality: $linux.personality.domain,
    apparmor_profile: (.apparmorProfile | if . == "" then null else . end),
    selinux_label: (.selinuxLabel | if . == "" then null else . end),
    seccomp: $linux.seccomp, cwd: .cwd, env: ((.env // []) | if any(startswith("HOME=")) then . else . + ["HOME=/"] end),
    own_pipes: true, default_signals: true, session_keyring: true, new_session: true } | kept;

def exec:
  args as $args | (.linux // {}) as $linux
  | ($args.process[0] // (.process
      | .env += ($args.env / "\n" | map(select(. != "")))
      | if $args.cwd != "" then .cwd = $args.cwd else . end
      | if $args.user != "" then .user = ($args.user / ":" | {uid: (.[0] | tonumber), gid: (.[1] // "0" | tonumber)}) else . end
      | ($args.cap | [splits("[\n,]")] | map(select(. != ""))) as $more
      | if $more != [] then .capabilities |= reduce ("bounding", "permitted", "effective") as $set (.; .[$set] = (.[$set] + $more | unique)) else . end
      | if $args.apparmor != "" then .apparmorProfile = $args.apparmor else . end
      | if $args.label != "" then .selinuxLabel = $args.label else . end
      | if $args.no_new_privs != "" then .noNewPrivileges = true else . end
      | .args = [] | .terminal = ($args.tty != ""))) as $process
  | { record: 1, name: $args.id, init: {pid: $args.pid, start_time: $args.start, boot_id: $args.boot}, namespaces: {},
      process: ($process | process_of($linux)) } as $record
  | assign("record"; $record | tojson),
    assign("terminal"; $process.terminal // false | tostring),
    assign("words"; [ $process.args[]? | @sh ] | join(" "));

def update:
  {ociVersion: "1.2.1", linux: {resources: check_limits}};

def stats:
  . as $use
  | { type: "stats", id: args.id, data: {
      cpu: {usage: {total: (($use.cpu.usage_usec // 0) * 1000)}},
      memory: {usage: {usage: $use.memory.current, limit: $use.memory.max, max: $use.memory.peak} | kept},
      pids: ($use.pids // {} | {current, limit: .max} | kept) } };

def features:
  { ociVersionMin: "1.0.0", ociVersionMax: "1.2.1",
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions: (("bind rbind ro rw rro rrw suid nosuid rsuid rnosuid dev nodev rdev rnodev exec noexec rexec rnoexec sync async "
      + "dirsync mand nomand atime noatime ratime rnoatime diratime nodiratime rdiratime rnodiratime relatime norelatime "
      + "rrelatime rnorelatime strictatime nostrictatime rstrictatime rnostrictatime symfollow nosymfollow rsymfollow "
      + "rnosymfollow private rprivate shared rshared slave rslave unbindable runbindable tmpcopyup idmap ridmap") / " "),
    linux: {
      namespaces: ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
      cgroup: {v1: true, v2: true, systemd: false, systemdUser: false, rdma: true},
      seccomp: {enabled: true, actions: ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"]},
      apparmor: {enabled: true}, selinux: {enabled: true}, intelRdt: {enabled: false},
      mountExtensions: {idmap: {enabled: true}} } };

def spec:
  ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"] as $few
  | def mount($at; $kind; $options): {destination: $at, type: $kind, source: $kind, options: ($options / ",")};
  { ociVersion: "1.2.1",
    process: { terminal: false, user: {uid: 0, gid: 0}, args: ["sh"], cwd: "/", noNewPrivileges: true,
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      capabilities: {bounding: $few, effective: $few, permitted: $few},
      rlimits: [{type: "RLIMIT_NOFILE", hard: 1024, soft: 1024}] },
    root: {path: "rootfs", readonly: true}, hostname: "oci",
    mounts: [ mount("/proc"; "proc"; "nosuid,noexec,nodev"), mount("/dev"; "tmpfs"; "nosuid,strictatime,mode=755,size=65536k"),
      mount("/dev/pts"; "devpts"; "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
      mount("/dev/shm"; "tmpfs"; "nosuid,noexec,nodev,mode=1777,size=65536k"), mount("/dev/mqueue"; "mqueue"; "nosuid,noexec,nodev"),
      mount("/sys"; "sysfs"; "nosuid,noexec,nodev,ro") ],
    linux: { resources: {devices: [{allow: false, access: "rwm"}]},
      namespaces: [ "pid", "network", "ipc", "uts", "mount", "cgroup" | {type: .} ],
      maskedPaths: ([ "acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi" | "/proc/\(.)" ] + ["/sys/firmware"]),
      readonlyPaths: [ "bus", "fs", "irq", "sys", "sysrq-trigger" | "/proc/\(.)" ] } };

if args.of == "create" then create elif args.of == "exec" then exec elif args.of == "stats" then stats
elif args.of == "update" then update elif args.of == "features" then features else spec end
