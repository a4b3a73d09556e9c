"""One question a file: a STUDY of one scale, or a function `study` of the scale."""
