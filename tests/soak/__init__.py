"""A long run of all clients against our broker, with faults at random."""
