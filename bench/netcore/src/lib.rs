//! What the programs that measure netcore share: framing, an epoll wrapper, the load, child processes, `/proc`,
//! and the arithmetic of results. It must never be linked into what is measured as netcore.

pub mod children;
pub mod cpu;
pub mod frames;
pub mod holder;
pub mod load;
pub mod memory;
pub mod poller;
pub mod rival;
pub mod statistics;
