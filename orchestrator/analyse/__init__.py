"""What runs say together: pure functions over their records."""
