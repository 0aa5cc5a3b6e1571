"""The second runtime: transformers checkpoints, on the CPU or a GPU. Only this folder computes with transformers.

transformers is imported when a checkpoint is opened, so that the llama.cpp path starts as fast as without it.
"""
