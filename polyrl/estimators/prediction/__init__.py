"""The agent without its training: `Predictor`, and the episodes that it evaluates, predicts and records."""
