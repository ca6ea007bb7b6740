//! The lines, their order, and which line is below which; `lsns(8)`.
//!
//! The default tree follows processes: a namespace is below the last line of the parent of its first process. In the
//! trees of owners and parents an ancestor comes before its descendants, whether it was asked for or not.

use std::collections::HashMap;

/// The relation that a tree shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Process,
    Parent,
    Owner,
}

impl Relation {
    /// Parses the value of `--tree`.
    pub(crate) fn read(word: &str) -> Result<Relation, String> {
        match word {
            "process" => Ok(Relation::Process),
            "parent" => Ok(Relation::Parent),
            "owner" => Ok(Relation::Owner),
            _ => Err("valid values: process, parent, owner".to_owned()),
        }
    }
}

/// A line: a namespace, and a process in it if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) namespace: u64,
    pub(crate) pid: Option<i32>,
    /// The index of the line above it in the tree.
    pub(crate) above: Option<usize>,
}

/// A line at its place in a tree or list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) line: Line,
    /// The distance from the root of its tree.
    pub(crate) depth: usize,
    /// Whether it is the last of its siblings.
    pub(crate) is_last: bool,
}

/// The relations between namespaces and between processes, as far as they are known.
pub(crate) trait Relations {
    /// Returns the parent of this process.
    fn parent_process(&self, pid: i32) -> Option<i32>;
    /// Returns the parent or the owner of this namespace.
    fn relative(&self, namespace: u64, relation: Relation) -> Option<u64>;
    /// Returns the first process in this namespace.
    fn first_process(&self, namespace: u64) -> Option<i32>;
    /// Returns whether the filter accepts this line.
    fn is_wanted(&self, namespace: u64, pid: Option<i32>) -> bool;
}

/// The lines that were added so far.
pub(crate) struct Lines<'a, K> {
    facts: &'a K,
    tree: Option<Relation>,
    lines: Vec<Line>,
    of_process: HashMap<i32, usize>,
    of_namespace: HashMap<u64, usize>,
}

impl<'a, K: Relations> Lines<'a, K> {
    /// Returns an empty list.
    pub(crate) fn new(facts: &'a K, tree: Option<Relation>) -> Self {
        Lines { facts, tree, lines: Vec::new(), of_process: HashMap::new(), of_namespace: HashMap::new() }
    }

    /// Adds a line for a namespace, after lines for the ancestors that the tree shows above it.
    pub(crate) fn add_namespace(&mut self, namespace: u64) {
        if self.of_namespace.contains_key(&namespace) {
            return;
        }
        // Innermost first. A loop cannot exist, but excluding it costs nothing.
        let mut chain = vec![namespace];
        while let Some(ancestor) = chain.last().and_then(|last| self.ancestor(*last)) {
            if self.of_namespace.contains_key(&ancestor) || chain.contains(&ancestor) {
                break;
            }
            chain.push(ancestor);
        }
        for namespace in chain.into_iter().rev() {
            self.add(namespace, self.facts.first_process(namespace));
        }
    }

    /// Adds a line for a process in a namespace, after lines for its ancestors there.
    pub(crate) fn add_process(&mut self, namespace: u64, pid: i32, is_in: impl Fn(i32) -> bool) {
        let mut chain = vec![pid];
        while let Some(parent) = chain.last().and_then(|last| self.facts.parent_process(*last)) {
            let is_above = self.tree == Some(Relation::Process) && is_in(parent);
            if !is_above || self.of_process.contains_key(&parent) || chain.contains(&parent) {
                break;
            }
            chain.push(parent);
        }
        for pid in chain.into_iter().rev() {
            if !self.of_process.contains_key(&pid) {
                self.add(namespace, Some(pid));
            }
        }
    }

    fn ancestor(&self, namespace: u64) -> Option<u64> {
        match self.tree? {
            Relation::Process => None,
            Relation::Owner => self.facts.relative(namespace, Relation::Owner),
            // A namespace without a parent comes after its owner, though not below it.
            Relation::Parent => self
                .facts
                .relative(namespace, Relation::Parent)
                .or_else(|| self.facts.relative(namespace, Relation::Owner)),
        }
    }

