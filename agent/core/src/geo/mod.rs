//! Where things stand, and who is near.
