"""Starts brokers and language runners, runs the scenarios through them and reports the matrix."""
