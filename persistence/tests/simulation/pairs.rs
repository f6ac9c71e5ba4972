//! Every fault rule of the sandbox alone, and every two of them in either order: a short history of each.

use crate::counts::Counts;
use crate::faults::rules;
use crate::number;
use crate::world::World;
use son7shop_engine::Won;
use son7shop_payments::sandbox::machine::{Action, Place, Rule};

/// The rules of the history `seed`: alone for the first ones, in pairs for all others.
fn rules_of(rules: &[(Place, Action)], seed: usize) -> Vec<Rule> {
    let one = |at: usize| Rule::once(rules[at].0, rules[at].1.clone());
    let Some(pair) = seed.checked_sub(rules.len()) else { return vec![one(seed)] };
    let (first, mut second) = (one(pair / rules.len()), one(pair % rules.len()));
    // What a gateway says twice in a row is believed: it does not tell the same wrong sum twice.
    if first == second
        && let Action::AmountOverride { total } = &mut second.action
    {
        *total = Won(total.0 + 1);
    }
    vec![first, second]
}

/// Plays the histories that `chosen` chooses of all; how often each rule happened.
fn play(chosen: impl Fn(usize) -> bool) -> (Vec<(Place, Action)>, Vec<u64>) {
    let rules = rules();
    let one = number("SON7_SEED").map(|seed| usize::try_from(seed).expect("a history"));
    let all = rules.len() * (rules.len() + 1);
    let seeds: Vec<usize> = (0..all).filter(|seed| chosen(*seed) && one.is_none_or(|one| one == *seed)).collect();
    let (mut counts, mut happened, mut both) = (Counts::default(), vec![0; rules.len()], 0);
    for &seed in &seeds {
        let faults = rules_of(&rules, seed);
        match World::with_faults(seed as u64, &faults).run() {
            Ok(one) => {
                counts.add(&one);
                both += usize::from(one.faults == 2);
                match seed.checked_sub(rules.len()) {
                    None => happened[seed] += one.faults,
                    Some(pair) if one.faults == 2 => {
                        happened[pair / rules.len()] += 1;
                        happened[pair % rules.len()] += 1;
                    }
                    Some(_) => {}
                }
            }
            Err(broken) => panic!("SON7_SEED={seed}: with {faults:?}: {}: {}", broken.name, broken.what),
        }
    }
    println!("{} rules, {} histories, in {both} both happened: {counts:?}", rules.len(), seeds.len());
    (rules, if one.is_some() { Vec::new() } else { happened })
}

// In two parts, so that two cores share them.
#[test]
fn every_fault_alone_and_half_of_all_pairs() {
    let alone = rules().len();
    let (rules, happened) = play(|seed| seed < alone || seed % 2 == 0);
    for (rule, times) in rules.iter().zip(happened) {
        assert!(times > 0, "{rule:?} never happened");
    }
}

#[test]
fn the_other_half_of_all_pairs() {
    let alone = rules().len();
    let (rules, happened) = play(|seed| seed >= alone && seed % 2 == 1);
    for (rule, times) in rules.iter().zip(happened) {
        assert!(times > 0, "{rule:?} never happened together with another");
    }
}
