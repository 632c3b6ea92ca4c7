//! Who may have requests at a server, and how many.

use std::collections::HashMap;

use super::super::limiter::Limiter;
use crate::fingerprint::Fingerprint;

/// A model, and who asks for it. Who asks for two is two parties, of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Party {
    pub owner: Option<Fingerprint>,
    pub model: Fingerprint,
}

/// Room for requests, that parties share by turns.
#[derive(Debug)]
pub(super) struct Seats {
    /// Of all together.
    most: usize,
    parties: HashMap<Party, Seat>,
    /// Counts the requests that have begun.
    begun: u64,
}

#[derive(Debug)]
struct Seat {
    /// It was taken so often.
    taken: usize,
    limiter: Limiter,
    /// The last that began of it.
    last: u64,
    /// It waits for room.
    waits: bool,
}

impl Seats {
    /// For `most` requests at a time, at least one.
    pub fn new(most: usize) -> Seats {
        Seats {
            most: most.max(1),
            parties: HashMap::new(),
            begun: 0,
        }
    }

    /// One more asks for this party.
    pub fn take(&mut self, party: Party) {
        let most = self.most;
        let seat = self.parties.entry(party).or_insert_with(|| Seat {
            taken: 0,
            limiter: Limiter::new(most),
            last: 0,
            waits: false,
        });
        seat.taken += 1;
    }

    /// One less does.
    pub fn leave(&mut self, party: Party) {
        if let Some(seat) = self.parties.get_mut(&party) {
            seat.taken -= 1;
            if seat.taken == 0 {
                self.parties.remove(&party);
            }
        }
    }

    /// How many requests the server makes of a party.
    pub fn limiter(&mut self, party: Party) -> Option<&mut Limiter> {
        self.parties.get_mut(&party).map(|seat| &mut seat.limiter)
    }

    /// Requests that an owner has under way, and the last that began. An owner with fewer comes first; of those
    /// who have as many, who has waited for longest.
    fn of_owner(&self, owner: Option<Fingerprint>) -> (usize, u64) {
        let seats = self.parties.iter().filter(|(party, _)| party.owner == owner);
        seats.fold((0, 0), |(under_way, last), (_, seat)| {
            (under_way + seat.limiter.in_flight(), last.max(seat.last))
        })
    }

    /// Whether a party may have one more request under way. If not, it waits for its turn.
    pub fn has_room(&mut self, party: Party) -> bool {
        let may_enter = self.may_enter(party);
        if let Some(seat) = self.parties.get_mut(&party) {
            seat.waits |= !may_enter;
        }
        may_enter
    }

    fn may_enter(&self, party: Party) -> bool {
        let Some(seat) = self.parties.get(&party) else {
            return false;
        };
        let all: usize = self.parties.values().map(|seat| seat.limiter.in_flight()).sum();
        if seat.limiter.is_full() || all >= self.most {
            return false;
        }
        let of_owner = self.of_owner(party.owner);
        let of_party = (seat.limiter.in_flight(), seat.last);
        // Where there may be others, the last room is for who has none.
        let others = self.parties.keys().any(|other| other.owner != party.owner);
        let has_some = if others || party.owner.is_some() {
            of_owner.0 > 0
        } else {
            of_party.0 > 0 && self.parties.len() > 1
        };
        if has_some && all + 1 >= self.most {
            return false;
        }
        let is_before = |(other, seat): (&Party, &Seat)| {
            let is_less = || match other.owner == party.owner {
                true => (seat.limiter.in_flight(), seat.last) < of_party,
                false => self.of_owner(other.owner) < of_owner,
            };
            seat.waits && !seat.limiter.is_full() && is_less()
        };
        !self.parties.iter().any(is_before)
    }

    /// A party has nothing to send. Whether it was waiting.
    pub fn need_not_wait(&mut self, party: Party) -> bool {
        let seat = self.parties.get_mut(&party);
        seat.is_some_and(|seat| std::mem::take(&mut seat.waits))
    }

    /// A request begins; it has to [`end`](Seats::end).
    pub fn begin(&mut self, party: Party) {
        self.begun += 1;
        if let Some(seat) = self.parties.get_mut(&party) {
            seat.waits = false;
            seat.last = self.begun;
            seat.limiter.enter();
        }
    }

