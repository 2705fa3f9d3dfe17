//! The browser as a whole, on packets as they were seen on a link.
