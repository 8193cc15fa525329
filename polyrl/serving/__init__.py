"""Exported models in the layout of TensorFlow Serving, and a server that answers as it does; with TensorFlow alone."""
