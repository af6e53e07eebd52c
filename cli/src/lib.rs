//! The parts of the `rondo` binary: the service on one machine ([`service`], which `serve`, `demo`, the benchmark
//! and tests start alike), and the client commands, one file each ([`commands`]).

pub mod admin_socket;
pub mod client;
pub mod commands;
pub mod data_folder;
pub mod failure;
pub mod logs;
pub mod metrics_page;
pub mod output;
pub mod private_file;
pub mod profile;
pub mod receiver;
pub mod server;
pub mod service;
