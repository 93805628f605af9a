mod commit;
mod corruption;
mod foreign;
mod golden;
mod invariants;
mod physical;
mod plans;
mod round_trip;
