"""Put on PYTHONPATH of the processes under test: arms the one point that CRASHPOINT names, in each of them."""

import os

if "CRASHPOINT" in os.environ:
    from tests.faults import crashpoints

    crashpoints.arm(os.environ["CRASHPOINT"], os.environ["CRASHPOINT_MARK"])
