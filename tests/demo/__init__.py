"""The demonstration: a data set travels from each language to each language through the embedded broker."""
