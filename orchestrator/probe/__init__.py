"""What is asked of a running server, and how an answer is read and classified."""
