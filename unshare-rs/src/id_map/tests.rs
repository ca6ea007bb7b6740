//! Properties of computed maps: what the kernel requires of every map, and that no id is lost without need.

use proptest::prelude::*;

use super::*;

fn extent(inner: u32, outer: u32, count: u32) -> Extent {
    Extent { inner, outer, count }
}

fn map(single: Option<(u32, u32)>, ranges: &[Range]) -> String {
    text(&compute(single.map(|(inner, outer)| Extent::single(inner, outer)), ranges)).unwrap()
}

fn subids() -> Vec<Span> {
    vec![Span::of(100_000, 65536)]
}

#[test]
fn root_and_a_block_lose_no_id() {
    assert_eq!(map(Some((0, 1000)), &[Range::Lowest(subids())]), "0 1000 1\n1 100000 65536");
    assert_eq!(map(None, &[Range::Lowest(subids())]), "0 100000 65536");
    assert_eq!(map(Some((0, 7)), &[Range::Lowest(vec![Span::of(9, 1)])]), "0 7 1\n1 9 1");
}

#[test]
fn a_single_id_in_the_middle_splits_a_block() {
    let expected = "1000 1000 1\n0 100000 1000\n1001 101000 64536";
    assert_eq!(map(Some((1000, 1000)), &[Range::Lowest(subids())]), expected);
}

#[test]
fn a_single_id_among_the_subordinate_ids_is_used_once() {
    // The block contains 1000 itself; no id above its end may be used.
    let block = vec![Span::of(999, 3)];
    assert_eq!(map(Some((0, 1000)), &[Range::Lowest(block)]), "0 1000 1\n1 999 1\n2 1001 1");
}

#[test]
fn an_exact_range_loses_its_highest_id_only_if_it_contains_the_single_id() {
    let range = |inner, outer, count| [Range::Fixed(extent(inner, outer, count))];
    assert_eq!(map(Some((0, 1000)), &range(0, 100_000, 10)), "0 1000 1\n1 100000 9");
    assert_eq!(map(Some((10, 1000)), &range(0, 100_000, 10)), "10 1000 1\n0 100000 10");
    assert_eq!(map(Some((5, 5)), &range(0, 0, 10)), "5 5 1\n0 0 5\n6 6 4");
}

#[test]
fn exact_ranges_have_precedence_over_those_that_fill_up() {
    let ranges = [Range::Lowest(subids()), Range::Fixed(extent(5, 100_000, 2))];
    assert_eq!(map(None, &ranges), "5 100000 2\n0 100002 5\n7 100007 65529");
    let twice = [Range::Lowest(subids()), Range::Lowest(subids())];
    assert_eq!(map(None, &twice), "0 100000 65536");
    assert_eq!(map(None, &[Range::Lowest(vec![Span::of(10, 5), Span::of(12, 5)])]), "0 10 5\n5 15 2");
}

#[test]
fn all_ids_are_mapped_to_themselves_with_and_without_a_single_id() {
    let all = vec![Span::of(0, u32::MAX)];
    assert_eq!(map(None, &[Range::Same(all.clone())]), "0 0 4294967295");
    assert_eq!(map(Some((0, 0)), &[Range::Same(all)]), "0 0 1\n1 1 4294967294");
}

#[test]
fn a_map_that_the_kernel_would_cut_off_is_refused() {
    let many: Vec<Extent> = (0..341).map(|index| Extent::single(index * 2, index * 2)).collect();
    assert!(text(&many).is_err() && text(&many[..340]).is_ok());
    let wide: Vec<Extent> =
        (0..200).map(|index| Extent::single(4_000_000_000 + index * 2, 4_000_000_000 + index * 2)).collect();
    assert!(text(&wide).is_err());
}

#[test]
fn a_map_file_lists_the_ids_inside() {
    assert_eq!(ids_inside("         0       1000          1\n         1     100000      65536\n").len(), 2);
    assert_eq!(ids_inside("         0          0 4294967295\n"), [Span { first: 0, end: END }]);
}

fn any_extent() -> impl Strategy<Value = Extent> {
    let id = prop_oneof![0u32..40, 990u32..1010, 99_990u32..100_020, Just(u32::MAX - 1), any::<u32>()];
    let count = prop_oneof![1u32..30, Just(65536u32), any::<u32>()];
    (id.clone(), id, count)
        .prop_map(|(inner, outer, count)| extent(inner, outer, count))
        .prop_filter("valid by itself", |extent| extent.is_valid())
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec(any_extent().prop_map(|extent| extent.outer_span()), 0..4)
}

fn any_ranges() -> impl Strategy<Value = Vec<Range>> {
    let ranges = prop::collection::vec(
        prop_oneof![
            any_extent().prop_map(Range::Fixed),
            any_spans().prop_map(Range::Same),
            any_spans().prop_map(Range::Lowest),
        ],
        0..5,
    );
    ranges.prop_filter("exact ranges do not overlap", |ranges| {
        let fixed: Vec<Extent> = ranges.iter().filter_map(fixed).collect();
        fixed.iter().enumerate().all(|(index, one)| fixed[..index].iter().all(|other| !one.overlaps(*other)))
    })
}

fn fixed(range: &Range) -> Option<Extent> {
    match range {
        Range::Fixed(extent) => Some(*extent),
        _ => None,
    }
}

fn total(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.end - span.first).sum()
}

proptest! {
    #[test]
    fn a_map_has_every_id_once_on_each_side(single in prop::option::of((0u32..2000, 0u32..2000)), ranges in any_ranges()) {
        let single = single.map(|(inner, outer)| Extent::single(inner, outer));
        let map = compute(single, &ranges);
        for (index, extent) in map.iter().enumerate() {
            prop_assert!(extent.is_valid(), "{extent:?}");
            prop_assert!(map[..index].iter().all(|other| !extent.overlaps(*other)), "{map:?}");
        }
        prop_assert_eq!(map.first().copied().filter(|_| single.is_some()), single);
    }

    #[test]
    fn only_requested_ids_are_mapped(single in (0u32..2000, 0u32..2000), ranges in any_ranges()) {
        let map = compute(Some(Extent::single(single.0, single.1)), &ranges);
        let asked: Vec<Span> = ranges.iter().flat_map(|range| match range {
            Range::Fixed(extent) => vec![extent.outer_span()],
            Range::Same(spans) | Range::Lowest(spans) => spans.clone(),
        }).chain([Span::of(single.1, 1)]).collect();
        prop_assert_eq!(total(&minus(&outer_spans(&map), &asked)), 0);
    }

    #[test]
    fn a_block_of_subordinate_ids_is_used_up(single in (0u32..2000, 0u32..2000), spans in any_spans()) {
        let map = compute(Some(Extent::single(single.0, single.1)), &[Range::Lowest(spans.clone())]);
        prop_assert_eq!(total(&minus(&spans, &outer_spans(&map))), 0);
        // And without a gap inside, except for the single id.
        let ids = total(&inner_spans(&map));
        let highest = inner_spans(&map[1..]).into_iter().map(|span| span.end).max().unwrap_or(0);
        prop_assert!(highest <= ids, "{:?}", map);
    }

    #[test]
    fn an_exact_range_loses_at_most_one_id(single in (0u32..2000, 0u32..2000), range in any_extent()) {
        let single = Extent::single(single.0, single.1);
        let map = compute(Some(single), &[Range::Fixed(range)]);
        let kept = total(&outer_spans(&map)) - 1;
        prop_assert_eq!(kept, u64::from(range.count) - u64::from(range.overlaps(single)));
    }
}
