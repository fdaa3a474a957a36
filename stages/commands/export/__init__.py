"""Write a model for programs without Keras."""
