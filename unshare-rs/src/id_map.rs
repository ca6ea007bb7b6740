//! Computing an id map: which ids inside a user namespace are which outside. `user_namespaces(7)`. Pure.
//!
//! A map is lines of `inner outer count`. The kernel refuses a map in which an id occurs twice on either side, so a
//! single id that is put in front cuts a hole into the ranges behind it; what lies above a hole moves down on the
//! other side, and an id is lost only where a range has no room left for it.

use std::collections::VecDeque;

use plumbing::Fault;

/// The kernel takes no more lines (`UID_GID_MAP_MAX_EXTENTS`)…
const MAX_EXTENTS: usize = 340;
/// … and only what one write of less than a page brings.
const MAX_TEXT: usize = 4095;
/// One past the highest id: the number -1 means "no id".
const END: u64 = u32::MAX as u64;

/// One line of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first id inside.
    pub inner: u32,
    /// The first id outside.
    pub outer: u32,
    /// How many.
    pub count: u32,
}

/// Ids `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// One past the last.
    pub end: u64,
}

/// What is to be mapped behind the single id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    /// Exactly this.
    Fixed(Extent),
    /// These ids outside, to themselves as far as they are not mapped yet.
    Same(Vec<Span>),
    /// These ids outside, to the lowest ids inside that are left.
    Lowest(Vec<Span>),
}

impl Extent {
    /// One id to one id.
    pub fn single(inner: u32, outer: u32) -> Extent {
        Extent { inner, outer, count: 1 }
    }

    fn inner_span(self) -> Span {
        Span::of(self.inner, self.count)
    }

    fn outer_span(self) -> Span {
        Span::of(self.outer, self.count)
    }

    /// Whether both sides are ids: nothing is empty, nothing runs over the highest one.
    pub fn is_valid(self) -> bool {
        self.count > 0 && self.inner_span().end <= END && self.outer_span().end <= END
    }

    /// Whether an id occurs in both, on the inside or on the outside.
    pub fn overlaps(self, other: Extent) -> bool {
        let meets = |a: Span, b: Span| a.first < b.end && b.first < a.end;
        meets(self.inner_span(), other.inner_span()) || meets(self.outer_span(), other.outer_span())
    }
}

impl Span {
    /// `count` ids from `first`.
    pub fn of(first: u32, count: u32) -> Span {
        Span { first: first.into(), end: u64::from(first) + u64::from(count) }
    }
}

/// The map: the single id in front, then what is fixed, then what fills up, each in the order given.
pub fn compute(single: Option<Extent>, ranges: &[Range]) -> Vec<Extent> {
    let in_front: Vec<Extent> = single.into_iter().collect();
    let mut map = in_front.clone();
    for range in ranges {
        if let Range::Fixed(extent) = range {
            map.extend(zip(
                &minus(&[extent.inner_span()], &inner_spans(&in_front)),
                &minus(&[extent.outer_span()], &outer_spans(&in_front)),
            ));
        }
    }
    for range in ranges {
        match range {
            Range::Fixed(_) => {}
            Range::Same(spans) => {
                for span in spans {
                    // Each side loses what is taken on that side; what is left of both is put together in order.
                    let (inner, outer) = (minus(&[*span], &inner_spans(&map)), minus(&[*span], &outer_spans(&map)));
                    map.extend(zip(&inner, &outer));
                }
            }
            Range::Lowest(spans) => {
                let inner = minus(&[Span { first: 0, end: END }], &inner_spans(&map));
                let mut outer: Vec<Span> = Vec::new();
                for span in spans {
                    let taken: Vec<Span> = outer_spans(&map).into_iter().chain(outer.iter().copied()).collect();
                    outer.extend(minus(&[*span], &taken));
                }
                map.extend(zip(&inner, &outer));
            }
        }
    }
    map
}

/// The map as the kernel reads it.
pub fn text(map: &[Extent]) -> Result<String, Fault> {
    let lines: Vec<String> = map.iter().map(|line| format!("{} {} {}", line.inner, line.outer, line.count)).collect();
    let text = lines.join("\n");
    match map.len() > MAX_EXTENTS || text.len() > MAX_TEXT {
        true => Err(Fault::new(format!(
            "cannot map ids in {} ranges ({} bytes): the kernel takes at most {MAX_EXTENTS} in {MAX_TEXT} bytes",
            map.len(),
            text.len()
        ))),
        false => Ok(text),
    }
}

/// The lines of a map file of /proc, as the ids that it knows inside.
pub fn ids_inside(map: &str) -> Vec<Span> {
    map.lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
            let (inner, _, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some(Span::of(inner, count))
        })
        .collect()
}

/// What of `spans` is in none of `taken`, in the order of `spans`.
pub fn minus(spans: &[Span], taken: &[Span]) -> Vec<Span> {
    let mut taken = taken.to_vec();
    taken.sort_by_key(|span| span.first);
    let mut left = Vec::new();
    for span in spans {
        let mut first = span.first;
        for hole in taken.iter().filter(|hole| hole.first < span.end && hole.end > span.first) {
            if hole.first > first {
                left.push(Span { first, end: hole.first });
            }
            first = first.max(hole.end);
        }
        if first < span.end {
            left.push(Span { first, end: span.end });
        }
    }
    left
}

fn inner_spans(map: &[Extent]) -> Vec<Span> {
    map.iter().map(|extent| extent.inner_span()).collect()
}

fn outer_spans(map: &[Extent]) -> Vec<Span> {
    map.iter().map(|extent| extent.outer_span()).collect()
}

/// Maps the first id left inside to the first one left outside, and so on, for as long as there are some on both sides.
fn zip(inner: &[Span], outer: &[Span]) -> Vec<Extent> {
    let mut inner: VecDeque<Span> = inner.iter().copied().collect();
    let mut outer: VecDeque<Span> = outer.iter().copied().collect();
    let mut map: Vec<Extent> = Vec::new();
    while let (Some(inside), Some(outside)) = (inner.front_mut(), outer.front_mut()) {
        let count = (inside.end - inside.first).min(outside.end - outside.first);
        // All three are below END, which fits.
        map.push(Extent { inner: inside.first as u32, outer: outside.first as u32, count: count as u32 });
        inside.first += count;
        outside.first += count;
        for side in [&mut inner, &mut outer] {
            if side.front().is_some_and(|span| span.first == span.end) {
                side.pop_front();
            }
        }
    }
    map
}

#[cfg(test)]
mod tests;
