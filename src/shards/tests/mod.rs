mod cards;
mod commit;
mod corruption;
mod foreign;
mod golden;
mod half_plans;
mod invariants;
mod physical;
mod places;
mod plans;
#[cfg(feature = "object-stores")]
mod requests;
mod round_trip;
mod selections;
mod sizes;
#[cfg(feature = "object-stores")]
mod stores;
mod unread;
