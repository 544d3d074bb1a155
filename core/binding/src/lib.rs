//! What every language wrapper needs, written once: runtime, fork guard, completion queue, settings and errors.
