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

#[test]
fn every_fault_alone_and_in_pairs() {
    let rules = rules();
    let all = rules.len() * (rules.len() + 1);
    let seeds = number("SON7_SEED").map_or(0..all, |seed| {
        let seed = usize::try_from(seed).expect("a history");
        seed..seed + 1
    });
    let (mut counts, mut happened, mut both) = (Counts::default(), vec![0; rules.len()], 0);
    for seed in seeds.clone() {
        let faults = rules_of(&rules, seed);
        match World::with_faults(seed as u64, &faults).run() {
            Ok(one) => {
                counts.add(&one);
                both += usize::from(one.faults == 2);
                if seed < rules.len() {
                    happened[seed] += one.faults;
                } else if one.faults == 2 {
                    let pair = seed - rules.len();
                    happened[pair / rules.len()] += 1;
                    happened[pair % rules.len()] += 1;
                }
            }
            Err(broken) => panic!("SON7_SEED={seed}: with {faults:?}: {}: {}", broken.name, broken.what),
        }
    }
    println!("{} rules, {} histories, in {both} both happened: {counts:?}", rules.len(), seeds.len());
    if seeds.len() == all {
        for (rule, times) in rules.iter().zip(happened) {
            assert!(times > 0, "{rule:?} never happened");
        }
    }
}
