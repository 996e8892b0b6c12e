//! Maps keys to paths.
