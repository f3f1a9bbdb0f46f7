//! Whose message goes next, where more are due than may be on their way. Namespaces and
//! the installation take turns, and in each its channels do: a crowd of receivers that
//! hang, which anybody who has a namespace can put there, costs the others no more than
//! one turn. It knows no store, no network and no time.

use super::rows::Place;
use procura_types::Label;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Messages that are on their way at the same time.
const AT_ONCE: usize = 16;
/// Of those, as many as one namespace may have, or the installation.
const AT_ONCE_OF_ONE: usize = 4;

/// Who has messages on their way, and who had a turn last.
#[derive(Debug, Default)]
pub(super) struct Rota {
    /// How many are on their way, by whose they are.
    under_way: BTreeMap<String, usize>,
    /// Whose the last was.
    last: Option<String>,
    /// Of each, which of the channels had the last.
    last_of: BTreeMap<String, Label>,
}

impl Rota {
    /// Those of the channels that have something due whose message goes now, in their
    /// order. Each counts until [`Self::ends`].
    pub(super) fn begin(&mut self, due: BTreeSet<Place>) -> Vec<Place> {
        let mut queues: BTreeMap<String, VecDeque<Label>> = BTreeMap::new();
        for (scope, channel) in due {
            queues.entry(scope).or_default().push_back(channel);
        }
        for (scope, queue) in &mut queues {
            if let Some(last) = self.last_of.get(scope) {
                let had = queue.partition_point(|channel| channel <= last);
                queue.rotate_left(had);
            }
        }
        let mut scopes: VecDeque<String> = queues.keys().cloned().collect();
        if let Some(last) = &self.last {
            let had = scopes.partition_point(|scope| scope <= last);
            scopes.rotate_left(had);
        }
        let mut begun = Vec::new();
        loop {
            let before = begun.len();
            for scope in &scopes {
                let all: usize = self.under_way.values().sum();
                if all >= AT_ONCE {
                    return begun;
                }
                let own = self.under_way.get(scope).copied().unwrap_or(0);
                if own >= AT_ONCE_OF_ONE {
                    continue;
                }
                let Some(channel) = queues.get_mut(scope).and_then(VecDeque::pop_front) else {
                    continue;
                };
                self.under_way.insert(scope.clone(), own + 1);
                self.last = Some(scope.clone());
                self.last_of.insert(scope.clone(), channel.clone());
                begun.push((scope.clone(), channel));
            }
            if begun.len() == before {
                return begun;
            }
        }
    }

    /// A message of it is not on its way any more.
    pub(super) fn ends(&mut self, scope: &str) {
        let own = self.under_way.get(scope).copied().unwrap_or(0);
        if own > 1 {
            self.under_way.insert(scope.to_owned(), own - 1);
        } else {
            self.under_way.remove(scope);
        }
    }

    /// Nothing is on its way any more.
    pub(super) fn let_go(&mut self) {
        self.under_way.clear();
    }

    /// Forgets the turns of those that are not there any more.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.last_of.retain(|scope, _| is_there(scope));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(scope: &str, number: u32) -> Place {
        (scope.to_owned(), format!("c{number:02}").parse().unwrap())
    }

    fn due(all: &[(&str, u32)]) -> BTreeSet<Place> {
        let places = all
            .iter()
            .flat_map(|(scope, count)| (0..*count).map(move |number| place(scope, number)));
        places.collect()
    }

    /// How many of each there are.
    fn counts(begun: &[Place]) -> Vec<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (scope, _) in begun {
            *counts.entry(scope).or_default() += 1;
        }
        counts.into_iter().collect()
    }

    #[test]
    fn a_crowd_of_one_leaves_room_for_the_others() {
        let mut rota = Rota::default();
        let begun = rota.begin(due(&[("bank", 32)]));
        assert_eq!(counts(&begun), [("bank", 4)]);
        // It has no more than that, whenever it is looked.
        assert!(rota.begin(due(&[("bank", 32)])).is_empty());
        let begun = rota.begin(due(&[("", 1), ("bank", 32), ("shop", 1)]));
        assert_eq!(begun, [place("shop", 0), place("", 0)]);
    }

    #[test]
    fn a_place_that_is_free_goes_to_whom_it_is_longest_ago() {
        let mut rota = Rota::default();
        let crowd = [("a", 32), ("b", 32), ("c", 32), ("d", 32), ("e", 32)];
        let begun = rota.begin(due(&crowd));
        let expected = [("a", 4), ("b", 3), ("c", 3), ("d", 3), ("e", 3)];
        assert_eq!(counts(&begun), expected);
        let with_shop = [&crowd[..], &[("shop", 1)]].concat();
        // All places are taken by receivers that hang.
        assert!(rota.begin(due(&with_shop)).is_empty());
        let mut turns = Vec::new();
        for scope in ["a", "b", "c", "d", "e"] {
            rota.ends(scope);
            turns.extend(rota.begin(due(&with_shop)));
        }
        // One turn of each, and not one of `a` before that of the quiet one.
        let scopes: Vec<&str> = turns.iter().map(|(scope, _)| scope.as_str()).collect();
        assert_eq!(scopes, ["b", "c", "d", "e", "shop"]);
    }

    #[test]
    fn channels_of_one_take_turns_too() {
        let mut rota = Rota::default();
        let mut begun = Vec::new();
        for _ in 0..8 {
            begun.extend(rota.begin(due(&[("bank", 6)])));
            rota.let_go();
        }
        let number = |at: usize| place("bank", u32::try_from(at % 6).unwrap());
        let expected: Vec<Place> = (0..32).map(number).collect();
        assert_eq!(begun, expected);
    }

    #[test]
    fn what_ended_is_forgotten() {
        let mut rota = Rota::default();
        rota.begin(due(&[("bank", 1), ("shop", 1)]));
        rota.keep(|scope| scope == "shop");
        assert_eq!(rota.last_of.keys().collect::<Vec<_>>(), ["shop"]);
        for scope in ["bank", "shop", "bank"] {
            rota.ends(scope);
        }
        assert!(rota.under_way.is_empty());
    }
}
