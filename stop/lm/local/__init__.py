"""Local models: weights that are pulled, and the llama.cpp server that runs them."""
