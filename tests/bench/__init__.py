"""Benchmarks: our broker and Apache's side by side, and each language's client."""
