"""What a run leaves in its `model_dir` to resume from: checkpoints, their files, and whether they fit what resumes."""
