"""What a run leaves in its `model_dir` to go on from: checkpoints, their files, and whether they fit what resumes."""
