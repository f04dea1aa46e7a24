//! The simulated face of [`super`].
