//! The lessons, run: every command in them prints what the text shows, in both languages, and every exercise can be solved.

use std::time::Duration;

use lessons::catalog::{LESSONS, Language, Source};
use lessons::likeness::is_like;
use lessons::place::Place;
use lessons::text::Command;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

const NEEDS: &[Need] = &[Need::UserNamespaces, Need::NetworkNamespaces, BUSYBOX];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("every command of the lessons prints what the lesson shows", NEEDS, |world| {
        for source in LESSONS.iter().filter(|source| world.chooses(&format!("lesson {}", source.number))) {
            let mut place = place(world, source);
            for command in commands(source, Language::English) {
                if command.needs_root && !world.is_root {
                    continue;
                }
                let outcome =
                    place.run(&command.typed, limit(world)).unwrap_or_else(|error| panic!("{command:?}: {error:#}"));
                let shown: Vec<_> = command.printed.iter().map(String::as_str).collect();
                let printed: Vec<_> = outcome.printed.lines().collect();
                assert!(
                    is_like(&shown, &printed),
                    "lesson {}: $ {}\nshows\n{}\nand printed (status {})\n{}",
                    source.number,
                    command.typed,
                    shown.join("\n"),
                    outcome.status,
                    outcome.printed
                );
            }
        }
    })
    .host_only(),
    Row::new("every exercise of the lessons is open before its solution and done after it", NEEDS, |world| {
        for source in LESSONS.iter().filter(|source| world.chooses(&format!("lesson {}", source.number))) {
            if source.makes_groups && !world.is_root {
                continue;
            }
            for (index, exercise) in source.exercises.iter().enumerate() {
                let about = format!("exercise {} of lesson {}", index + 1, source.number);
                let mut place = place(world, source);
                let mut run =
                    |script: &str| place.run(script, limit(world)).unwrap_or_else(|error| panic!("{about}: {error:#}"));
                for language in [Language::English, Language::Chinese] {
                    // In a subshell: a check may use any variable.
                    let before = run(&format!("({})", exercise.check_in(language)));
                    assert!(before.status == 1 && !before.printed.is_empty(), "{about}, before: {before:?}");
                }
                let solved = run(exercise.solution);
                let after = run(&format!("({})", exercise.check_in(Language::English)));
                assert!(after.status == 0 && after.printed.is_empty(), "{about}: {solved:?}, then {after:?}");
            }
        }
    })
    .host_only(),
    Row::new("the lessons have the same commands and the same output in both languages", &[], |_| {
        for source in LESSONS {
            let [english, chinese] = [Language::English, Language::Chinese].map(|language| commands(source, language));
            assert_eq!(english, chinese, "lesson {}", source.number);
        }
    }),
];

fn place(world: &World, source: &Source) -> Place {
    Place::start(&world.tools, source, world.is_root).unwrap_or_else(|error| panic!("{error:#}"))
}

fn commands(source: &Source, language: Language) -> Vec<Command> {
    let lesson = source.lesson(language).unwrap_or_else(|error| panic!("{error:#}"));
    lesson.commands().cloned().collect()
}

fn limit(world: &World) -> Duration {
    world.limit()
}
