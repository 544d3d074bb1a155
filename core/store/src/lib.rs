//! RocketMQ's store: commit log, consume queues, index and config files as Apache writes them; knows no sockets.
