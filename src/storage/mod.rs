//! Where bytes live: atomic publication, temporaries, hashing.
