//! Keys of CURVE.
