"""The command line: parses, calls the pipeline, shows. No work is done here."""
