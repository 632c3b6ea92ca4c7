//! What a storm costs, against what its changes were worth.

use std::fmt::{Display, Formatter};

use super::Storm;

/// What a storm costs, in inputs of the provider.
#[derive(Clone, Copy, Default)]
pub(super) struct Price {
    /// That were paid for.
    inputs: u64,
    /// That the changes so far were worth.
    due: u64,
    /// In flight when something put an end to it, at most.
    lost: u64,
    /// That the provider answered, but not as it should have.
    spoilt: u64,
}

impl Price {
    fn since(self, before: Price) -> Price {
        Price {
            inputs: self.inputs - before.inputs,
            // Rows of earlier rounds may have gone unseen.
            due: self.due.saturating_sub(before.due),
            lost: self.lost - before.lost,
            spoilt: self.spoilt - before.spoilt,
        }
    }

    /// However much is in flight at each loss, most of it is not paid for yet, or written already.
    fn most(self) -> u64 {
        self.due + self.lost.min(self.due / 2) + self.spoilt
    }
}

impl Display for Price {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Price {
            inputs,
            due,
            lost,
            spoilt,
        } = self;
        let ratio = *inputs as f64 / (*due).max(1) as f64;
        write!(
            f,
            "{inputs} inputs for changes worth {due} ({ratio:.2}), {lost} lost at most, {spoilt} spoilt"
        )
    }
}

impl Storm {
    fn price(&self) -> Price {
        let counts = self.scene.provider.counts();
        Price {
            inputs: counts.inputs,
            due: self.due,
            lost: self.lost,
            spoilt: counts.spoilt_inputs,
        }
    }

    /// After a storm: what was in flight at each loss may have been paid for twice, what the provider spoilt
    /// was, and nothing else. The storms of a soak are looked at together.
    pub fn check_price(&mut self) {
        let (all, before) = (self.price(), std::mem::take(&mut self.priced));
        self.priced = all;
        println!("seed {}: {}; {:?}", self.seed, all.since(before), self.events);
        println!("seed {}, in all: {all}", self.seed);
        assert!(all.inputs <= all.most(), "seed {}: {} at most", self.seed, all.most());
    }

    /// Without any disturbance the changes cost what they are worth, and touching all rows costs nothing.
    pub fn check_price_of_quiet(&mut self) {
        let (inputs, due) = (self.inputs(), self.due);
        for _ in 0..30 {
            self.change();
        }
        self.settle_by_itself();
        let (spent, worth) = (self.inputs() - inputs, self.due - due);
        assert!(
            spent <= worth,
            "seed {}: {spent} inputs for changes worth {worth}",
            self.seed
        );
        let inputs = self.inputs();
        self.sql("UPDATE object SET touched = touched + 1; UPDATE note SET touched = touched + 1");
        self.settle_by_itself();
        assert_eq!(self.inputs(), inputs, "seed {}: rows were touched", self.seed);
        self.check();
    }
}
