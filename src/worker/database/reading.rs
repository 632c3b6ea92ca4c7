//! How a worker comes to know the vectorizers, and that they have changed.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use ai_pipeline::launch::WantedWork;
use ai_pipeline::worker::station::Change;
use litemap::LiteMap;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::Worker;
use super::stations;
use crate::catalog::{self, Unusable, Vectorizer};
use crate::postgres::transaction::{self, accounts};
use crate::worker::end;

/// Reads the vectorizers that are to be read, a few in a round.
pub(super) struct CatalogReader {
    /// Vectorizers whose documents the process before had in its hands, if it died.
    pub(super) died_with: WantedWork,
    /// The vectorizer in whose owner's code the worker before ended, as that would not end, and how
    /// many did in a row.
    pub(super) overrun: Option<(i32, u32)>,
}

impl Duty for CatalogReader {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        (!worker.rereads.is_empty()).then(Instant::now)
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        let some = worker.rereads.take_some();
        if some.is_empty() {
            return false;
        }
        let (some, of_owners) = by_owners(worker, some);
        let ids: Vec<i32> = some.iter().map(|(id, _)| *id).collect();
        let mut read: LiteMap<i32, Vectorizer> = LiteMap::new();
        let mut unusable = HashMap::new();
        for (owner, ids) in of_owners {
            for vectorizer in read_each(&ids, owner) {
                match vectorizer {
                    Ok(vectorizer) => {
                        read.insert(vectorizer.id, vectorizer);
                    }
                    Err(Unusable { id, failure }) => {
                        unusable.insert(id, failure);
                    }
                }
            }
        }
        worker.notes.read(&ids, unusable, Instant::now());
        for (id, change) in some {
            self.replace(worker, id, read.remove(&id), change);
        }
        let owners = worker.stations.iter().map(|station| station.vectorizer.owner);
        accounts::share(owners.collect::<HashSet<_>>().len() > 1);
        !worker.rereads.is_empty()
    }
}

impl CatalogReader {
    /// A vectorizer was read (anew), or is not to be worked on (any more).
    fn replace(&mut self, worker: &mut Worker, id: i32, vectorizer: Option<Vectorizer>, change: Change) {
        let place = worker
            .stations
            .binary_search_by_key(&id, |station| station.vectorizer.id);
        let Some(vectorizer) = vectorizer else {
            if let Ok(place) = place {
                worker.stations.remove(place);
            }
            worker.jobs.retain_of(|of| of != id);
            return;
        };
        let station = stations::of_new(vectorizer);
        worker.jobs.follow(&station.vectorizer);
        match place {
            Ok(place) => {
                let before = worker.stations[place].clone();
                let is_as_before = station.vectorizer.is_as(&before.vectorizer);
                let change = if is_as_before { change } else { Change::Own };
                worker.stations[place] = station.knowing(before, change, worker.notes.has(id));
            }
            Err(place) => {
                if self.died_with.has(id) {
                    worker.suspects.died(station.vectorizer.owner);
                }
                worker.stations.insert(place, station);
                worker.unrescued.push_back(id);
                if let Some((_, deaths)) = self.overrun.take_if(|(overrun, _)| *overrun == id) {
                    worker.stop_after_death(id, deaths);
                }
            }
        }
    }
}

impl Worker {
    /// Has all vectorizers read (anew) for a change of this kind, a few in a round. Those that are
    /// gone are forgotten at once, and their jobs end.
    pub(super) fn read_all(&mut self, change: Change) {
        let ids = match transaction::run(catalog::vectorizer_ids) {
            Ok(ids) => ids,
            Err(aborted) => {
                // The extension is being dropped or updated under our feet: leave, and be started
                // again if wanted.
                log!("ai: cannot read the vectorizers: {}", aborted.message);
                end(1);
            }
        };
        let there: HashSet<i32> = ids.iter().copied().collect();
        self.stations.retain(|station| there.contains(&station.vectorizer.id));
        self.jobs.retain_of(|id| there.contains(&id));
        self.notes.retain(&there);
        self.left.retain(|id, _| there.contains(id));
        self.rereads.all(ids, change);
    }
}

/// Those that are read now, and for whose account: what reading takes is for owners to choose, too.
/// Where an owner is held, its vectorizers wait, but those that nobody knows yet.
#[allow(clippy::type_complexity)]
fn by_owners(worker: &mut Worker, some: Vec<(i32, Change)>) -> (Vec<(i32, Change)>, HashMap<Option<Oid>, Vec<i32>>) {
    let mut now = Vec::new();
    let mut of_owners: HashMap<Option<Oid>, Vec<i32>> = HashMap::new();
    for (id, change) in some {
        let owner = worker.station(id).map(|station| station.vectorizer.owner);
        if owner.is_some_and(accounts::is_held) {
            worker.rereads.put_off(id, change);
        } else {
            of_owners.entry(owner).or_default().push(id);
            now.push((id, change));
        }
    }
    (now, of_owners)
}

/// Reads vectorizers together, and one by one where one of them makes that fail: it is the only one
/// to suffer from it.
fn read_each(ids: &[i32], owner: Option<Oid>) -> Vec<Result<Vectorizer, Unusable>> {
    let read = || catalog::vectorizers(ids);
    let read = match owner {
        Some(owner) => transaction::run_for(owner, read),
        None => transaction::run(read),
    };
    let read = match read {
        Ok(read) => read,
        Err(aborted) => match ids {
            [id] => return vec![Err(Unusable::unreadable(*id, &aborted))],
            _ => return ids.chunks(1).flat_map(|id| read_each(id, owner)).collect(),
        },
    };
    // What an owner has written as a schedule is for Postgres to read, which may refuse it.
    let followed = |vectorizer: Vectorizer| {
        if !vectorizer.is_scheduled() {
            return Ok(vectorizer);
        }
        let checked = transaction::run(|| catalog::check_schedule(&vectorizer.config.scheduling));
        match checked.unwrap_or_else(|aborted| Err(aborted.message)) {
            Ok(()) => Ok(vectorizer),
            Err(reason) => Err(Unusable::without_schedule(vectorizer.id, &reason)),
        }
    };
    read.into_iter()
        .map(|vectorizer| vectorizer.and_then(followed))
        .collect()
}
