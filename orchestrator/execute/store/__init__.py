"""What is kept between runs: sources, artifacts, logs, durations; what a run uses is leased."""
