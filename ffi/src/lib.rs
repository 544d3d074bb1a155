//! The stable C ABI of libmq.
