//! What this library is and can.
