"""Measuring what lessons do: suites and conversations. Only `qfchat eval` and the benchmarks use it."""
