//! Stopwatches, sleep, threads.
