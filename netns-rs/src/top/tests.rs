//! Unit tests: whose a packet is, the order, the width.

use plumbing::command_line::columns::width;
use plumbing::process::top::View as _;

use super::*;
use crate::overview::End;

fn port(index: u32, received: u64, dropped: u64, peer: Option<(usize, &str)>) -> Port {
    Port {
        index,
        name: format!("if{index}"),
        counters: Some(Counters { received, dropped, ..Counters::default() }),
        peer: peer.map(|(namespace, interface)| End { namespace, interface: interface.to_owned() }),
        ..Port::default()
    }
}

fn reading(seconds: u64) -> Vec<Space> {
    let own = [port(2, 10 * seconds, 0, None), port(3, 0, 3 * seconds, Some((1, "if2")))];
    let web = port(2, 3000 * seconds, seconds, Some((0, "if3")));
    let space = |inode, own, interfaces| Space { inode: Some(inode), own, interfaces, ..Space::default() };
    vec![space(1, true, own.into()), space(2, false, vec![web]), space(3 + seconds, false, Vec::new())]
}

#[test]
fn what_is_dropped_on_the_way_to_a_container_is_counted_there_and_once() {
    let (before, now) = (reading(0), reading(2));
    let readings = || Readings { before: &before, now: &now, seconds: 2.0 };
    let view = View { order: Order::Bytes, is_reversed: false };
    let lines = view.lines(&readings());
    let figures = |line: &Line<'_>| line.rates.map(|rates| (rates.received_per_second, rates.dropped_per_second));
    let all: Vec<_> = lines.iter().map(|line| (line.inode, figures(line))).collect();
    assert_eq!(all, [(Some(2), Some((3000.0, 4.0))), (Some(1), Some((10.0, 0.0))), (Some(5), None)]);
}

#[test]
fn keys_choose_the_order_and_lines_fit() {
    let mut now = reading(2);
    now[1].names.push(Text::from("a-name-that-is-much-longer-than-the-room-that-eighty-columns-leave"));
    let before = reading(0);
    let readings = || Readings { before: &before, now: &now, seconds: 2.0 };
    let mut view = View { order: Order::Bytes, is_reversed: false };
    assert!(view.accept(b'r') && !view.accept(b'x'));
    assert_eq!(view.lines(&readings())[0].inode, Some(5));
    let page = view.page(readings(), (80, 24));
    assert!(page.lines().all(|line| width(line) <= 80) && page.starts_with("3 namespaces by bytes: "), "{page}");
    assert_eq!(view.page(readings(), (80, 4)).lines().count(), 4);
}
