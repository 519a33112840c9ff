//! Delivery to those who are away, slow, or not reading at all.

mod away;
mod slow;
