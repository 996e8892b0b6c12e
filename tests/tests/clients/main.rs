//! Real tools: each tells its story twice at once, directly at the provider and through the
//! gateway, and both must come to the same exit codes, the same output and the same objects.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

mod aws;
mod boto3;
mod duckdb;
mod handed_out;
mod matrix;
mod mc;
mod rclone;
mod restic;
mod s3cmd;
mod s3fs;
mod s5cmd;
mod side;
mod suite;
mod written;
