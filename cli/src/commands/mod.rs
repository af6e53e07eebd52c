//! One file for each command, or for a few that differ in a word. The doc comments on their flags are the help.

pub mod add;
pub mod app;
pub mod change;
pub mod comment;
pub mod completions;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod executions;
pub mod grant;
mod json_file;
pub mod list;
pub mod listen;
pub mod preview;
pub mod push;
pub mod redeliver;
pub mod schedule_args;
pub mod schedule_view;
pub mod serve;
pub mod show;
pub mod stats;
pub mod trigger_args;
pub mod update;
