"""The three ways to advance a run, and the learner that each of them drives."""
