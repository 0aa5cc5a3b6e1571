"""A lesson's reach in the weights of an exported model: three added blocks of standard tensors (README, Exports)."""
