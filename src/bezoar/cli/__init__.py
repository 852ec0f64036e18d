"""The command line: every verb a thin face over a function of the library."""
