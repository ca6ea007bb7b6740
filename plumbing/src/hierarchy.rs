//! Where the cgroup hierarchies are mounted, and joining a group from outside. `cgroups(7)`.
