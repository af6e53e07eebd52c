//! The scheduled-push contract over real HTTP: schedules, pushes that are sent at once, devices, tags and aliases.

mod access;
mod bodies;
mod changes;
mod devices;
mod lists;
mod making;
mod sending;
