"""Tests that cross languages: the harness, its scenarios and the interop with other programs."""
