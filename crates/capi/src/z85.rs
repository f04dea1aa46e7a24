//! Bytes as text: ZeroMQ RFC 32 (Z85).
