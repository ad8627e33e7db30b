"""The parts of the command line that `queuectl.py` puts together."""
