//! A crash at every step of every saga path, and every fault rule of the sandbox alone and in pairs: the process is
//! ended before and after each journal append and each call to the gateway, once and twice, and started again. Each
//! history ends Confirmed, Cancelled, Expired or Refunded, and the gateway's ledger agrees.

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

mod faults;
#[path = "../matrix_world/mod.rs"]
mod matrix_world;
mod paths;

use matrix_world::{Bug, FIRST, World};
use paths::{PATHS, Path};

/// Plays a path; the process is ended at each of these points. A point is before or after a beat or an act.
fn play(mut world: World, path: &Path, crashes: &[usize]) -> (World, usize) {
    let (mut acts, mut point) = (path.acts.iter().peekable(), 0);
    loop {
        if crashes.contains(&point) {
            world.tell("*** restart");
            world.restart();
        }
        point += 1;
        if acts.peek().is_some() && world.is_idle() {
            let act = acts.next().expect("one was seen");
            world.tell(format!("*** {act:?}"));
            act.happen(&mut world);
        } else if !world.beat() {
            break;
        }
    }
    world.check_rest();
    (world, point)
}

fn begin(basket: bool, bug: Option<Bug>) -> World {
    let mut world = World::placed(basket);
    world.bug = bug;
    world
}

fn assert_sound(world: &World, what: &str) {
    if let Some(broken) = &world.broken {
        panic!("{what}\n{}\n{broken}", world.script.join("\n"));
    }
}

#[test]
fn each_path_comes_to_its_end() {
    for path in PATHS {
        for basket in [false, true] {
            let (world, _) = play(begin(basket, None), path, &[]);
            assert_sound(&world, path.name);
            assert_eq!(world.status(), Some(path.ends), "{}\n{}", path.name, world.script.join("\n"));
            let late = world.view(FIRST).is_some_and(|view| view.ended_at.is_some_and(|at| at > view.deadline));
            assert!(
                !late || path.late,
                "{}: units were held past the deadline\n{}",
                path.name,
                world.script.join("\n")
            );
        }
    }
}

#[test]
fn a_crash_at_every_step() {
    let mut histories = 0;
    for path in PATHS {
        for basket in [false, true] {
            let (_, points) = play(begin(basket, None), path, &[]);
            for at in 0..points {
                let (world, _) = play(begin(basket, None), path, &[at]);
                assert_sound(&world, &format!("{}, basket {basket}, a crash at {at}", path.name));
                histories += 1;
            }
        }
    }
    println!("{histories} histories with a crash at every step of {} paths", PATHS.len());
    assert!(histories > 500, "{histories}");
}

#[test]
fn two_crashes_at_every_two_steps() {
    let mut histories = 0;
    for path in PATHS {
        let (_, points) = play(begin(false, None), path, &[]);
        for first in 0..points {
            // After a crash there may be more points than before.
            let (_, points) = play(begin(false, None), path, &[first]);
            for second in first + 1..points {
                let (world, _) = play(begin(false, None), path, &[first, second]);
                assert_sound(&world, &format!("{}, crashes at {first} and {second}", path.name));
                histories += 1;
            }
        }
    }
    println!("{histories} histories with two crashes");
}

#[test]
fn planted_mistakes_are_found() {
    for bug in [Bug::RetriesApprove, Bug::RefundsTwice] {
        let found = PATHS.iter().filter(|path| play(begin(false, Some(bug)), path, &[]).0.broken.is_some());
        let names: Vec<&str> = found.map(|path| path.name).collect();
        println!("{bug:?} is found on {names:?}");
        assert!(!names.is_empty(), "{bug:?} is not found");
    }
}
