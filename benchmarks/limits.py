"""What the machine can do at best: bytes a second from memory, and floating-point operations a second.

Answering reads all weights for every token, so memory bounds it; reading a prompt multiplies all weights with many tokens at
once, so arithmetic does. Both are measured with all usable cores.
"""

import statistics
import threading
import time

import numpy as np
import torch

from qfcore.runtime.handles import usable_cores

_BYTES, _ORDER, _ROUNDS = 1 << 30, 2048, 5


def memory_bandwidth() -> float:
    """Bytes a second that all cores together read (sums over 1 GiB, far more than any cache)."""
    cores = usable_cores()
    parts = np.array_split(np.ones(_BYTES // 8), cores)
    seconds = []
    for _ in range(_ROUNDS):
        threads = [threading.Thread(target=part.sum) for part in parts]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds.append(time.perf_counter() - started)
    return _BYTES / statistics.median(seconds)


def operations() -> float:
    """Floating-point operations a second of a product of matrices in single precision."""
    torch.set_num_threads(usable_cores())
    left, right = torch.randn(_ORDER, _ORDER), torch.randn(_ORDER, _ORDER)
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - started)
    return 2 * _ORDER**3 / statistics.median(seconds)
