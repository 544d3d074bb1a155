"""The scenarios, one file a theme."""
