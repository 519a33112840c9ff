//! Between the store's nouns and the protocol's, and the frames that go out. All of the daemon uses it; it uses none of
//! the daemon's other modules, and holds no state.

mod convert;
mod format;
pub(crate) mod frame;

pub(crate) use convert::*;
pub(crate) use format::Format;
