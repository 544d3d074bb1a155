"""Interop with Apache RocketMQ; see README.md."""
