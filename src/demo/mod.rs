//! The embedded default: a generated corpus and a teacher made of its n-gram statistics.