    fn add(&mut self, namespace: u64, pid: Option<i32>) {
        if !self.facts.is_wanted(namespace, pid) {
            return;
        }
        let above = match self.tree {
            None => None,
            Some(Relation::Process) => pid
                .and_then(|pid| self.facts.parent_process(pid))
                .and_then(|parent| self.of_process.get(&parent).copied()),
            Some(relation) => {
                self.facts.relative(namespace, relation).and_then(|relative| self.of_namespace.get(&relative).copied())
            }
        };
        let index = self.lines.len();
        self.lines.push(Line { namespace, pid, above });
        self.of_namespace.insert(namespace, index);
        if let Some(pid) = pid {
            self.of_process.insert(pid, index);
        }
    }

    /// Returns the lines without a tree, in the order in which they were added.
    pub(crate) fn flat(self) -> Vec<Drawn> {
        self.lines.into_iter().map(|line| Drawn { line, depth: 0, is_last: true }).collect()
    }

    /// Returns the lines as a tree, from the top down.
    pub(crate) fn drawn(self) -> Vec<Drawn> {
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); self.lines.len()];
        for (index, line) in self.lines.iter().enumerate() {
            if let Some(above) = line.above {
                below[above].push(index);
            }
        }
        let roots = (0..self.lines.len()).rev().filter(|index| self.lines[*index].above.is_none());
        let mut next: Vec<_> = roots.map(|index| (index, 0, true)).collect();
        let mut drawn = Vec::with_capacity(self.lines.len());
        while let Some((index, depth, is_last)) = next.pop() {
            let children = below[index].iter().rev().enumerate();
            next.extend(children.map(|(turn, child)| (*child, depth + 1, turn == 0)));
            drawn.push(Drawn { line: self.lines[index], depth, is_last });
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User namespaces 1 and 2 (below 1); network namespaces 3 (of 1) and 4 (of 2); process 10 in 1 and 3, its child 20
    /// in 2 and 4.
    struct Family;

    impl Relations for Family {
        fn parent_process(&self, pid: i32) -> Option<i32> {
            (pid == 20).then_some(10)
        }

        fn relative(&self, namespace: u64, relation: Relation) -> Option<u64> {
            match (namespace, relation) {
                (2, _) | (3, Relation::Owner) => Some(1),
                (4, Relation::Owner) => Some(2),
                _ => None,
            }
        }

        fn first_process(&self, namespace: u64) -> Option<i32> {
            Some(if namespace % 2 == 1 { 10 } else { 20 })
        }

        fn is_wanted(&self, _: u64, _: Option<i32>) -> bool {
            true
        }
    }

    fn drawn(tree: Option<Relation>, order: &[u64]) -> Vec<(u64, usize)> {
        let mut lines = Lines::new(&Family, tree);
        order.iter().for_each(|namespace| lines.add_namespace(*namespace));
        lines.drawn().iter().map(|drawn| (drawn.line.namespace, drawn.depth)).collect()
    }

    #[test]
    fn an_owner_comes_before_what_it_owns() {
        assert_eq!(drawn(Some(Relation::Owner), &[4, 3, 2, 1]), [(1, 0), (2, 1), (4, 2), (3, 1)]);
    }

    #[test]
    fn a_namespace_without_a_parent_is_a_root() {
        assert_eq!(drawn(Some(Relation::Parent), &[4, 3, 2, 1]), [(1, 0), (2, 1), (4, 0), (3, 0)]);
    }

    #[test]
    fn a_process_is_below_the_last_line_of_its_parent() {
        assert_eq!(drawn(Some(Relation::Process), &[1, 2, 3, 4]), [(1, 0), (2, 1), (3, 0), (4, 1)]);
        assert_eq!(drawn(None, &[1, 2, 3, 4]), [(1, 0), (2, 0), (3, 0), (4, 0)]);
    }

    #[test]
    fn the_last_of_several_siblings_is_marked() {
        let mut lines = Lines::new(&Family, Some(Relation::Owner));
        [1, 2, 3, 4].into_iter().for_each(|namespace| lines.add_namespace(namespace));
        let last: Vec<_> = lines.drawn().into_iter().map(|drawn| drawn.is_last).collect();
        assert_eq!(last, [true, false, true, true]);
    }
}
