//! Messages: `zmq_msg_t` is a message of ours, in place.
