//! loom on the modules that ship.
