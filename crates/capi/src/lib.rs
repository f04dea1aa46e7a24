//! `libzmq.so.5`: the C interface of ØMQ, over [`oxmq`].
//!
//! One file for each section of `zmq.h` (`include/zmq.h` documents the functions). What they share
//! stands in one place each: who owns what behind a handle ([`handle`]), how an error becomes an
//! errno and a panic goes no further ([`boundary`]), and the numbers themselves ([`errno`]).

#![allow(clippy::missing_safety_doc, reason = "the functions' contracts stand in zmq.h")]

mod atomics;
mod boundary;
mod context;
mod curve;
mod descriptor;
mod drafts;
mod errno;
mod handle;
mod message;
mod monitor;
mod option;
mod poll;
mod poller;
mod proxy;
#[cfg(test)]
mod reference;
mod socket;
mod timers;
mod transfer;
mod utils;
mod version;
mod z85;
