"""Put on PYTHONPATH of the processes under test: arms the one point that QUEUECTL_FAULT names, in each of them."""

import os

if "QUEUECTL_FAULT" in os.environ:
    from tests.faults import crashpoints

    crashpoints.arm(os.environ["QUEUECTL_FAULT"], os.environ["QUEUECTL_FAULT_MARK"])
