"""How fast the queue is: each module measures one thing and says how. `python -m benchmarks --help`."""