    /// A request has ended.
    pub fn end(&mut self, party: Party) {
        if let Some(seat) = self.parties.get_mut(&party) {
            seat.limiter.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(owner: Option<u8>, model: u8) -> Party {
        let of = |number: u8| Fingerprint::of(None, &[number]);
        Party {
            owner: owner.map(of),
            model: of(model),
        }
    }

    fn seats<const N: usize>(most: usize, parties: [Party; N]) -> Seats {
        let mut seats = Seats::new(most);
        parties.into_iter().for_each(|party| seats.take(party));
        seats
    }

    /// As many requests as a party may have begin.
    fn fill(seats: &mut Seats, party: Party) -> usize {
        let mut begun = 0;
        while seats.has_room(party) {
            seats.begin(party);
            begun += 1;
        }
        begun
    }

    #[test]
    fn who_is_alone_has_all_the_room() {
        let only = party(None, 1);
        assert_eq!(fill(&mut seats(4, [only]), only), 4);
        assert_eq!(fill(&mut seats(1, [only]), only), 1);
    }

    /// Whatever hangs.
    #[test]
    fn the_last_room_is_for_others() {
        for (mallory, ann) in [
            (party(Some(1), 1), party(Some(2), 2)),
            (party(Some(1), 1), party(Some(2), 1)),
            (party(None, 1), party(Some(2), 1)),
            (party(None, 1), party(None, 2)),
        ] {
            let mut seats = seats(4, [mallory, ann]);
            assert_eq!((fill(&mut seats, mallory), fill(&mut seats, ann)), (3, 1));
        }
        // Who may not be alone, though nobody else has come yet.
        let first = party(Some(1), 1);
        assert_eq!(fill(&mut seats(4, [first]), first), 3);
    }

    #[test]
    fn many_models_of_one_owner_have_the_room_of_one() {
        let models = [1, 2, 3, 4, 5].map(|model| party(Some(1), model));
        let mut seats = seats(4, models);
        let ann = party(Some(2), 9);
        seats.take(ann);
        let all: usize = models.map(|model| fill(&mut seats, model)).iter().sum();
        assert_eq!((all, fill(&mut seats, ann)), (3, 1));
    }

    #[test]
    fn what_becomes_free_goes_to_who_has_least_and_waits_longest() {
        let owners = [1, 2, 3, 4].map(|owner| party(Some(owner), 1));
        let [first, second, third, fourth] = owners;
        let mut seats = seats(2, owners);
        assert_eq!((fill(&mut seats, first), fill(&mut seats, second)), (1, 1));
        assert!(!seats.has_room(third) && !seats.has_room(fourth));
        seats.end(first);
        assert!(!seats.has_room(first), "it is another's turn");
        assert!(
            seats.has_room(third) && seats.has_room(fourth),
            "none of them has had one"
        );
        seats.begin(fourth);
        seats.end(fourth);
        assert!(!seats.has_room(fourth) && seats.has_room(third));
        // Which has nothing to send any more.
        assert!(seats.need_not_wait(third) && !seats.need_not_wait(third));
        assert!(!seats.has_room(fourth), "the first has waited for longer");
        assert_eq!((fill(&mut seats, first), fill(&mut seats, fourth)), (1, 0));
    }

    #[test]
    fn one_room_goes_round() {
        let owners = [1, 2, 3].map(|owner| party(Some(owner), 1));
        let mut seats = seats(1, owners);
        let mut order = Vec::new();
        for _ in 0..9 {
            owners.iter().for_each(|owner| {
                seats.has_room(*owner);
            });
            let next = owners
                .into_iter()
                .position(|owner| seats.has_room(owner))
                .expect("it is the turn of one of them");
            seats.begin(owners[next]);
            owners.iter().for_each(|owner| {
                seats.has_room(*owner);
            });
            seats.end(owners[next]);
            order.push(next);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn failures_of_one_leave_the_room_of_others() {
        let now = std::time::Instant::now();
        let (bad, good) = (party(Some(1), 1), party(Some(2), 2));
        let mut seats = seats(8, [bad, good]);
        for _ in 0..5 {
            seats.limiter(bad).expect("it has a seat").overloaded(now, now);
        }
        assert_eq!(fill(&mut seats, bad), 1);
        assert_eq!(fill(&mut seats, good), 6, "but for the last");
    }
}
