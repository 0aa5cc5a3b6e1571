"""Reading GGUF files: their header, checked before anything else sees it, and single tensors."""
