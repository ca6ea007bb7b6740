//! Computing an id map: which id inside a user namespace is which id outside. `user_namespaces(7)`. Pure.
//!
//! A map is lines of `inner outer count`. The kernel refuses a map in which an id occurs twice on either side. So the
//! single id, which has precedence, makes a hole in the ranges. The ids above a hole move down on the other side; an id
//! is lost only if a range has no room left for it.

use std::collections::VecDeque;

use plumbing::Fault;

/// The most lines that the kernel accepts (`UID_GID_MAP_MAX_EXTENTS`).
const MAX_EXTENTS: usize = 340;
/// The most bytes that the kernel accepts: one write, of less than a page.
const MAX_TEXT: usize = 4095;
/// One past the highest id: the value -1 means "no id".
const END: u64 = u32::MAX as u64;

/// One line of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first id inside.
    pub inner: u32,
    /// The first id outside.
    pub outer: u32,
    /// The number of ids.
    pub count: u32,
}

/// The ids `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first id.
    pub first: u64,
    /// One past the last id.
    pub end: u64,
}

/// Ids to map in addition to the single id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    /// Exactly this line.
    Fixed(Extent),
    /// These ids outside, mapped to themselves as far as they are not mapped yet.
    Same(Vec<Span>),
    /// These ids outside, mapped to the lowest free ids inside.
    Lowest(Vec<Span>),
}

impl Extent {
    /// Maps one id to one id.
    pub fn single(inner: u32, outer: u32) -> Extent {
        Extent { inner, outer, count: 1 }
    }

    fn inner_span(self) -> Span {
        Span::of(self.inner, self.count)
    }

    fn outer_span(self) -> Span {
        Span::of(self.outer, self.count)
    }

    /// Reports whether both sides are valid: not empty, and not above the highest id.
    pub fn is_valid(self) -> bool {
        self.count > 0 && self.inner_span().end <= END && self.outer_span().end <= END
    }

    /// Reports whether an id occurs in both lines, on the inside or on the outside.
    pub fn overlaps(self, other: Extent) -> bool {
        let meets = |a: Span, b: Span| a.first < b.end && b.first < a.end;
        meets(self.inner_span(), other.inner_span()) || meets(self.outer_span(), other.outer_span())
    }
}

impl Span {
    /// Returns `count` ids from `first`.
    pub fn of(first: u32, count: u32) -> Span {
        Span { first: first.into(), end: u64::from(first) + u64::from(count) }
    }
}

/// Computes the map: first the single id, then the fixed ranges, then those that fill up, each in the given order.
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
                    // Each side loses the ids that are taken on that side; the remaining ids are paired in order.
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

/// Returns the map in the form that the kernel reads.
pub fn text(map: &[Extent]) -> Result<String, Fault> {
    let lines: Vec<String> = map.iter().map(|line| format!("{} {} {}", line.inner, line.outer, line.count)).collect();
    let text = lines.join("\n");
    if map.len() > MAX_EXTENTS || text.len() > MAX_TEXT {
        return Err(Fault::new(format!(
            "cannot map ids in {} ranges ({} bytes): the kernel accepts at most {MAX_EXTENTS} in {MAX_TEXT} bytes",
            map.len(),
            text.len()
        )));
    }
    Ok(text)
}

/// Returns the ids inside that a map file of /proc lists.
pub fn ids_inside(map: &str) -> Vec<Span> {
    map.lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
            let (inner, _, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some(Span::of(inner, count))
        })
        .collect()
}

/// Returns the ids of `spans` that are in none of `taken`, in the order of `spans`.
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

/// Maps the first free id inside to the first one outside, and so on, until one side is used up.
fn zip(inner: &[Span], outer: &[Span]) -> Vec<Extent> {
    let mut inner: VecDeque<Span> = inner.iter().copied().collect();
    let mut outer: VecDeque<Span> = outer.iter().copied().collect();
    let mut map: Vec<Extent> = Vec::new();
    while let (Some(inside), Some(outside)) = (inner.front_mut(), outer.front_mut()) {
        let count = (inside.end - inside.first).min(outside.end - outside.first);
        // All three are below END, so they fit.
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
